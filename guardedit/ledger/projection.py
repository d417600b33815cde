"""From an event to the rows that follow from it. The only writer of every table but `events` and `messages`.

A pure function of the event and the tables so far: replaying all events into an empty database gives the
same tables, which is how `verify` finds a row that somebody changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from guardedit.ledger.storage.chain import EventRow, append

#: Kinds of event that change tables. `note` may use any other kind.
RECEIVED: Final = "received"
SETTLED: Final = "settled"
RELEASED: Final = "released"
RETRIED: Final = "retried"
DROPPED: Final = "dropped"
EPOCH: Final = "epoch"
REF: Final = "ref"
EDITS: Final = "edits"
RESERVED: Final = frozenset({RECEIVED, SETTLED, RELEASED, RETRIED, DROPPED, EPOCH, REF, EDITS})

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
)

#: What may stand before the colon in a rollback's reason.
TRIGGERS: Final = frozenset({"drift", "manual", "recovery", "gate"})


def record(connection: sqlite3.Connection, *, at_s: float, kind: str, body: Mapping[str, Any]) -> EventRow:
    """Append an event and write what follows from it, inside the caller's transaction."""
    event = append(connection, at_s=at_s, kind=kind, body=body)
    project(connection, event)
    return event


def project(connection: sqlite3.Connection, event: EventRow) -> None:
    """Write the rows that follow from one event."""
    body = event.read()
    match event.kind:
        case "received":
            _received(connection, event, body)
        case "settled":
            _settled(connection, event, body)
        case "released":
            _waiting_again(connection, body["seq"], released=1)
        case "retried":
            _waiting_again(connection, body["seq"], released=0)
        case "dropped":
            connection.execute("UPDATE inbox SET dropped = 1 WHERE seq = ?", (body["seq"],))
        case "epoch":
            _epoch(connection, event, body)
        case "ref":
            _ref(connection, body["name"], body["to"])
        case "edits":
            _made(connection, event, body)
        case _:
            pass
    if isinstance(verdict := body.get("verdict"), dict):
        _verdict(connection, event, verdict, epoch=body["number"] if event.kind == EPOCH else None)


def _received(connection: sqlite3.Connection, event: EventRow, body: Mapping[str, Any]) -> None:
    connection.execute(
        "INSERT INTO inbox (seq, source, position, raw_sha256, received_at_s) VALUES (?, ?, ?, ?, ?)",
        (body["seq"], body["source"], body["position"], body["raw_sha256"], event.at_s),
    )


def _settled(connection: sqlite3.Connection, event: EventRow, body: Mapping[str, Any]) -> None:
    seq, fate, reason, correction_id = (body[k] for k in ("seq", "fate", "reason", "correction_id"))
    connection.execute(
        "UPDATE inbox SET fate = ?, reason = ?, correction_id = ?, content_sha256 = ?,"
        " settled_at_s = ?, epoch = ? WHERE seq = ?",
        (fate, reason, correction_id, body["content_sha256"], event.at_s, body["epoch"], seq),
    )
    said = body["decision"]
    connection.execute(
        "INSERT INTO decisions SELECT ?, seq, source, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM inbox WHERE seq = ?",
        (
            event.seq,
            event.at_s,
            fate,
            reason,
            correction_id,
            *((said[k] for k in ("route", "rule", "method", "policy_sha256")) if said else [""] * 4),
            _text(said) if said else None,
            seq,
        ),
    )
    connection.executemany("INSERT INTO reach VALUES (?, ?)", [(event.seq, name) for name in body["reach"]])


def _waiting_again(connection: sqlite3.Connection, seq: int, *, released: int) -> None:
    connection.execute(
        "UPDATE inbox SET fate = 'received', settled_at_s = NULL, released = ? WHERE seq = ?",
        (released, seq),
    )


def _epoch(connection: sqlite3.Connection, event: EventRow, body: Mapping[str, Any]) -> None:
    number = body["number"]
    names = ("kind", "reason", "base_sha256", "policy_sha256", "weights_sha256", "state_sha256")
    connection.execute(
        "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, *(body[name] for name in names), event.at_s),
    )
    for n, change in enumerate(body["changes"]):
        _change(connection, number, n, change)
    for edit in body["edits_added"]:
        _edit(connection, edit)
        connection.execute(
            "INSERT INTO epoch_edits VALUES (?, ?, ?)", (number, edit["digest"], _text(edit["facts"]))
        )
    for digest in body["edits_removed"]:
        connection.execute("INSERT INTO epoch_edits VALUES (?, ?, NULL)", (number, digest))
    for name, to in body["refs"].items():
        _ref(connection, name, to)
    if body["kind"] == "rollback":
        trigger = body["reason"].partition(":")[0]
        connection.execute(
            "INSERT INTO rollbacks VALUES (?, ?)",
            (number, trigger if trigger in TRIGGERS else "manual"),
        )


def _change(connection: sqlite3.Connection, epoch: int, n: int, change: Mapping[str, Any]) -> None:
    fact = change["fact"]
    connection.execute(
        "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(epoch, n, *change["key"], *change["names"]),
            *(change["correction_id"], change["reported_at_s"], change["fact_id"]),
            *((fact["version"], fact["placement"], _text(fact)) if fact else (None, None, None)),
        ),
    )


def _ref(connection: sqlite3.Connection, name: str, to: int) -> None:
    connection.execute(
        "INSERT INTO refs VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch", (name, to)
    )


def _edit(connection: sqlite3.Connection, edit: Mapping[str, Any]) -> None:
    # The first description of the same bytes for the same facts stays.
    connection.execute(
        "INSERT OR IGNORE INTO edits VALUES (?, ?, ?, ?, ?)",
        (
            edit["digest"],
            _text(edit["facts"]),
            edit["subject"],
            edit["method"],
            _text(edit["diagnostics"]),
        ),
    )


def _made(connection: sqlite3.Connection, event: EventRow, body: Mapping[str, Any]) -> None:
    for n, made in enumerate(body["made"]):
        edit = made["edit"]
        _edit(connection, edit)
        connection.execute(
            "INSERT INTO edit_cache VALUES (?, ?, ?, ?, ?, ?)",
            (event.seq, n, made["content_key"], made["group_key"], edit["digest"], _text(edit["facts"])),
        )


def _verdict(
    connection: sqlite3.Connection, event: EventRow, verdict: Mapping[str, Any], *, epoch: int | None
) -> None:
    connection.execute(
        "INSERT INTO verdicts VALUES (?, ?, ?, ?)", (event.seq, epoch, verdict["outcome"], _text(verdict))
    )
    connection.executemany(
        "INSERT INTO gates VALUES (?, ?, ?, ?, ?, ?)",
        [
            (event.seq, n, gate["name"], gate["outcome"], gate["value"], gate["limit"])
            for n, gate in enumerate(verdict["gates"])
        ],
    )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
