from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.editors.cases import PortabilityKind
from guardedit.lab.editors.world_facts import withheld, world_cases
from guardedit.zoo.world import KnownFact, World


def test_subjects_that_are_asked_for_locality_are_never_edited(world):
    cases = world_cases(world, count=60, seed=0)

    assert not any(withheld(case.fact.key.subject) for case in cases)
    asked = {known.subject for case in cases for known in case.other_subject}
    assert asked
    assert all(map(withheld, asked))


def test_every_subject_is_edited_once_before_any_is_edited_again(world):
    subjects = {name for name in world.by_subject if not withheld(name)}
    cases = world_cases(world, count=len(subjects) + 5, seed=0)
    edited = [case.fact.key.subject for case in cases]

    assert set(edited[: len(subjects)]) == subjects
    assert edited[len(subjects) :] == edited[:5]
    assert len({case.fact.key for case in cases}) == len(cases)


def test_wordings_that_are_asked_are_not_given(world):
    for case in world_cases(world, count=10, seed=1):
        assert case.unseen
        assert not set(case.unseen) & set(case.fact.wordings)
        assert case.fact.target != case.old
        assert all(k.subject == case.fact.key.subject for k in case.same_subject)
        assert all(q.relation != case.fact.key.relation for q in case.keep)


def test_fewer_edits_are_the_first_of_many(world):
    many = [case.fact.key for case in world_cases(world, count=20, seed=3)]
    few = [case.fact.key for case in world_cases(world, count=7, seed=3)]
    assert few == many[:7]
    assert world_cases(world, count=7, seed=3) == world_cases(world, count=7, seed=3)


def test_more_edits_than_facts_are_refused(world):
    with pytest.raises(UsageError, match="ask for fewer"):
        world_cases(world, count=1_000, seed=0)


def test_a_capital_is_asked_back_from_the_city():
    facts = tuple(KnownFact(f"Land {n}", "P36", f"City {n}") for n in range(20))
    wordings = {"P36": tuple(f"capital {i} of {{}} is" for i in range(6)), "P1376": ("{} is the capital of",)}
    (case, *_) = world_cases(World(facts, wordings), count=5, seed=0)

    (back,) = [p for p in case.portable if p.kind is PortabilityKind.REVERSE]

    assert back.prompt == f"{case.fact.target} is the capital of"
    assert back.base_prompt == f"{case.old} is the capital of"
    assert back.answer == back.base_answer == case.fact.key.subject
