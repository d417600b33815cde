"""Queries of what was published: what each replica of a destination has, and what it answers from."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.ledger.storage.database import Database

_PUBLICATIONS = """
SELECT destination, replica, name, p.epoch, weights_sha256, phase, changed_at_s
FROM publications p JOIN epochs ON number = p.epoch
ORDER BY destination, p.epoch, name, replica
"""
#: The epoch of the last activation of something that the replica has and that was confirmed there.
_SERVED = """
SELECT destination, replica,
  coalesce((SELECT a.epoch FROM activations a JOIN publications p USING (destination, name)
            WHERE a.destination = every.destination AND p.replica = every.replica AND p.phase = 'confirmed'
            ORDER BY a.replaced_at_s IS NULL DESC, a.replaced_at_s DESC LIMIT 1), 0)
FROM (SELECT destination, replica FROM publications
      UNION SELECT destination, replica FROM publish_problems) every
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a replica of a destination has under a name.

    Attributes:
        destination: its name in the policy.
        replica: address of the replica; "" where the destination has none.
        name: of the folder, the group of objects, the adapter or the base model.
        epoch: the epoch that it was made for.
        weights_sha256: digest of the weights of that epoch.
        phase: `preparing`, `prepared` or `confirmed`.
        changed_at_s: when it reached the phase, seconds since 1970, UTC.
    """

    destination: str
    replica: str
    name: str
    epoch: int
    weights_sha256: str
    phase: str
    changed_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """What a destination answers from: a name, the epoch that it stands for, and since when."""

    destination: str
    name: str
    epoch: int
    at_s: float


def publications(database: Database) -> list[Publication]:
    """What every replica of every destination has, the earliest epoch first."""
    return [
        Publication(**dict(zip(Publication.__slots__, row, strict=True)))
        for row in database.rows(_PUBLICATIONS)
    ]


def activations(database: Database) -> dict[str, Activation]:
    """Destination -> what it answers from."""
    rows = database.rows("SELECT destination, name, epoch, at_s FROM activations WHERE replaced_at_s IS NULL")
    return {row[0]: Activation(**dict(zip(Activation.__slots__, row, strict=True))) for row in rows}


def replaced_at_s(database: Database, destination: str) -> dict[str, float | None]:
    """Name -> when the destination switched away from it; None for the active one.

    A name that was never active, or that no replica has any more, is missing.
    """
    sql = "SELECT name, replaced_at_s FROM activations WHERE destination = ?"
    return dict(database.rows(sql, (destination,)))


def problems(database: Database) -> dict[tuple[str, str], tuple[str, float]]:
    """(destination, replica) -> what keeps it from going on, and since when."""
    rows = database.rows("SELECT destination, replica, problem, since_s FROM publish_problems")
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def served(database: Database) -> dict[tuple[str, str], int]:
    """(destination, replica) -> the epoch that it answers from; 0 before the first one."""
    return {(row[0], row[1]): row[2] for row in database.rows(_SERVED)}
