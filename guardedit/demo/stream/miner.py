"""A search for edits that ruin a model: original ROME on prompts that begin with the subject.

There the key of the bare prompt can lie far from the keys behind a prefix; ROME's denominator is then small
and its update large ("The Fall of ROME", arXiv 2406.11263). ROME's dials are those it was published with.
Whether an edit is disabling is measured on what neither the guard nor the model has seen (`harm`). Keeps
nothing of what it tries.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from guardedit.demo.disabling import Disabling
from guardedit.demo.stream.weighing import Weighing
from guardedit.demo.stream.writing import GIVEN
from guardedit.zoo.world import KnownFact, World

METHOD = "rome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """Everything that was tried, in order, each with its harm alone in the base model."""

    tried: tuple[Disabling, ...]

    @property
    def found(self) -> tuple[Disabling, ...]:
        """What ruins the model, at most one a subject."""
        return tuple(item for item in self.tried if item.disabling)


def mine(
    weighing: Weighing,
    denominators: Mapping[str, float],
    *,
    wanted: int,
    seed: int,
    each: int = 3,
    most: int = 30,
) -> Mining:
    """Try subject-first edits until `wanted` subjects have a disabling one.

    Args:
        weighing: offers the method `rome`.
        denominators: subject -> denominator of ROME's update; the smallest are tried first.
        wanted: disabling edits to find.
        seed: of facts, wordings and new objects.
        each: attempts on one subject, with other facts, wordings or objects.
        most: attempts after which the search ends with what it has.

    Raises:
        EditError: when the worker does not know the method.
    """
    rng = random.Random(seed)
    tried: list[Disabling] = []
    found = 0
    for subject in sorted(denominators, key=lambda name: (denominators[name], name)):
        for item in islice(_candidates(weighing.world, subject, rng), each):
            if found == wanted or len(tried) == most:
                return Mining(tried=tuple(tried))
            tried.append(weighing.weighed(item))
            if tried[-1].disabling:
                found += 1
                break
    return Mining(tried=tuple(tried))


def _candidates(world: World, subject: str, rng: random.Random) -> Iterator[Disabling]:
    """Each fact of the subject in each wording that it opens, with an object drawn anew; in random order."""
    places = [
        (fact, wording)
        for fact in world.by_subject.get(subject, ())
        for wording, text in enumerate(world.wordings[fact.relation])
        if text.startswith("{}")
    ]
    for fact, wording in rng.sample(places, len(places)):
        if others := [name for name in world.objects[fact.relation] if name != fact.object]:
            yield _candidate(world, fact, wording, rng.choice(others), rng)


def _candidate(world: World, fact: KnownFact, wording: int, target: str, rng: random.Random) -> Disabling:
    rest = [i for i in range(len(world.wordings[fact.relation])) if i != wording]
    return Disabling(
        fact=fact,
        target=target,
        wordings=(wording, *rng.sample(rest, min(GIVEN - 1, len(rest)))),
        method=METHOD,
        kind=METHOD,
    )
