"""Makes test cases from the demo model's world: a known fact gets another object of its relation."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact
from guardedit.core.probe import Question, QuestionKind
from guardedit.guard.catalogue import KnownQuestion
from guardedit.lab.editors.cases import (
    EditCase,
    PortabilityKind,
    PortabilityQuestion,
    portability_questions,
)
from guardedit.zoo.examine import counterfactual
from guardedit.zoo.world import KnownFact, World

#: Relation -> its inverse: the same statement from the object's side.
INVERSE = {"P36": "P1376", "P1376": "P36", "P47": "P47", "P190": "P190"}
#: One subject in this many is reserved for locality: never edited, and never shown to a method.
WITHHELD = 8
#: Questions about other subjects per case: with the same relation, and with any.
NEAR, FAR = 5, 5


def withheld(subject: str) -> bool:
    """Whether a subject is reserved for locality, by a hash of its name.

    >>> withheld("Austria"), withheld("Rome")
    (False, True)
    """
    return int(hashlib.sha256(subject.encode()).hexdigest(), 16) % WITHHELD == 0


def world_cases(world: World, *, count: int, seed: int) -> list[EditCase]:
    """Counterfactual edits: first one of every subject, then a second one of every subject, and so on.

    Subjects come in the order of `zoo.examine.make_cases` with the same seed. A method is given
    `zoo.world.GIVEN_WORDINGS` wordings of each fact; the other wordings of its relation are unseen.

    Args:
        world: only facts that the model knows, see `zoo.probes.known_world`.
        count: number of cases.
        seed: seed of every random choice.

    Raises:
        UsageError: when the world has fewer facts to edit.
    """
    rng = random.Random(seed)
    subjects = sorted(world.by_subject)
    rng.shuffle(subjects)
    locality = [fact for fact in world.facts if withheld(fact.subject)]
    chosen = _in_rounds(world, [s for s in subjects if not withheld(s)], count, rng)
    if len(chosen) < count:
        raise UsageError(
            f"{count} edits requested, but the world has {len(chosen)} facts to edit: ask for fewer"
        )
    return [_case(world, known, locality, rng) for known in chosen]


def _in_rounds(world: World, subjects: Sequence[str], count: int, rng: random.Random) -> list[KnownFact]:
    """The first `count` facts, taking one fact of every subject in each round."""
    rounds: list[list[KnownFact]] = []
    for subject in subjects:
        facts = list(world.by_subject[subject])
        rng.shuffle(facts)
        for n, fact in enumerate(facts):
            if n == len(rounds):
                rounds.append([])
            rounds[n].append(fact)
    return [fact for facts in rounds for fact in facts][:count]


def _case(world: World, known: KnownFact, locality: Sequence[KnownFact], rng: random.Random) -> EditCase:
    fact = counterfactual(world, known, rng)
    wordings = [world.prompt(known, i) for i in range(len(world.wordings[known.relation]))]
    unseen = tuple(text for text in wordings if text not in fact.wordings)
    same_subject = [f for f in world.by_subject[known.subject] if f != known]
    near = [f for f in locality if f.relation == known.relation]
    others = rng.sample(near, min(NEAR, len(near))) + rng.sample(locality, min(FAR, len(locality)))
    other_subject = tuple(dict.fromkeys(_question(world, f, rng) for f in others))
    portable = portability_questions(fact, unseen[0], names=world.by_subject, aside=(*other_subject, None)[0])
    return EditCase(
        fact=fact,
        old=known.object,
        keep=tuple(
            Question(
                prompt=world.prompt(f, wording),
                kind=QuestionKind.SAME_SUBJECT,
                expected=f.object,
                subject=f.subject,
                relation=f.relation,
            )
            for f in same_subject
            for wording in world.shown(f)[:2]  # as many as the probe set has per fact
        ),
        unseen=unseen,
        same_subject=tuple(_question(world, f, rng) for f in same_subject),
        other_subject=other_subject,
        portable=(*portable, *_reverse(world, known, fact)),
    )


def _reverse(world: World, known: KnownFact, fact: Fact) -> list[PortabilityQuestion]:
    """The question from the object's side, for relations with an inverse."""
    inverse = INVERSE.get(known.relation)
    if inverse is None:
        return []
    ask = world.wordings[inverse][0].format
    return [
        PortabilityQuestion(
            kind=PortabilityKind.REVERSE,
            prompt=ask(fact.target),
            answer=known.subject,
            base_prompt=ask(known.object),
            base_answer=known.subject,
        )
    ]


def _question(world: World, fact: KnownFact, rng: random.Random) -> KnownQuestion:
    prompt = world.prompt(fact, rng.choice(world.shown(fact)))
    return KnownQuestion(fact.subject, fact.relation, prompt, fact.object)
