"""Queries of the inbox: messages that wait, what was decided about each, and the dead letters.

The inbox stores bytes and positions. The correction in a message, and with it the correction's id, is known
only after decoding. So `receive` detects redeliveries from the same position, and repeated ids are detected
later, with `decided_content`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.core.messages import Fate, Receipt, Received
from guardedit.ledger.storage.database import Database

_ENTRIES = (
    "SELECT seq, source, position, received_at_s, fate, reason, correction_id, settled_at_s, epoch, raw"
    " FROM inbox JOIN messages ON sha256 = raw_sha256"
)

#: Fates after which a correction's id is in use; the same as in the unique index of schema.sql.
_DECIDED = "('accepted', 'unchanged', 'held', 'rejected', 'superseded')"
_DECIDED_CONTENT = f"SELECT content_sha256 FROM inbox WHERE correction_id = ? AND fate IN {_DECIDED}"  # noqa: S608
_RECEIPT = (
    f"SELECT fate, reason, epoch FROM inbox WHERE correction_id = ? ORDER BY fate IN {_DECIDED} DESC,"  # noqa: S608
    " seq DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One inbox row: a message and its fate. Times are seconds since 1970, UTC."""

    seq: int
    source: str
    position: str
    received_at_s: float
    fate: Fate
    reason: str
    correction_id: str | None
    settled_at_s: float | None
    epoch: int | None  # the epoch that its settlement made
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that could not be decoded, decided or stored, with its original bytes.

    Attributes:
        seq: the inbox row.
        raw: the message.
        source: where it came from.
        position: the source's own position of the message, `file:line` for files.
        reason: stable code of the error, such as `malformed` or `id_reuse`.
        message: names the value and the remedy.
        at_s: when it became a dead letter, seconds since 1970, UTC.
    """

    seq: int
    raw: bytes
    source: str
    position: str
    reason: str
    message: str
    at_s: float


def pending(database: Database, limit: int) -> list[Received]:
    """The oldest undecided rows."""
    rows = database.rows(
        "SELECT seq, raw, source, position, received_at_s FROM inbox JOIN messages ON sha256 = raw_sha256"
        " WHERE fate = 'received' ORDER BY seq LIMIT ?",
        (limit,),
    )
    return [
        Received(seq=seq, raw=raw, source=source, position=position, received_at_s=at_s)
        for seq, raw, source, position, at_s in rows
    ]


def decided_content(database: Database, correction_id: str) -> str | None:
    """`content_sha256` of the decided correction with this id; None when none is decided.

    A row that waits again after `release` or `retry` is not decided.
    """
    row = database.row(_DECIDED_CONTENT, (correction_id,))
    return row[0] if row else None


def receipt(database: Database, correction_id: str) -> Receipt | None:
    """What became of a correction; None for an id that no row has."""
    row = database.row(_RECEIPT, (correction_id,))
    if row is None:
        return None
    return Receipt(correction_id=correction_id, fate=Fate(row[0]), reason=row[1], epoch=row[2])


def entries(database: Database, *, fate: Fate | None, limit: int) -> list[Entry]:
    """The newest rows of a fate (default: of any), oldest first."""
    where, parameters = ("fate = ?", [fate.value]) if fate else ("1", [])
    return list(reversed(_entries(database, where, [*parameters, limit], "ORDER BY seq DESC LIMIT ?")))


def entry(database: Database, seq: int) -> Entry:
    """One row by number; UsageError when there is none."""
    found = _entries(database, "seq = ?", [seq])
    if not found:
        raise UsageError(f"the inbox has no row {seq}: list the rows to see their numbers")
    return found[0]


def held(database: Database, correction_id: str) -> Entry:
    """The row of a held correction; UsageError when it is not held."""
    found = _entries(database, "fate = 'held' AND correction_id = ?", [correction_id])
    if not found:
        raise UsageError(f"no correction {correction_id!r} is held: list the held ones to see their ids")
    return found[0]


def dead_letters(database: Database) -> list[DeadLetter]:
    """All dead letters that were neither retried nor dropped, oldest first."""
    return [_dead_letter(row) for row in _entries(database, "fate = 'dead_lettered' AND NOT dropped", [])]


def dead_letter(database: Database, seq: int) -> DeadLetter:
    """One dead letter by its row; UsageError when that row is not a dead letter."""
    found = _entries(database, "fate = 'dead_lettered' AND NOT dropped AND seq = ?", [seq])
    if not found:
        raise UsageError(f"there is no dead letter {seq}: list them to see their numbers")
    return _dead_letter(found[0])


def _entries(
    database: Database, where: str, parameters: Sequence[Any], tail: str = "ORDER BY seq"
) -> list[Entry]:
    rows = database.rows(f"{_ENTRIES} WHERE {where} {tail}", parameters)
    names = Entry.__slots__
    return [Entry(**dict(zip(names, _with_fate(row), strict=True))) for row in rows]


def _with_fate(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row with its fate decoded. An unknown fate is listed as dead, with that as the reason."""
    try:
        return (*row[:4], Fate(row[4]), *row[5:])
    except ValueError:
        reason = f"unreadable: its recorded fate is {row[4]!r}; run `guardedit verify`"
        return (*row[:4], Fate.DEAD, reason, *row[6:])


def _dead_letter(row: Entry) -> DeadLetter:
    code, separator, message = row.reason.partition(": ")
    if not separator or not code.replace("_", "").isalnum():
        code, message = "invalid", row.reason
    return DeadLetter(
        seq=row.seq,
        raw=row.raw,
        source=row.source,
        position=row.position,
        reason=code,
        message=message,
        at_s=row.settled_at_s if row.settled_at_s is not None else row.received_at_s,
    )
