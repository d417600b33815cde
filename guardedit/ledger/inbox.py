"""Messages on their way: what waits, what was decided about each, and the dead letters. Reads only.

The inbox knows bytes and positions. What correction a message is, and so whether its id was seen before,
is known only after it was read: a redelivery from the same position is stopped at `receive`, a repeated id
by asking `known`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.core.messages import Received
from guardedit.core.receipt import Fate, Receipt
from guardedit.ledger.storage.database import Database

_ENTRIES = (
    "SELECT seq, source, position, received_at_s, fate, reason, correction_id, settled_at_s, epoch, raw"
    " FROM inbox JOIN messages ON sha256 = raw_sha256"
)

#: Fates by which an id is taken; as in the unique index of schema.sql.
_DECIDED = "('accepted', 'unchanged', 'held', 'rejected', 'superseded')"
_KNOWN = f"SELECT content_sha256 FROM inbox WHERE correction_id = ? AND fate IN {_DECIDED}"  # noqa: S608
_RECEIPT = (
    f"SELECT fate, reason, epoch FROM inbox WHERE correction_id = ? ORDER BY fate IN {_DECIDED} DESC,"  # noqa: S608
    " seq DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message of the inbox and where its story stands. Times are seconds since 1970, UTC."""

    seq: int
    source: str
    position: str
    received_at_s: float
    fate: Fate
    reason: str
    correction_id: str | None
    settled_at_s: float | None
    epoch: int | None  # the epoch that it made
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that can never work as it was written, with the original bytes.

    `position` is the source's own, `file:line` for files. `reason` is the stable code of the error,
    such as `malformed` or `id_reuse`; `message` names the value and the remedy.
    """

    seq: int
    raw: bytes
    source: str
    position: str
    reason: str
    message: str
    at_s: float


def pending(database: Database, limit: int) -> list[Received]:
    """Oldest undecided rows."""
    rows = database.rows(
        "SELECT seq, raw, source, position, received_at_s FROM inbox JOIN messages ON sha256 = raw_sha256"
        " WHERE fate = 'received' ORDER BY seq LIMIT ?",
        (limit,),
    )
    return [
        Received(seq=seq, raw=raw, source=source, position=position, received_at_s=at_s)
        for seq, raw, source, position, at_s in rows
    ]


def known(database: Database, correction_id: str) -> str | None:
    """Content digest of the decided correction of this id; None when none is decided.

    A row that waits again after `release` or `retry` is not decided.
    """
    row = database.row(
        f"SELECT content_sha256 FROM inbox WHERE correction_id = ? AND fate IN {_DECIDED}",  # noqa: S608 - own text
        (correction_id,),
    )
    return row[0] if row else None


def receipt(database: Database, correction_id: str) -> Receipt | None:
    """What became of a correction; None for an id that no decided or waiting row carries."""
    row = database.row(_RECEIPT, (correction_id,))
    if row is None:
        return None
    return Receipt(correction_id=correction_id, fate=Fate(row[0]), reason=row[1], epoch=row[2])


def entries(database: Database, *, fate: Fate | None, limit: int) -> list[Entry]:
    """The newest messages of a fate (default: of any), oldest first."""
    where, parameters = ("fate = ?", [fate.value]) if fate else ("1", [])
    return list(reversed(_entries(database, where, [*parameters, limit], "ORDER BY seq DESC LIMIT ?")))


def entry(database: Database, seq: int) -> Entry:
    """One message; UsageError when there is none."""
    found = _entries(database, "seq = ?", [seq])
    if not found:
        raise UsageError(f"the inbox has no row {seq}: list the rows to see their numbers")
    return found[0]


def held(database: Database, correction_id: str) -> Entry:
    """The held message of a correction; UsageError when it is not held."""
    found = _entries(database, "fate = 'held' AND correction_id = ?", [correction_id])
    if not found:
        raise UsageError(f"no correction {correction_id!r} is held: list the held ones to see their ids")
    return found[0]


def dead_letters(database: Database) -> list[DeadLetter]:
    """All dead letters that were neither retried nor dropped, oldest first."""
    return [_dead(row) for row in _entries(database, "fate = 'dead_lettered' AND NOT dropped", [])]


def dead_letter(database: Database, seq: int) -> DeadLetter:
    """One dead letter; UsageError when the row is none."""
    found = _entries(database, "fate = 'dead_lettered' AND NOT dropped AND seq = ?", [seq])
    if not found:
        raise UsageError(f"there is no dead letter {seq}: list them to see their numbers")
    return _dead(found[0])


def _entries(
    database: Database, where: str, parameters: Sequence[Any], tail: str = "ORDER BY seq"
) -> list[Entry]:
    rows = database.rows(f"{_ENTRIES} WHERE {where} {tail}", parameters)
    names = Entry.__slots__
    return [Entry(**dict(zip(names, _readable(row), strict=True))) for row in rows]


def _readable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row with its fate; a row whose fate nobody knows is listed too, and says so."""
    try:
        return (*row[:4], Fate(row[4]), *row[5:])
    except ValueError:
        reason = f"unreadable: its recorded fate is {row[4]!r}; run `guardedit verify`"
        return (*row[:4], Fate.DEAD, reason, *row[6:])


def _dead(row: Entry) -> DeadLetter:
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
