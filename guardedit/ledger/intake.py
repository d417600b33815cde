"""Writing to the inbox: a delivery comes in, a settlement closes its row, an operator opens it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from sqlite3 import Connection, IntegrityError
from typing import Any

from guardedit.core.correction import content_sha256
from guardedit.core.epoch import Change
from guardedit.core.errors import ConflictError, Unrecordable, UsageError
from guardedit.core.messages import Delivery, Settlement
from guardedit.core.receipt import Fate
from guardedit.ledger import inbox
from guardedit.ledger.epochs import Asked, check_text
from guardedit.ledger.projection import DROPPED, RECEIVED, RELEASED, RETRIED, SETTLED, record
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.storage.database import utf8

#: Kind of the event by which an operator lets a fact be promoted again.
FACT_RELEASED = "fact_released"


class InboxWriter(LedgerReader):
    """What any process may write, also while a coordinator runs: none of it changes a fact."""

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Commit the raw bytes to the inbox; returns how many are new.

        The same bytes from the same source and position are a redelivery and change nothing.
        """
        with self._database.transaction("inbox.insert") as connection:
            at_s = self._clock()
            return sum(_receive(connection, delivery, at_s=at_s) for delivery in deliveries)

    def release(self, correction_id: str) -> None:
        """Let a held correction be decided again; `released` then says so to whoever decides."""
        with self._database.transaction("inbox.release") as connection:
            row = inbox.held(self._database, correction_id)
            self._record(connection, RELEASED, {"seq": row.seq, "correction_id": correction_id})

    def release_fact(self, fact_id: str) -> None:
        """Let a live fact be promoted again that was kept out of the weights, as after a rollback.

        Raises:
            UsageError: no live fact has this id.
        """
        with self._database.transaction("fact.release") as connection:
            if not self._database.rows("SELECT 1 FROM live_facts WHERE fact_id = ?", (fact_id,)):
                raise UsageError(f"no live fact has the id {fact_id!r}: list the facts to see their ids")
            self._record(connection, FACT_RELEASED, {"facts": [fact_id]})

    def retry(self, seq: int) -> None:
        """Let a dead letter be read again, as after an upgrade."""
        with self._database.transaction("inbox.retry") as connection:
            letter = inbox.dead_letter(self._database, seq)
            self._record(connection, RETRIED, {"seq": letter.seq})

    def drop(self, seq: int) -> None:
        """Stop listing a dead letter. The record and the bytes stay."""
        with self._database.transaction("inbox.drop") as connection:
            letter = inbox.dead_letter(self._database, seq)
            self._record(connection, DROPPED, {"seq": letter.seq})

    def _record(self, connection: Connection, kind: str, body: Mapping[str, Any]) -> None:
        record(connection, at_s=self._clock(), kind=kind, body=body)


def _receive(connection: Connection, delivery: Delivery, *, at_s: float) -> bool:
    source, position = utf8(delivery.source), utf8(delivery.position)
    digest = hashlib.sha256(delivery.raw).hexdigest()
    seen = connection.execute(
        "SELECT 1 FROM inbox WHERE source = ? AND position = ? AND raw_sha256 = ?", (source, position, digest)
    )
    if seen.fetchone():
        return False
    connection.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (digest, delivery.raw))
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM inbox").fetchone()
    body = {"seq": last + 1, "source": source, "position": position, "raw_sha256": digest}
    record(connection, at_s=at_s, kind=RECEIVED, body=body)
    return True


def asked(settlement: Settlement) -> list[Asked]:
    """The fact changes of a settlement: what it takes out, then its own."""
    of = settlement.correction
    changes = [*settlement.displaced, *((settlement.change,) if settlement.change else ())]
    return [Asked(change, of.id if of else "", _reported_at_s(change, settlement)) for change in changes]


def described(settlement: Settlement) -> dict[str, Any]:
    """The body of the event that closes a row, but for its epoch.

    Raises:
        Unrecordable: something in it cannot be written down.
        UsageError: the fate is `received`, which is no fate to settle on.
    """
    seq, of = settlement.seq, settlement.correction
    if settlement.fate is Fate.RECEIVED:
        raise UsageError(f"inbox row {seq} cannot be settled as {settlement.fate.value}: leave it waiting")
    try:
        for change, _, _ in asked(settlement):
            check_text(change)
        return {
            "seq": seq,
            "fate": settlement.fate.value,
            "reason": utf8(settlement.reason),
            "correction_id": of.id if of else None,
            "content_sha256": content_sha256(of) if of else None,
            "decision": json.loads(json.dumps(asdict(settlement.decision))) if settlement.decision else None,
            "reach": sorted(map(utf8, set(settlement.reach))),
        }
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Unrecordable(
            f"inbox row {seq} cannot be written down ({error!r:.200}): settle it as a dead letter", seq=seq
        ) from error


def settle(connection: Connection, body: Mapping[str, Any], *, epoch: int | None, at_s: float) -> None:
    """Close a row that waits, inside the caller's transaction.

    Raises:
        ConflictError: the row does not wait, or its id is decided already.
    """
    seq = body["seq"]
    row = connection.execute("SELECT fate FROM inbox WHERE seq = ?", (seq,)).fetchone()
    if row is None or row[0] != Fate.RECEIVED:
        state = f"is already {row[0]}" if row else "does not exist"
        raise ConflictError(f"inbox row {seq} {state}: read `pending` again and settle what waits")
    try:
        record(connection, at_s=at_s, kind=SETTLED, body={**body, "epoch": epoch})
    except IntegrityError as error:
        raise ConflictError(
            f"correction {body['correction_id']!r} of inbox row {seq} is decided already: "
            "settle the row as duplicate or as a dead letter"
        ) from error


def _reported_at_s(change: Change, settlement: Settlement) -> float | None:
    if change.fact is not None and change.fact.reported_at_s is not None:
        return change.fact.reported_at_s
    return settlement.correction.provenance.time_s if settlement.correction else None
