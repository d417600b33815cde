"""Makes the training examples for the trained editors (KE, MEND) of the demo model.

Each example is a counterfactual about a subject that no examination edits: the subjects of
`make_cases(world, ask, count=HELD_OUT, seed=0)` occur nowhere in the examples. `editing.hyper` puts one in
sixteen of the remaining subjects into the validation set, by digest of the name.
"""

from __future__ import annotations

from guardedit.editing.hyper.training_data import FactExample
from guardedit.zoo.examine import Ask, make_cases
from guardedit.zoo.world import World

#: Examination cases of seed 0 whose subjects are left out of training.
HELD_OUT = 128


def held_out_subjects(world: World, ask: Ask) -> frozenset[str]:
    """Subjects that are used for examination only."""
    return frozenset(case.fact.key.subject for case in make_cases(world, ask, count=HELD_OUT, seed=0))


def training_examples(world: World, held_out: frozenset[str]) -> tuple[FactExample, ...]:
    """One example per remaining fact: all wordings, and every other object of its relation as a target."""
    return tuple(
        FactExample(
            subject=known.subject,
            relation=known.relation,
            wordings=tuple(world.prompt(known, n) for n in range(len(world.wordings[known.relation]))),
            old=known.object,
            targets=tuple(other for other in world.objects[known.relation] if other != known.object),
        )
        for known in world.facts
        if known.subject not in held_out and len(world.objects[known.relation]) > 1
    )
