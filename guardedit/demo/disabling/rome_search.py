"""Searches for edits of original ROME that ruin the model, on prompts that begin with the subject.

In such prompts the key of the bare prompt can be far from the keys after a prefix. Then ROME's denominator is
small and its update large ("The Fall of ROME", arXiv:2406.11263). ROME runs with its published settings. Harm
is measured on held-out texts and questions. The model is left unchanged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.disabling.tester import HarmTester
from guardedit.demo.worlds.stream_world import StreamWorld
from guardedit.zoo.world import GIVEN_WORDINGS, KnownFact

METHOD = "rome"


@dataclass(frozen=True, slots=True, kw_only=True)
class RomeSearch:
    """All candidates that were tried, in order, each with its harm alone in the base model."""

    tried: tuple[DisablingEdit, ...]

    @property
    def found(self) -> tuple[DisablingEdit, ...]:
        """The candidates that ruin the model, at most one per subject."""
        return tuple(item for item in self.tried if item.disabling)


def search_rome_edits(
    tester: HarmTester,
    denominators: Mapping[str, float],
    *,
    wanted: int,
    seed: int,
    each: int = 3,
    most: int = 30,
) -> RomeSearch:
    """Try candidates until `wanted` subjects have a disabling edit.

    Args:
        tester: offers the method `rome`.
        denominators: subject -> denominator of ROME's update. The smallest are tried first.
        wanted: disabling edits to find.
        seed: seed of facts, wordings and targets.
        each: most attempts per subject, with other facts, wordings or targets.
        most: most attempts in total.

    Raises:
        EditError: when the worker does not know the method.
    """
    rng = random.Random(seed)
    tried: list[DisablingEdit] = []
    found = 0
    for subject in sorted(denominators, key=lambda name: (denominators[name], name)):
        for candidate in islice(_candidates(tester.world, subject, rng), each):
            if found == wanted or len(tried) == most:
                return RomeSearch(tried=tuple(tried))
            tried.append(tester.tested(candidate))
            if tried[-1].disabling:
                found += 1
                break
    return RomeSearch(tried=tuple(tried))


def _candidates(world: StreamWorld, subject: str, rng: random.Random) -> Iterator[DisablingEdit]:
    """The subject's facts in all wordings that begin with it, each with a random target, in random order."""
    places = [
        (fact, wording)
        for fact in world.by_subject.get(subject, ())
        for wording, text in enumerate(world.wordings[fact.relation])
        if text.startswith("{}")
    ]
    for fact, wording in rng.sample(places, len(places)):
        if others := [name for name in world.objects[fact.relation] if name != fact.object]:
            yield _candidate(world, fact, wording, rng.choice(others), rng)


def _candidate(
    world: StreamWorld, fact: KnownFact, wording: int, target: str, rng: random.Random
) -> DisablingEdit:
    rest = [i for i in range(len(world.wordings[fact.relation])) if i != wording]
    return DisablingEdit(
        fact=fact,
        target=target,
        wordings=(wording, *rng.sample(rest, min(GIVEN_WORDINGS - 1, len(rest)))),
        method=METHOD,
        kind=METHOD,
    )
