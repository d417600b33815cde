"""Edits of the embedded world: facts the demo model knows get another object of their relation.

Knows the world; runs no model.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact
from guardedit.core.probe import Kind, Question
from guardedit.guard.catalogue import KnownQuestion
from guardedit.lab.editors.cases import Carried, EditCase, Portable, carried
from guardedit.zoo.examine import counterfactual
from guardedit.zoo.world import KnownFact, World

#: Relation -> the relation that says the same from the object's side.
INVERSE = {"P36": "P1376", "P1376": "P36", "P47": "P47", "P190": "P190"}
#: One subject in so many is never edited, nor shown to a method as known: locality is asked of these.
WITHHELD = 8
#: Questions about other subjects a case: of the same relation, and of any.
NEAR, FAR = 5, 5


def withheld(subject: str) -> bool:
    """Whether a subject is kept for questions of locality, by a hash of its name.

    >>> withheld("Austria"), withheld("Rome")
    (False, True)
    """
    return int(hashlib.sha256(subject.encode()).hexdigest(), 16) % WITHHELD == 0


def world_cases(world: World, *, count: int, seed: int) -> list[EditCase]:
    """Counterfactual edits, on different subjects while there are any, then further facts of the first ones.

    Subjects come in the order of `zoo.examine.make_cases` with the same seed. Each fact is given in
    `zoo.examine.GIVEN` wordings; the other wordings of its relation are unseen.

    Args:
        world: only what the model knows, see `zoo.probes.known_world`.
        count: how many.
        seed: of every choice.

    Raises:
        UsageError: when the world has no such number of facts to edit.
    """
    rng = random.Random(seed)
    subjects = sorted(world.by_subject)
    rng.shuffle(subjects)
    asked = [fact for fact in world.facts if withheld(fact.subject)]
    chosen = _first_facts(world, [s for s in subjects if not withheld(s)], count, rng)
    if len(chosen) < count:
        raise UsageError(f"{count} edits wanted, the world has {len(chosen)} facts to edit: ask for fewer")
    return [_case(world, known, asked, rng) for known in chosen]


def _first_facts(world: World, subjects: Sequence[str], count: int, rng: random.Random) -> list[KnownFact]:
    """One fact a subject, then a second one each, and so on."""
    rounds: list[list[KnownFact]] = []
    for subject in subjects:
        facts = list(world.by_subject[subject])
        rng.shuffle(facts)
        for n, fact in enumerate(facts):
            if n == len(rounds):
                rounds.append([])
            rounds[n].append(fact)
    return [fact for facts in rounds for fact in facts][:count]


def _case(world: World, known: KnownFact, asked: Sequence[KnownFact], rng: random.Random) -> EditCase:
    fact = counterfactual(world, known, rng)
    wordings = [world.prompt(known, i) for i in range(len(world.wordings[known.relation]))]
    unseen = tuple(text for text in wordings if text not in fact.wordings)
    mine = [f for f in world.by_subject[known.subject] if f != known]
    near = [f for f in asked if f.relation == known.relation]
    others = rng.sample(near, min(NEAR, len(near))) + rng.sample(asked, min(FAR, len(asked)))
    other_subject = tuple(dict.fromkeys(_question(world, f, rng) for f in others))
    portable = carried(fact, unseen[0], names=world.by_subject, aside=(*other_subject, None)[0])
    return EditCase(
        fact=fact,
        old=known.object,
        keep=tuple(
            Question(
                prompt=world.prompt(f, wording),
                kind=Kind.SAME_SUBJECT,
                expected=f.object,
                subject=f.subject,
                relation=f.relation,
            )
            for f in mine
            for wording in world.shown(f)[:2]  # as many as the probe set has of a fact
        ),
        unseen=unseen,
        same_subject=tuple(_question(world, f, rng) for f in mine),
        other_subject=other_subject,
        portable=(*portable, *_reverse(world, known, fact)),
    )


def _reverse(world: World, known: KnownFact, fact: Fact) -> list[Portable]:
    """The question from the object's side, for relations that have such a side."""
    inverse = INVERSE.get(known.relation)
    if inverse is None:
        return []
    ask = world.wordings[inverse][0].format
    return [
        Portable(
            kind=Carried.REVERSE,
            prompt=ask(fact.target),
            answer=known.subject,
            before=ask(known.object),
            before_answer=known.subject,
        )
    ]


def _question(world: World, fact: KnownFact, rng: random.Random) -> KnownQuestion:
    prompt = world.prompt(fact, rng.choice(world.shown(fact)))
    return KnownQuestion(fact.subject, fact.relation, prompt, fact.object)
