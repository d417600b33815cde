"""The records that replicas receive and return: snapshots and updates, recalls and answers."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The memory's result for one question.

    Attributes:
        scope: `accept` (in scope), `unsure` or `out`.
        score: score of the best fact, in [0, 1]; NaN if there was no fact to score.
        margin: how far the best fact is ahead of the next one; NaN as above.
        fact: the fact that the question is about, if any.
        named: whether the question names the subject of a fact.
        cosine: cosine of the whole question to the fact; NaN without one.
    """

    scope: str
    score: float = float("nan")
    margin: float = float("nan")
    fact: Fact | None = None
    named: bool = False
    cosine: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer and its origin: placement `memory`, `weights`, or `base`."""

    text: str
    epoch: int
    placement: str
    fact_id: str = ""
    score: float = float("nan")
    scope: str = "out"

    @property
    def facts(self) -> tuple[str, ...]:
        """Ids of the facts behind the answer; none where the base model answers."""
        return (self.fact_id,) if self.fact_id else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A whole epoch for a replica to publish: its edits and its facts."""

    epoch: Epoch
    edits: tuple[WeightEdit, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The difference from one published epoch to another.

    `edits` is None where the weights stay as they are: then nothing is folded or hashed.
    """

    after: int  # the epoch that the replica must be serving
    epoch: Epoch
    changes: tuple[Change, ...] = ()
    edits: tuple[WeightEdit, ...] | None = None
