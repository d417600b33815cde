"""Checks that the ledger is as it was written. Repairs nothing, and reports problems instead of raising."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator

from guardedit.core.epoch import state_sha256_of
from guardedit.core.errors import LedgerCorrupt, LedgerError
from guardedit.ledger.events.projection import TABLES, project
from guardedit.ledger.origins import origin_problems
from guardedit.ledger.state import facts_sums
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.chain import EventRow, broken_links
from guardedit.ledger.storage.connecting import head_problems
from guardedit.ledger.storage.database import Database, schema


def problems(database: Database, blobs: Blobs) -> list[str]:
    """One sentence for each problem; empty for a sound ledger.

    Checks the file's structure, `ledger.head`, the hash chain, every table against a replay of the events,
    the digests of the original messages, whether facts follow from their messages, the state hash of every
    epoch, and every blob. The model and the memory are not known here: the caller compares their hashes.
    """
    heads = database.heads
    with contextlib.suppress(LedgerError):
        heads = heads.frozen()  # before the snapshot: the file is never ahead of the database
    with database.snapshot():
        return [
            *_reported(_structure(database)),
            *_reported(head_problems(database, heads)),
            *_reported(_events(database)),
            *_reported(_references(database)),
            *_reported(_messages(database)),
            *_reported(origin_problems(database)),
            *_reported(_epochs(database)),
            *_reported(_blobs(database, blobs)),
        ]


def _reported(found: Iterator[str]) -> Iterator[str]:
    """The problems that a check finds. A check that cannot read the ledger reports that and ends."""
    try:
        yield from found
    except LedgerError as error:
        yield str(error)


def _structure(database: Database) -> Iterator[str]:
    for finding in database.integrity_problems():
        yield f"database: {finding}"


def _events(database: Database) -> Iterator[str]:
    events = [EventRow(*row) for row in database.rows("SELECT * FROM events ORDER BY seq")]
    broken = list(broken_links(events))
    yield from broken
    # Tables can only be compared with events that can be trusted.
    if not broken:
        yield from _tables(database, events)


def _tables(database: Database, events: list[EventRow]) -> Iterator[str]:
    replay = sqlite3.connect(":memory:", isolation_level=None)
    try:
        replay.executescript(schema())
        for event in events:
            project(replay, event)
        # `sqlite_schema` too: a missing trigger or unique index is a change as well.
        for table in (*TABLES, "sqlite_schema"):
            columns = "type, name, sql" if table == "sqlite_schema" else "*"
            query = f"SELECT {columns} FROM {table}"  # noqa: S608 - constant names
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
    computed = enumerate(facts_sums(database, len(recorded) - 1))
    for (number, base, weights, expected), (index, total) in zip(recorded, computed, strict=True):
        if number != index:
            yield f"epochs: epoch {index} is missing"
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
