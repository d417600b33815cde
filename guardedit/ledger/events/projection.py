"""Writes the table rows that follow from an event, with publishing.py. No other file writes to these tables.

The rows are a pure function of the event and of the tables so far. Replaying all events into an empty
database gives the same tables, which is how `verify` finds a row that was changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from guardedit.core.ledger import EventKind
from guardedit.ledger.events import publishing
from guardedit.ledger.events.kinds import (
    DroppedEvent,
    EditsEvent,
    EpochEvent,
    EventBody,
    ReceivedEvent,
    RefEvent,
    ReleasedEvent,
    RetriedEvent,
    SettledEvent,
)
from guardedit.ledger.events.records import ChangeRecord, EditRecord, VerdictRecord
from guardedit.ledger.storage.chain import EventRow, append

#: Tables that a replay of the events rebuilds.
TABLES: Final = (
    "epochs",
    "refs",
    "inbox",
    "decisions",
    "reach",
    "changes",
    "edits",
    "epoch_edits",
    "edit_cache",
    "verdicts",
    "gates",
    "rollbacks",
    "publications",
    "activations",
    "publish_problems",
)


def record(connection: sqlite3.Connection, event: EventBody, *, at_s: float) -> None:
    """Append one of the ledger's own events and write its rows, inside the caller's transaction."""
    record_note(connection, event.event_kind, event.to_json(), at_s=at_s)


def record_note(connection: sqlite3.Connection, kind: str, body: Mapping[str, Any], *, at_s: float) -> None:
    """Append any event and write its rows, inside the caller's transaction."""
    project(connection, append(connection, at_s=at_s, kind=kind, body=body))


def project(connection: sqlite3.Connection, row: EventRow) -> None:
    """Write the rows that follow from one event."""
    body = row.read()
    match row.kind:
        case EventKind.RECEIVED:
            _received(connection, row, ReceivedEvent.from_json(body))
        case EventKind.SETTLED:
            _settled(connection, row, SettledEvent.from_json(body))
        case EventKind.RELEASED:
            _reopen(connection, ReleasedEvent.from_json(body).seq, released=1)
        case EventKind.RETRIED:
            _reopen(connection, RetriedEvent.from_json(body).seq, released=0)
        case EventKind.DROPPED:
            seq = DroppedEvent.from_json(body).seq
            connection.execute("UPDATE inbox SET dropped = 1 WHERE seq = ?", (seq,))
        case EventKind.EPOCH:
            _epoch(connection, row, EpochEvent.from_json(body))
        case EventKind.REF:
            ref = RefEvent.from_json(body)
            _ref(connection, ref.name, ref.to)
        case EventKind.EDITS:
            _remembered_edits(connection, row, EditsEvent.from_json(body))
        case EventKind.PUBLISHED | EventKind.ACTIVATED | EventKind.PUBLISH_PROBLEM:
            publishing.project(connection, row)
        case _:
            _verdict(connection, row, VerdictRecord.in_note(body), epoch=None)


def _received(connection: sqlite3.Connection, row: EventRow, event: ReceivedEvent) -> None:
    connection.execute(
        "INSERT INTO inbox (seq, source, position, raw_sha256, received_at_s) VALUES (?, ?, ?, ?, ?)",
        (event.seq, event.source, event.position, event.raw_sha256, row.at_s),
    )


def _settled(connection: sqlite3.Connection, row: EventRow, event: SettledEvent) -> None:
    connection.execute(
        "UPDATE inbox SET fate = ?, reason = ?, correction_id = ?, content_sha256 = ?,"
        " settled_at_s = ?, epoch = ? WHERE seq = ?",
        (
            *(event.fate, event.reason, event.correction_id, event.content_sha256),
            *(row.at_s, event.epoch, event.seq),
        ),
    )
    connection.execute(
        "INSERT INTO decisions SELECT ?, seq, source, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM inbox WHERE seq = ?",
        (
            *(row.seq, row.at_s, event.fate, event.reason, event.correction_id),
            *event.decision_labels,
            _json(event.decision) if event.decision else None,
            event.seq,
        ),
    )
    connection.executemany("INSERT INTO reach VALUES (?, ?)", [(row.seq, name) for name in event.reach])


def _reopen(connection: sqlite3.Connection, seq: int, *, released: int) -> None:
    """Let an inbox row wait again."""
    connection.execute(
        "UPDATE inbox SET fate = 'received', settled_at_s = NULL, released = ? WHERE seq = ?",
        (released, seq),
    )


def _epoch(connection: sqlite3.Connection, row: EventRow, event: EpochEvent) -> None:
    connection.execute(
        "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(event.number, event.kind, event.reason, event.base_sha256, event.policy_sha256),
            *(event.weights_sha256, event.state_sha256, row.at_s),
        ),
    )
    for n, change in enumerate(event.changes):
        _change(connection, event.number, n, change)
    for edit in event.edits_added:
        _edit(connection, edit)
        connection.execute(
            "INSERT INTO epoch_edits VALUES (?, ?, ?)", (event.number, edit.digest, edit.facts_json)
        )
    for digest in event.edits_removed:
        connection.execute("INSERT INTO epoch_edits VALUES (?, ?, NULL)", (event.number, digest))
    for name, to in event.refs.items():
        _ref(connection, name, to)
    if trigger := event.rollback_trigger:
        connection.execute("INSERT INTO rollbacks VALUES (?, ?)", (event.number, trigger))
    if event.verdict is not None:
        _verdict(connection, row, VerdictRecord.from_json(event.verdict), epoch=event.number)


def _change(connection: sqlite3.Connection, epoch: int, n: int, change: ChangeRecord) -> None:
    connection.execute(
        "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(epoch, n, *change.key, *change.names, *([] if change.key.target else [""])),
            *(change.correction_id, change.reported_at_s, change.fact_id),
            *(change.version, change.placement, _json(change.fact) if change.fact else None),
        ),
    )


def _ref(connection: sqlite3.Connection, name: str, to: int) -> None:
    connection.execute(
        "INSERT INTO refs VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch", (name, to)
    )


def _edit(connection: sqlite3.Connection, edit: EditRecord) -> None:
    # The first record of the same payload for the same facts stays.
    connection.execute(
        "INSERT OR IGNORE INTO edits VALUES (?, ?, ?, ?, ?)",
        (edit.digest, edit.facts_json, edit.subject, edit.method, _json(edit.diagnostics)),
    )


def _remembered_edits(connection: sqlite3.Connection, row: EventRow, event: EditsEvent) -> None:
    for n, (content_key, group_key, edit) in enumerate(event.made):
        _edit(connection, edit)
        connection.execute(
            "INSERT INTO edit_cache VALUES (?, ?, ?, ?, ?, ?)",
            (row.seq, n, content_key, group_key, edit.digest, edit.facts_json),
        )


def _verdict(
    connection: sqlite3.Connection, row: EventRow, verdict: VerdictRecord | None, *, epoch: int | None
) -> None:
    if verdict is None:
        return
    connection.execute(
        "INSERT INTO verdicts VALUES (?, ?, ?, ?)",
        (row.seq, epoch, verdict.outcome, _json(verdict.recorded)),
    )
    connection.executemany(
        "INSERT INTO gates VALUES (?, ?, ?, ?, ?, ?)",
        [
            (row.seq, n, gate.name, gate.outcome, gate.value, gate.limit)
            for n, gate in enumerate(verdict.gates)
        ],
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
