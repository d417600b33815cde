"""A receipt: what became of one correction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """Where a correction's story stands. All but `received` and `held` are final for the message."""

    RECEIVED = "received"
    ACCEPTED = "accepted"  # live, in memory or weights
    UNCHANGED = "unchanged"  # the model or a live fact already says so
    HELD = "held"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"  # its source said so before what is live was said: recorded, never live
    DEAD = "dead_lettered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one correction, and the epoch from which on it is so."""

    correction_id: str
    fate: Fate
    reason: str = ""
    epoch: int | None = None
