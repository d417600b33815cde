"""The order in which candidates are tried, and which one is kept. Knows merit; measures nothing itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from guardedit.core.errors import EditError
from guardedit.editing.edit_card import Dial
from guardedit.lab.sweep.candidates import Dials, Place
from guardedit.lab.sweep.merit import Merit, Score, better, merit

#: Merit by which a dial must be better to be changed: less is luck with a few dozen facts.
GAIN = 0.01

#: The usual reason where nothing broke.
_UNMEASURED = "no edit took hold, or the model answers no question about other subjects"

#: Whose dials, dial, values.
Grid = Sequence[tuple[str, str, tuple[Dial, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One candidate.

    Attributes:
        place: the layers edited.
        dials: set otherwise than at the beginning.
        score: what was measured.
        seconds: that it took, with all questions.
        problem: why it ended early; empty when it did not.
    """

    place: Place
    dials: Dials = field(default_factory=Dials)
    score: Score
    seconds: float
    problem: str = ""

    @property
    def merit(self) -> Merit:
        """Of the score."""
        return merit(self.score)


#: Edits at a place with dials and asks.
Measure = Callable[[Place, Dials], Tried]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was tried and what was kept.

    Attributes:
        places: stage one, every place with the dials as they were.
        dials: stage two, around the best place.
        single: the best layer alone.
        best: the best of all.
    """

    places: tuple[Tried, ...]
    dials: tuple[Tried, ...]
    single: Tried
    best: Tried


def search(places: Sequence[Place], grid: Grid, measure: Measure) -> Search:
    """Try every place, then around the best one every dial in turn; a change is kept before the next dial.

    Raises:
        EditError: when no place has any merit; names a reason.
    """
    first = [measure(place, Dials()) for place in places]
    start = reduce(_better, first)
    if math.isnan(start.merit.value):
        reason = next((one.problem for one in first if one.problem), _UNMEASURED)
        raise EditError(f"no layer of {', '.join(map(str, places))} takes these edits: {reason}")
    best, second = start, list[Tried]()
    for kind, name, values in grid:
        tried = [measure(start.place, best.dials.having(kind, name, value)) for value in values]
        second += tried
        best = reduce(lambda one, other: _better(one, other, gain=GAIN), tried, best)
    single = reduce(_better, [one for one in first if one.place.alone])
    return Search(places=tuple(first), dials=tuple(second), single=single, best=best)


def _better(one: Tried, other: Tried, *, gain: float = 0.0) -> Tried:
    return other if better(other.merit, one.merit, gain=gain) else one
