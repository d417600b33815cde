"""Messages on their way: from the broker into the inbox, and what was decided about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from guardedit.core.correction import Correction
from guardedit.core.decision import Decision
from guardedit.core.epoch import Change
from guardedit.core.receipt import Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as the broker handed it over: the original bytes and where they came from."""

    raw: bytes
    source: str
    position: str  # stream id, or `file:line`
    handle: Any = None  # what the broker needs to acknowledge it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far behind a source is; NaN where the broker cannot say."""

    waiting: float
    oldest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A row of the inbox that still waits for its decision."""

    seq: int
    raw: bytes
    source: str
    position: str
    received_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What was decided for one inbox row, written in one transaction with its epoch."""

    seq: int
    fate: Fate
    reason: str = ""
    correction: Correction | None = None  # None: could not be read, a dead letter
    decision: Decision | None = None
    change: Change | None = None
    displaced: tuple[Change, ...] = ()  # other keys that this correction takes out, in the same epoch
    reach: tuple[str, ...] = ()  # names that the correction can change answers about, as `naming.identity`


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChange:
    """The latest change of a key: who asked for it, and when its source said so.

    `correction_id` is "" where no correction asked, as with an expiry or an undo that left nothing.
    """

    correction_id: str
    reported_at_s: float | None = None
