"""Writes that any process may do: receive messages, settle inbox rows, release, retry, drop and publish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from sqlite3 import Connection, IntegrityError

from guardedit.core.correction import content_sha256, decode_correction
from guardedit.core.epoch import Change
from guardedit.core.errors import ConflictError, Unrecordable, UsageError
from guardedit.core.messages import Delivery, Fate, Settlement
from guardedit.ledger import inbox
from guardedit.ledger.approvals import Approvals, approvals
from guardedit.ledger.events.kinds import (
    ActivatedEvent,
    ApprovedEvent,
    DroppedEvent,
    EventBody,
    FactReleasedEvent,
    PublishedEvent,
    PublishProblemEvent,
    ReceivedEvent,
    ReleasedEvent,
    RetriedEvent,
    SettledEvent,
)
from guardedit.ledger.events.projection import record, record_note
from guardedit.ledger.next_epoch import RequestedChange, check_text
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.storage.database import utf8

#: Kind of the events that say who changed something.
AUDIT = "audit"


class InboxWriter(LedgerReader):
    """What any process may write, also while a coordinator runs. None of it changes a fact."""

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Commit the raw bytes to the inbox; returns how many are new.

        The same bytes from the same source and position are a redelivery and change nothing.
        """
        with self._database.transaction("inbox.insert") as connection:
            at_s = self._clock()
            return sum(_receive(connection, delivery, at_s=at_s) for delivery in deliveries)

    def approve(self, correction_id: str, *, by: str, content_sha256: str = "") -> Approvals:
        """Record that a person approved a held correction; returns the approvals that count now.

        With the last one that is needed, the correction is released in the same transaction. A second
        approval by the same person replaces the first.

        Raises:
            ConflictError: the held content has another digest than `content_sha256`, unless that is "".
            UsageError: the correction is not held.
        """
        with self._database.transaction("inbox.approve") as connection:
            row, now_s = inbox.held(self._database, correction_id), self._clock()
            before = approvals(self._database, row.seq, now_s=now_s)
            if content_sha256 and content_sha256 != before.content_sha256:
                raise ConflictError(
                    f"correction {correction_id!r} has another content than the one that you saw: list the "
                    "held ones, and look at it again"
                )
            approved = ApprovedEvent(
                seq=row.seq,
                correction_id=correction_id,
                content_sha256=before.content_sha256,
                by=utf8(by),
                expires_at_s=None if before.ttl_s is None else now_s + before.ttl_s,
            )
            record(connection, approved, at_s=now_s)
            after = approvals(self._database, row.seq, now_s=now_s)
            if not after.missing:
                self._record(connection, ReleasedEvent(seq=row.seq, correction_id=correction_id))
        return after

    def release(self, correction_id: str) -> None:
        """Let a held correction be decided again. `released` is then true for its row."""
        with self._database.transaction("inbox.release") as connection:
            row = inbox.held(self._database, correction_id)
            self._record(connection, ReleasedEvent(seq=row.seq, correction_id=correction_id))

    def reject(self, correction_id: str, *, reason: str) -> None:
        """Close a held correction as rejected; a person decided so."""
        with self._database.transaction("inbox.reject") as connection:
            row = inbox.held(self._database, correction_id)
            self._record(connection, ReleasedEvent(seq=row.seq, correction_id=correction_id))
            correction = decode_correction(row.raw, recorded=True)
            settled = Settlement(seq=row.seq, fate=Fate.REJECTED, reason=reason, correction=correction)
            settle_row(connection, settled_event(settled), epoch=None, at_s=self._clock())

    def audit(self, who: str, action: str, target: str) -> None:
        """Record that a person or program changed something, such as `undo` of a fact."""
        body = {"who": utf8(who), "action": action, "target": utf8(target)}
        with self._database.transaction("audit") as connection:
            record_note(connection, AUDIT, body, at_s=self._clock())

    def release_fact(self, fact_id: str) -> None:
        """Let a live fact that was kept out of the weights be promoted again, as after a rollback.

        Raises:
            UsageError: no live fact has this id.
        """
        with self._database.transaction("fact.release") as connection:
            if not self._database.rows("SELECT 1 FROM live_facts WHERE fact_id = ?", (fact_id,)):
                raise UsageError(f"no live fact has the id {fact_id!r}: list the facts to see their ids")
            self._record(connection, FactReleasedEvent(facts=[fact_id]))

    def record_phase(self, destination: str, replica: str, name: str, *, epoch: int, phase: str) -> None:
        """Record that a replica of a destination reached a phase, see `PublishedEvent`."""
        event = PublishedEvent(destination=destination, replica=replica, name=name, epoch=epoch, phase=phase)
        with self._database.transaction("publish.phase") as connection:
            self._record(connection, event)

    def record_activation(self, destination: str, name: str, *, epoch: int) -> None:
        """Record that a destination answers from an epoch from now on; name "" when it was closed."""
        with self._database.transaction("publish.activation") as connection:
            self._record(connection, ActivatedEvent(destination=destination, name=name, epoch=epoch))

    def record_publish_problem(self, destination: str, replica: str, problem: str) -> None:
        """Record what keeps a replica of a destination from going on; "" when that is over."""
        event = PublishProblemEvent(destination=destination, replica=replica, problem=utf8(problem))
        with self._database.transaction("publish.problem") as connection:
            self._record(connection, event)

    def retry(self, seq: int) -> None:
        """Let a dead letter be read again, as after an upgrade."""
        with self._database.transaction("inbox.retry") as connection:
            letter = inbox.dead_letter(self._database, seq)
            self._record(connection, RetriedEvent(seq=letter.seq))

    def drop(self, seq: int) -> None:
        """Stop listing a dead letter. Its record and its bytes stay."""
        with self._database.transaction("inbox.drop") as connection:
            letter = inbox.dead_letter(self._database, seq)
            self._record(connection, DroppedEvent(seq=letter.seq))

    def _record(self, connection: Connection, event: EventBody) -> None:
        record(connection, event, at_s=self._clock())


def _receive(connection: Connection, delivery: Delivery, *, at_s: float) -> bool:
    """Whether the delivery is new; if it is, it is recorded."""
    source, position = utf8(delivery.source), utf8(delivery.position)
    digest = hashlib.sha256(delivery.raw).hexdigest()
    seen = connection.execute(
        "SELECT 1 FROM inbox WHERE source = ? AND position = ? AND raw_sha256 = ?", (source, position, digest)
    )
    if seen.fetchone():
        return False
    connection.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (digest, delivery.raw))
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM inbox").fetchone()
    event = ReceivedEvent(seq=last + 1, source=source, position=position, raw_sha256=digest)
    record(connection, event, at_s=at_s)
    return True


def requested_changes(settlement: Settlement) -> list[RequestedChange]:
    """The fact changes of a settlement: first the keys that it displaces, then its own."""
    correction = settlement.correction
    changes = [*settlement.displaced, *((settlement.change,) if settlement.change else ())]
    return [
        RequestedChange(change, correction.id if correction else "", _reported_at_s(change, settlement))
        for change in changes
    ]


def settled_event(settlement: Settlement) -> SettledEvent:
    """The event that closes an inbox row, without its epoch.

    Raises:
        Unrecordable: something in the settlement cannot be written.
        UsageError: the fate is `received`, which leaves the row open.
    """
    seq, correction, decision = settlement.seq, settlement.correction, settlement.decision
    if settlement.fate is Fate.RECEIVED:
        raise UsageError(f"inbox row {seq} cannot be settled as {settlement.fate.value}: leave it waiting")
    try:
        for change, _, _ in requested_changes(settlement):
            check_text(change)
        return SettledEvent(
            seq=seq,
            fate=settlement.fate.value,
            reason=utf8(settlement.reason),
            correction_id=correction.id if correction else None,
            content_sha256=content_sha256(correction) if correction else None,
            decision=json.loads(json.dumps(asdict(decision))) if decision else None,
            reach=sorted(map(utf8, set(settlement.reach))),
        )
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Unrecordable(
            f"inbox row {seq} cannot be written down ({error!r:.200}): settle it as a dead letter", seq=seq
        ) from error


def settle_row(connection: Connection, event: SettledEvent, *, epoch: int | None, at_s: float) -> None:
    """Close an inbox row that waits, inside the caller's transaction.

    Args:
        connection: the transaction's.
        event: what to record.
        epoch: the epoch that the settlement makes, if any.
        at_s: the present time, seconds since 1970, UTC.

    Raises:
        ConflictError: the row does not wait, or its correction id is decided already.
    """
    row = connection.execute("SELECT fate FROM inbox WHERE seq = ?", (event.seq,)).fetchone()
    if row is None or row[0] != Fate.RECEIVED:
        state = f"is already {row[0]}" if row else "does not exist"
        raise ConflictError(f"inbox row {event.seq} {state}: read `pending` again and settle what waits")
    try:
        record(connection, replace(event, epoch=epoch), at_s=at_s)
    except IntegrityError as error:
        raise ConflictError(
            f"correction {event.correction_id!r} of inbox row {event.seq} is decided already: "
            "settle the row as duplicate or as a dead letter"
        ) from error


def _reported_at_s(change: Change, settlement: Settlement) -> float | None:
    if change.fact is not None and change.fact.reported_at_s is not None:
        return change.fact.reported_at_s
    return settlement.correction.provenance.time_s if settlement.correction else None
