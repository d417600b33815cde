"""Is the ledger what it was when it was written? Finds out; repairs nothing, raises for nothing it finds."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator

from guardedit.core.epoch import state_sha256_of
from guardedit.core.errors import LedgerCorrupt, LedgerError
from guardedit.ledger.origins import strangers
from guardedit.ledger.projection import TABLES, project
from guardedit.ledger.state import totals
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.chain import EventRow, broken_links
from guardedit.ledger.storage.connecting import noted_problems
from guardedit.ledger.storage.database import Database, schema


def problems(database: Database, blobs: Blobs) -> list[str]:
    """Everything that does not fit, in sentences; empty for a sound ledger.

    Looks at the file's structure, the noted end of the chain, the hash chain, every table against a
    replay of the events, the original messages, what became of them, the state hash of every epoch, and
    every blob. The model and the memory are not known here: their hashes are for others to compare.
    """
    noted = database.heads
    with contextlib.suppress(LedgerError):
        noted = noted.frozen()  # before the snapshot: the file is never ahead of the database
    with database.snapshot():
        return [
            *_found(_structure(database)),
            *_found(noted_problems(database, noted)),
            *_found(_events(database)),
            *_found(_references(database)),
            *_found(_messages(database)),
            *_found(strangers(database)),
            *_found(_epochs(database)),
            *_found(_blobs(database, blobs)),
        ]


def _found(said: Iterator[str]) -> Iterator[str]:
    # What cannot even be read is a problem of its own, and hides none of the others.
    try:
        yield from said
    except LedgerError as error:
        yield str(error)


def _structure(database: Database) -> Iterator[str]:
    for said in database.check():
        yield f"database: {said}"


def _events(database: Database) -> Iterator[str]:
    events = [EventRow(*row) for row in database.rows("SELECT * FROM events ORDER BY seq")]
    broken = list(broken_links(events))
    yield from broken
    # Tables can only be measured against events that can be trusted.
    if not broken:
        yield from _tables(database, events)


def _tables(database: Database, events: list[EventRow]) -> Iterator[str]:
    replay = sqlite3.connect(":memory:", isolation_level=None)
    try:
        replay.executescript(schema())
        for event in events:
            project(replay, event)
        # The last one: a dropped trigger or unique index is a change as well.
        for table in (*TABLES, "sqlite_schema"):
            columns = "type, name, sql" if table == "sqlite_schema" else "*"
            query = f"SELECT {columns} FROM {table}"  # noqa: S608 - own names
            found, expected = set(database.rows(query)), set(replay.execute(query).fetchall())
            for row in sorted(found - expected, key=repr):
                yield f"{table}: the row {_short(row)} does not follow from the events"
            for row in sorted(expected - found, key=repr):
                yield f"{table}: the row {_short(row)} is missing"
    finally:
        replay.close()


def _references(database: Database) -> Iterator[str]:
    for table, row, parent, _ in database.rows("PRAGMA foreign_key_check"):
        yield f"{table}: row {row} refers to a row of {parent} that is missing"


def _messages(database: Database) -> Iterator[str]:
    for digest, raw in database.rows("SELECT sha256, raw FROM messages"):
        if hashlib.sha256(raw).hexdigest() != digest:
            yield f"messages: the bytes of {digest[:12]} were changed"


def _epochs(database: Database) -> Iterator[str]:
    recorded = database.rows(
        "SELECT number, base_sha256, weights_sha256, state_sha256 FROM epochs ORDER BY number"
    )
    every = enumerate(totals(database, len(recorded) - 1))
    for (number, base, weights, expected), (place, total) in zip(recorded, every, strict=True):
        if number != place:
            yield f"epochs: epoch {place} is missing"
            return
        if state_sha256_of(base, weights, total) != expected:
            yield f"epochs: the facts of epoch {number} do not have its state hash {expected[:12]}"


def _blobs(database: Database, blobs: Blobs) -> Iterator[str]:
    for (digest,) in database.rows("SELECT DISTINCT digest FROM edits ORDER BY digest"):
        try:
            blobs.get(digest)
        except LedgerCorrupt as error:
            yield str(error)


def _short(row: tuple[object, ...]) -> str:
    text = repr(row)
    return text if len(text) <= 160 else f"{text[:160]}..."
