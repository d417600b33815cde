"""A search for edits that ruin a model: original ROME on prompts that begin with the subject.

There the key of the bare prompt can lie far from the keys behind a prefix; ROME's denominator is then small
and its update large ("The Fall of ROME", arXiv 2406.11263). It happens most where the subject is one or two
tokens. Knows a workbench, the world and probe texts; keeps nothing of what it tries.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from guardedit.core.errors import EditError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Probes
from guardedit.core.protocols import SubjectGroup, Workbench
from guardedit.evaluation.writing import Disabling
from guardedit.guard.perplexity import paired_ratio
from guardedit.zoo.world import World

METHOD = "rome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One edit, alone in the base model.

    `ratio` is its perplexity over the base's; infinite where the edited model has none, NaN where the method
    made no edit.
    """

    edit: Disabling
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """Everything that was tried, in order, and the ratio from which an edit counts as disabling."""

    tried: tuple[Attempt, ...]
    limit: float

    @property
    def found(self) -> tuple[Disabling, ...]:
        """What ruins the model, worst first."""
        bad = [attempt for attempt in self.tried if attempt.ratio > self.limit]
        return tuple(attempt.edit for attempt in sorted(bad, key=lambda attempt: -attempt.ratio))


def mine(
    world: World,
    workbench: Workbench,
    texts: Sequence[str],
    *,
    wanted: int,
    seed: int,
    tokens: Callable[[str], int] = len,
    limit: float = 1.03,
    most: int = 30,
) -> Mining:
    """Try subject-first edits until `wanted` of them multiply the perplexity by more than `limit`.

    Args:
        world: known facts; each subject is tried once, short names first.
        workbench: offers the method `rome`.
        texts: for the perplexity.
        wanted: disabling edits to find.
        seed: of the order among equally long names, and of the new objects.
        tokens: length of a name.
        limit: perplexity ratio above which an edit counts as disabling. One fact of thousands that costs the
            model more than all edits together may is no edit to serve, and such costs multiply.
        most: attempts after which the search ends with what it has.

    Raises:
        EditError: when the workbench does not know the method.
    """
    probes = Probes(texts=tuple(texts))
    tried: list[Attempt] = []
    for item in _candidates(world, random.Random(seed), tokens):
        if len(tried) >= most or sum(attempt.ratio > limit for attempt in tried) >= wanted:
            break
        tried.append(Attempt(edit=item, ratio=_ratio(world, workbench, item, probes)))
    return Mining(tried=tuple(tried), limit=limit)


def _candidates(world: World, rng: random.Random, tokens: Callable[[str], int]) -> Iterator[Disabling]:
    subjects = sorted(world.by_subject)
    rng.shuffle(subjects)
    for subject in sorted(subjects, key=tokens):
        fact = rng.choice(world.by_subject[subject])
        first = [i for i, text in enumerate(world.wordings[fact.relation]) if text.startswith("{}")]
        others = [name for name in world.objects[fact.relation] if name != fact.object]
        if first and others:
            yield Disabling(fact=fact, target=rng.choice(others), wording=rng.choice(first), method=METHOD)


def _ratio(world: World, workbench: Workbench, item: Disabling, probes: Probes) -> float:
    fact = Fact(
        key=FactKey(item.fact.subject, item.fact.relation),
        version=1,
        correction_id="miner",
        wordings=(world.prompt(item.fact, item.wording),),
        target=item.target,
        method=METHOD,
    )
    group = SubjectGroup(subject=item.fact.subject, facts=(fact,))
    edits = workbench.propose(METHOD, [group], ()).edits
    if not edits:
        return math.nan
    try:
        now = workbench.measure(edits, probes).logprobs
    except EditError:  # too large to be folded
        return math.inf
    ratio = paired_ratio(now, workbench.measure((), probes).logprobs).ratio
    return math.inf if math.isnan(ratio) else ratio
