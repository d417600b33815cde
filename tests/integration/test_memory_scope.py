"""How well the shipped scope test does on the demo's world, none of whose wordings it was fitted on.

Prints its numbers: `pytest -s tests/integration/test_memory_scope.py`.
"""

from __future__ import annotations

import random

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.store import RetrievalMemory
from guardedit.zoo.world import KnownFact, World

SEED, LIVE, STORED, ASKED = 0, 300, 4, 250

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> World:
    return World.load()


@pytest.fixture(scope="module")
def live(world: World) -> dict[KnownFact, list[int]]:
    """Live facts, each with the few wordings that the memory is given."""
    rng = random.Random(SEED)
    facts = rng.sample(world.facts, LIVE)
    return {fact: rng.sample(range(len(world.wordings[fact.relation])), STORED) for fact in facts}


@pytest.fixture(scope="module")
def memory(world: World, live: dict[KnownFact, list[int]]) -> RetrievalMemory:
    filled = RetrievalMemory(SentenceEncoder.load())
    filled.rebuild(
        [
            Fact(
                key=FactKey(fact.subject, fact.relation),
                version=1,
                correction_id=f"{fact.subject}/{fact.relation}",
                wordings=tuple(world.prompt(fact, i) for i in stored),
                target=fact.object,
            )
            for fact, stored in live.items()
        ]
    )
    return filled


def test_wordings_that_were_not_stored_find_their_fact(memory, world, live):
    pool = [(fact, i) for fact, stored in live.items() for i in range(9) if i not in stored]
    asked = random.Random(SEED).sample(pool, ASKED)
    recalls = memory.recall([world.prompt(fact, i) for fact, i in asked])
    hits = [
        recall.scope == "accept" and recall.fact.key[:2] == (fact.subject, fact.relation)
        for (fact, _), recall in zip(asked, recalls, strict=True)
    ]
    print(f"\nunseen wordings accepted to their fact: {sum(hits) / len(hits):.3f}")  # noqa: T201 - the number is the point
    assert sum(hits) >= 0.95 * len(hits)


def test_other_relations_of_a_live_subject_are_not_accepted(memory, world, live):
    subjects = {fact.subject for fact in live}
    pool = [fact for fact in world.facts if fact.subject in subjects and fact not in live]
    rng = random.Random(SEED)
    asked = [world.prompt(rng.choice(pool), rng.randrange(9)) for _ in range(ASKED)]
    wrong = [recall for recall in memory.recall(asked) if recall.scope == "accept"]
    print(f"\nother relations of the subject accepted: {len(wrong) / len(asked):.3f}")  # noqa: T201 - the number is the point
    assert len(wrong) <= 0.01 * len(asked)


def test_other_subjects_are_not_accepted(memory, world, live):
    subjects = {fact.subject for fact in live}
    pool = [fact for fact in world.facts if fact.subject not in subjects]
    rng = random.Random(SEED)
    asked = [world.prompt(rng.choice(pool), rng.randrange(9)) for _ in range(ASKED)]
    wrong = [recall for recall in memory.recall(asked) if recall.scope == "accept"]
    print(f"\nother subjects accepted: {len(wrong) / len(asked):.3f}")  # noqa: T201 - the number is the point
    assert len(wrong) <= 0.005 * len(asked)
