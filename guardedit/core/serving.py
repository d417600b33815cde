"""The records that replicas receive and return: snapshots and updates, recalls and answers."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedFact:
    """A fact for which a question may ask, as the memory judged it.

    Attributes:
        fact: the fact.
        scope: `accept` (in scope) or `unsure`.
        score: of the question and the fact, in [0, 1].
        reason: why it was judged so, one sentence.
        clause: the part of the question that may ask for the fact, with the subject in place of a pronoun.
        at: number of that part in the question, from 0.
    """

    fact: Fact
    scope: str
    score: float
    reason: str = ""
    clause: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The memory's result for one question.

    Attributes:
        scope: of the best fact: `accept` (in scope) or `unsure`; `out` where no fact is in scope.
        score: score of the best fact, in [0, 1]; NaN if there was no fact to score.
        margin: how far the best fact is ahead of the next one; NaN as above.
        reason: why the best fact was judged so, one sentence.
        found: the facts that the question asks for, in the order in which it does.
        named: whether the question names the subject of a fact.
        cosine: largest cosine of the whole question to a candidate; NaN without one.
    """

    scope: str
    score: float = float("nan")
    margin: float = float("nan")
    reason: str = ""
    found: tuple[ScopedFact, ...] = ()
    named: bool = False
    cosine: float = float("nan")

    @property
    def fact(self) -> Fact | None:
        """The best of the facts, if any."""
        return (
            max(self.found, key=lambda one: (one.scope == "accept", one.score)).fact if self.found else None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer and its origin.

    Attributes:
        text: the answer.
        epoch: the epoch that gave it.
        placement: `memory` where a fact in memory is behind it, else `weights` or, without a fact, `base`.
        used: the facts behind it, in the order in which the question asks for them.
        scope, score, reason: of the best fact, as in `Recall`.
    """

    text: str
    epoch: int
    placement: str
    used: tuple[ScopedFact, ...] = ()
    score: float = float("nan")
    scope: str = "out"
    reason: str = ""

    @property
    def facts(self) -> tuple[str, ...]:
        """Ids of the facts behind the answer; none where the base model answers."""
        return tuple(one.fact.id for one in self.used)

    @property
    def fact_id(self) -> str:
        """Id of the first of them; "" where the base model answers."""
        return self.facts[0] if self.used else ""


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
