"""Writes the table rows that follow from the events of publishing. Called by `projection.project`."""

from __future__ import annotations

import sqlite3
from typing import Final

from guardedit.core.ledger import EventKind
from guardedit.ledger.events.kinds import ActivatedEvent, PublishedEvent, PublishProblemEvent
from guardedit.ledger.storage.chain import EventRow

#: Phases after which a replica no longer has what was published to it.
GONE: Final = ("lost", "retired")


def project(connection: sqlite3.Connection, row: EventRow) -> None:
    """Write the rows that follow from one event of publishing."""
    body = row.read()
    match row.kind:
        case EventKind.PUBLISHED:
            _published(connection, row, PublishedEvent.from_json(body))
        case EventKind.ACTIVATED:
            _activated(connection, row, ActivatedEvent.from_json(body))
        case EventKind.PUBLISH_PROBLEM:
            _problem(connection, row, PublishProblemEvent.from_json(body))


def _published(connection: sqlite3.Connection, row: EventRow, event: PublishedEvent) -> None:
    key = (event.destination, event.replica, event.name)
    if event.phase in GONE:
        connection.execute("DELETE FROM publications WHERE (destination, replica, name) = (?, ?, ?)", key)
        connection.execute(
            "DELETE FROM activations WHERE (destination, name) = (?, ?) AND replaced_at_s IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM publications p WHERE (p.destination, p.name) = (?, ?))",
            (event.destination, event.name) * 2,
        )
    else:
        values = (*key, event.epoch, event.phase, row.at_s)
        connection.execute("INSERT OR REPLACE INTO publications VALUES (?, ?, ?, ?, ?, ?)", values)


def _activated(connection: sqlite3.Connection, row: EventRow, event: ActivatedEvent) -> None:
    connection.execute(
        "UPDATE activations SET replaced_at_s = ?"
        " WHERE destination = ? AND name <> ? AND replaced_at_s IS NULL",
        (row.at_s, event.destination, event.name),
    )
    if not event.name:
        connection.execute("DELETE FROM activations WHERE destination = ?", (event.destination,))
        return
    values = (event.destination, event.name, event.epoch, row.at_s)
    connection.execute("INSERT OR REPLACE INTO activations VALUES (?, ?, ?, ?, NULL)", values)


def _problem(connection: sqlite3.Connection, row: EventRow, event: PublishProblemEvent) -> None:
    key = (event.destination, event.replica)
    if event.problem:
        values = (*key, event.problem, row.at_s)
        connection.execute("INSERT OR REPLACE INTO publish_problems VALUES (?, ?, ?, ?)", values)
    else:
        connection.execute("DELETE FROM publish_problems WHERE (destination, replica) = (?, ?)", key)
