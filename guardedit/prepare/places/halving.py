"""Successive halving under a time budget: many candidates with few facts, few candidates with many facts.

After Jamieson and Talwalkar 2016 (arXiv:1502.07943). Pure: the clock and the measuring are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")

#: Facts of the first round.
FIRST_FACTS = 4
#: Share of the candidates that stay after each round.
STAY = 0.5


@dataclass(frozen=True, slots=True)
class Trial(Generic[C]):
    """One candidate measured on some facts.

    Attributes:
        candidate: what was measured.
        facts: number of facts.
        merit: the higher, the better; NaN: unusable.
        seconds: duration.
    """

    candidate: C
    facts: int
    merit: float
    seconds: float


#: Measures a candidate on so many facts.
MeasureTrial = Callable[[C, int], Trial[C]]


@dataclass(frozen=True, slots=True)
class Budget:
    """A point in time at which a search has to end. `clock` gives seconds."""

    ends_s: float
    clock: Callable[[], float]

    @property
    def left_s(self) -> float:
        """Seconds left; negative after the end."""
        return self.ends_s - self.clock()


def halve(
    candidates: Sequence[C], measure: MeasureTrial[C], budget: Budget, *, most_facts: int
) -> list[Trial[C]]:
    """All trials, round after round; the best of the last round is the choice (`best_trial`).

    Each round has twice the facts of the last and the better half of its candidates. At least one candidate
    is measured, however small the budget. A round is cut short when the next trial would end after the
    budget, as far as the seconds per fact so far tell.

    Args:
        candidates: the most promising first, since a short budget may not reach the last.
        measure: measures one of them.
        budget: of all rounds.
        most_facts: the most facts of a round; no further round begins.
    """
    trials: list[Trial[C]] = []
    alive, facts = list(candidates), min(FIRST_FACTS, most_facts)
    while alive:
        measured: list[Trial[C]] = []
        for candidate in alive:
            if trials and facts * _seconds_per_fact(trials) > budget.left_s:
                break
            trial = measure(candidate, facts)
            measured.append(trial)
            trials.append(trial)
        if facts >= most_facts or len(measured) < len(alive) or len(alive) == 1:
            break
        alive = [trial.candidate for trial in _ranked(measured)[: math.ceil(len(measured) * STAY)]]
        facts = min(2 * facts, most_facts)
    return trials


def best_trial(trials: Sequence[Trial[C]]) -> Trial[C]:
    """The best trial of the last round that decides anything, else the first trial of all.

    A round decides nothing when the budget cut it after one of several candidates, or when none of its
    candidates has a merit.
    """
    sizes = sorted({trial.facts for trial in trials})
    rounds = [[trial for trial in trials if trial.facts == size] for size in sizes]
    before: Sequence[Trial[C]] = ()
    deciding: list[Trial[C]] = []
    for one in rounds:
        whole = len(one) >= math.ceil(len(before) * STAY)
        if whole and not all(math.isnan(trial.merit) for trial in one):
            deciding = one
        before = one
    return _ranked(deciding or rounds[0])[0]


def _seconds_per_fact(trials: Sequence[Trial[C]]) -> float:
    return sum(trial.seconds for trial in trials) / sum(trial.facts for trial in trials)


def _ranked(trials: Sequence[Trial[C]]) -> list[Trial[C]]:
    """Best first; NaN last; equal merits keep their order."""
    return sorted(trials, key=lambda trial: math.inf if math.isnan(trial.merit) else -trial.merit)
