"""Queries for epochs and refs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.ledger.state import edits_at, edits_of_all
from guardedit.ledger.storage.database import Database

SERVING = "serving"
LAST_GOOD = "last-good"

_COLUMNS = "number, kind, base_sha256, policy_sha256, weights_sha256, state_sha256, created_at_s, reason"
_REF_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")


def read_epoch(database: Database, number: int, edits: Iterable[str] | None = None) -> Epoch:
    """An epoch by number.

    Args:
        database: the ledger's database.
        number: the epoch.
        edits: digests of its live edits, where the caller has them or does not need them.

    Raises:
        UsageError: there is no such epoch.
    """
    row = database.row(f"SELECT {_COLUMNS} FROM epochs WHERE number = ?", (number,))  # noqa: S608 - constant text
    if row is None:
        last = database.row("SELECT max(number) FROM epochs")
        raise UsageError(f"there is no epoch {number}: the last one is {last[0] if last else None}")
    return _epoch(row, edits_at(database, number) if edits is None else edits)


def check_epoch(database: Database, number: int) -> None:
    """Raise UsageError when there is no such epoch."""
    read_epoch(database, number, edits=())


def read_epochs(database: Database) -> list[Epoch]:
    """All epochs, oldest first."""
    with database.snapshot():
        rows = database.rows(f"SELECT {_COLUMNS} FROM epochs ORDER BY number")  # noqa: S608 - constant text
        edits_of_each = edits_of_all(database, len(rows) - 1)
        return [_epoch(row, edits) for row, edits in zip(rows, edits_of_each, strict=True)]


def refs(database: Database) -> dict[str, int]:
    """All refs by name."""
    return {
        str(name): int(epoch) for name, epoch in database.rows("SELECT name, epoch FROM refs ORDER BY name")
    }


def read_ref(database: Database, name: str) -> int:
    """The epoch number that a ref points to.

    Raises:
        UsageError: there is no such ref.
    """
    row = database.row("SELECT epoch FROM refs WHERE name = ?", (name,))
    if row is not None:
        return int(row[0])
    if not (known := refs(database)):
        raise UsageError(f"{database.path} has no epoch yet: start the coordinator once")
    raise UsageError(f"there is no ref {name!r}: known are {', '.join(known)}")


def check_ref_name(name: str) -> None:
    """Raise UsageError for a name that `move_ref` may not use."""
    if name == SERVING:
        raise UsageError("serving moves only with a new epoch: commit the changes that lead back instead")
    if not _REF_NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a ref name: use a-z, 0-9, '.', '_' and '-', a letter first")


def _epoch(row: tuple[Any, ...], edits: Iterable[str]) -> Epoch:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Epoch(**values, edits=tuple(edits))
