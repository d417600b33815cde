"""The hash chain of events: each row's hash covers all rows before it.

The chain detects a row that was changed, removed or inserted. It cannot detect that the last rows were cut
off together with the table rows that follow from them. For that, `heads` records the end of the chain
outside the database.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from guardedit.core.errors import UsageError
from guardedit.ledger.storage.database import read_json, utf8


class EventRow(NamedTuple):
    """One row of `events`. `body` is JSON text as Python writes it, so it may contain NaN."""

    seq: int
    at_s: float
    kind: str
    body: str
    prev_hash: str
    hash: str

    def read(self) -> dict[str, Any]:
        """The decoded body."""
        body: dict[str, Any] = read_json(self.body)
        return body


def event_hash(*, seq: int, at_s: float, kind: str, body: str, prev_hash: str) -> str:
    """sha256 over the row's own fields and the hash of the row before it."""
    row = json.dumps([prev_hash, seq, at_s, kind, body], ensure_ascii=True)
    return hashlib.sha256(row.encode()).hexdigest()


def append(connection: sqlite3.Connection, *, at_s: float, kind: str, body: Mapping[str, Any]) -> EventRow:
    """Add an event after the last one. Call it inside a transaction, since it reads the last event.

    Raises:
        UsageError: the body is not plain JSON data.
    """
    try:
        text = _json(dict(body))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"event {kind!r} must be plain JSON data: {error}") from error
    head = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    at_s, kind = float(at_s), utf8(kind)  # the values that SQLite will return
    seq, prev_hash = (head[0] + 1, head[1]) if head else (1, "")
    digest = event_hash(seq=seq, at_s=at_s, kind=kind, body=text, prev_hash=prev_hash)
    row = EventRow(seq, at_s, kind, text, prev_hash, digest)
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
    return row


def broken_links(rows: Iterable[EventRow]) -> Iterator[str]:
    """One sentence for each row that breaks the chain."""
    seq, prev_hash = 0, ""
    for row in rows:
        if row.seq != seq + 1:
            yield f"events: row {seq + 1} is missing before row {row.seq}"
        elif row.prev_hash != prev_hash:
            yield f"events: row {row.seq} does not follow the row before it"
        if row.hash != event_hash(
            seq=row.seq, at_s=row.at_s, kind=row.kind, body=row.body, prev_hash=row.prev_hash
        ):
            yield f"events: row {row.seq} ({row.kind}) was changed after it was written"
        seq, prev_hash = row.seq, row.hash


def _json(body: Any) -> str:
    text = json.dumps(body, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    # A lone surrogate would come back from the JSON, and SQLite cannot store it.
    if "\\ud" in text:
        text = json.dumps(_without_surrogates(body), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return text


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list | tuple) else value
