"""What editors of the demo model learn from: counterfactuals about subjects that no examination edits.

The subjects of `make_cases(world, ask, count=HELD_OUT, seed=0)` are left out altogether: neither edited, nor
kept, nor mentioned. Of the others, `Course` sets one in sixteen aside for validation, by digest of the name.
"""

from __future__ import annotations

from guardedit.editing.hyper.lessons import Example
from guardedit.zoo.examine import Ask, make_cases
from guardedit.zoo.world import World

#: Cases of seed 0 whose subjects training never sees.
HELD_OUT = 128


def held_out_subjects(world: World, ask: Ask) -> frozenset[str]:
    """Subjects that are for examination only."""
    return frozenset(case.fact.key.subject for case in make_cases(world, ask, count=HELD_OUT, seed=0))


def examples(world: World, held_out: frozenset[str]) -> tuple[Example, ...]:
    """Every other fact, in all wordings, with every other object of its relation as a new answer."""
    return tuple(
        Example(
            subject=known.subject,
            relation=known.relation,
            wordings=tuple(world.prompt(known, n) for n in range(len(world.wordings[known.relation]))),
            old=known.object,
            targets=tuple(other for other in world.objects[known.relation] if other != known.object),
        )
        for known in world.facts
        if known.subject not in held_out and len(world.objects[known.relation]) > 1
    )
