"""The records of one message: delivered by a source, received in the inbox, settled with a fate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from guardedit.core.correction import Correction
from guardedit.core.decision import Decision
from guardedit.core.epoch import Change


class Fate(StrEnum):
    """What became of a message. All but `received`, `held` and `dead_lettered` are final."""

    RECEIVED = "received"  # waits in the inbox
    ACCEPTED = "accepted"  # live, in memory or weights
    UNCHANGED = "unchanged"  # the model or a live fact already gives this answer
    HELD = "held"  # waits for a person
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"  # older by `provenance.time_s` than the live fact: recorded, never live
    DEAD = "dead_lettered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one correction, and the epoch that this made, if any."""

    correction_id: str
    fate: Fate
    reason: str = ""
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message from a source: the original bytes and their origin."""

    raw: bytes
    source: str
    position: str  # stream id, or `file:line`
    handle: Any = None  # what the source needs to acknowledge the message


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far behind a source is; NaN where the broker does not report it."""

    waiting: float  # messages
    oldest_s: float  # age of the oldest one, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An inbox row that waits for its decision."""

    seq: int
    raw: bytes
    source: str
    position: str
    received_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The outcome for one inbox row. The ledger writes it in one transaction with the epoch that it makes.

    Attributes:
        seq: the inbox row.
        fate: any fate but `received`.
        reason: for people; a dead letter has `code: message` here.
        correction: None for a message that could not be decoded, which is a dead letter.
        decision: what the policy said; None where it was not consulted.
        change: the change of the correction's own key, if any.
        displaced: changes of other keys that this correction removes, in the same epoch.
        reach: names whose answers the correction can change, as folded by `naming.identity`.
    """

    seq: int
    fate: Fate
    reason: str = ""
    correction: Correction | None = None
    decision: Decision | None = None
    change: Change | None = None
    displaced: tuple[Change, ...] = ()
    reach: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChange:
    """The latest change of a key.

    `correction_id` is "" if no correction requested it, as with an expiry or an undo that left no fact.
    `reported_at_s` is the source's own time for it, seconds since 1970, UTC; None where it gave none.
    """

    correction_id: str
    reported_at_s: float | None = None
