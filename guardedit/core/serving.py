"""What replicas are handed, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What the memory says about one question. `scope` is accept, unsure or out."""

    scope: str
    score: float = float("nan")
    margin: float = float("nan")
    fact: Fact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer and where it came from: placement `memory`, `weights`, or `base`."""

    text: str
    epoch: int
    placement: str
    fact_id: str = ""
    score: float = float("nan")
    scope: str = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What replicas publish: one epoch, its edits and its facts."""

    epoch: Epoch
    edits: tuple[WeightEdit, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """From one published epoch to the next: what changed, and nothing else.

    `edits` is None where the weights stay as they are: then nothing is folded or hashed.
    """

    after: int  # the epoch that the replica must be serving
    epoch: Epoch
    changes: tuple[Change, ...] = ()
    edits: tuple[WeightEdit, ...] | None = None
