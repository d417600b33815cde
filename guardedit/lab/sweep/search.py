"""Searches the candidates of a sweep: decides in which order they are tried, and which one is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from guardedit.core.errors import EditError
from guardedit.editing.edit_card import SettingValue
from guardedit.lab.sweep.candidates import ChangedSettings, EditPlace
from guardedit.lab.sweep.merit import Merit, Score, better, merit

#: A changed setting must gain this much merit to be kept. With a few dozen facts, a smaller gain is chance.
GAIN = 0.01

#: The reason when no place has merit and none has a problem.
_UNMEASURED = "no edit took hold, or the model answers no question about other subjects"

#: ("edit" or "joint", setting, values), see `candidates.grid`.
Grid = Sequence[tuple[str, str, tuple[SettingValue, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """One candidate and its measurements.

    Attributes:
        place: the edited layers.
        settings: settings that differ from those at the start.
        score: score of its edits.
        seconds: seconds that it took, with all questions.
        problem: why it ended early; empty when it did not.
    """

    place: EditPlace
    settings: ChangedSettings = field(default_factory=ChangedSettings)
    score: Score
    seconds: float
    problem: str = ""

    @property
    def merit(self) -> Merit:
        """The merit of the score."""
        return merit(self.score)


#: Measures a candidate.
MeasureCandidate = Callable[[EditPlace, ChangedSettings], CandidateResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """All candidates, and the best ones.

    Attributes:
        places: stage one, every place with the settings at the start.
        variations: stage two, changed settings at the best place.
        single: the best single layer of stage one.
        best: the best of all.
    """

    places: tuple[CandidateResult, ...]
    variations: tuple[CandidateResult, ...]
    single: CandidateResult
    best: CandidateResult


def search(places: Sequence[EditPlace], grid: Grid, measure: MeasureCandidate) -> SweepResult:
    """Try every place, then each setting in turn at the best place. A changed setting that gains is kept.

    Raises:
        EditError: when no place has merit; names a reason.
    """
    first = [measure(place, ChangedSettings()) for place in places]
    start = reduce(_better, first)
    if math.isnan(start.merit.value):
        reason = next((one.problem for one in first if one.problem), _UNMEASURED)
        raise EditError(f"no layer of {', '.join(map(str, places))} takes these edits: {reason}")
    best, second = start, list[CandidateResult]()
    for kind, name, values in grid:
        tried = [measure(start.place, best.settings.having(kind, name, value)) for value in values]
        second += tried
        best = reduce(lambda one, other: _better(one, other, gain=GAIN), tried, best)
    single = reduce(_better, [one for one in first if one.place.alone])
    return SweepResult(places=tuple(first), variations=tuple(second), single=single, best=best)


def _better(one: CandidateResult, other: CandidateResult, *, gain: float = 0.0) -> CandidateResult:
    return other if better(other.merit, one.merit, gain=gain) else one
