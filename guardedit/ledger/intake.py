"""Writing to the inbox: a delivery comes in, a settlement closes its row, an operator opens it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from sqlite3 import Connection, IntegrityError
from typing import Any

from guardedit.core.correction import content_sha256
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.protocols import Delivery, Settlement
from guardedit.core.receipt import Fate
from guardedit.ledger import inbox
from guardedit.ledger.projection import DROPPED, RECEIVED, RELEASED, RETRIED, SETTLED, record
from guardedit.ledger.reading import LedgerReader


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
    source, position = _text(delivery.source), _text(delivery.position)
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


def settle(connection: Connection, settlement: Settlement, *, epoch: int | None, at_s: float) -> None:
    """Close a row that waits, inside the caller's transaction.

    Raises:
        ConflictError: the row does not wait, or its id is decided already.
        UsageError: the fate is `received`, which is no fate to settle on.
    """
    seq, correction = settlement.seq, settlement.correction
    if settlement.fate is Fate.RECEIVED:
        raise UsageError(f"inbox row {seq} cannot be settled as {settlement.fate.value}: leave it waiting")
    row = connection.execute("SELECT fate FROM inbox WHERE seq = ?", (seq,)).fetchone()
    if row is None or row[0] != Fate.RECEIVED:
        state = f"is already {row[0]}" if row else "does not exist"
        raise ConflictError(f"inbox row {seq} {state}: read `pending` again and settle what waits")
    body = {
        "seq": seq,
        "fate": settlement.fate.value,
        "reason": settlement.reason,
        "correction_id": correction.id if correction else None,
        "content_sha256": content_sha256(correction) if correction else None,
        "decision": asdict(settlement.decision) if settlement.decision else None,
        "epoch": None if settlement.change is None else epoch,
    }
    try:
        record(connection, at_s=at_s, kind=SETTLED, body=body)
    except IntegrityError as error:
        raise ConflictError(
            f"correction {body['correction_id']!r} of inbox row {seq} is decided already: "
            "settle the row as duplicate or as a dead letter"
        ) from error


def _text(value: str) -> str:
    # File names may hold bytes that are no text; SQLite takes UTF-8 only.
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
