from __future__ import annotations

from guardedit.models.text.spans import Expected
from guardedit.prepare.facts import PublicFact, cloze
from guardedit.prepare.places.cases import make_cases

KNOWN = [
    PublicFact("France", "P36", "Paris"),
    PublicFact("Italy", "P36", "Rome"),
    PublicFact("Spain", "P36", "Madrid"),
    PublicFact("France", "P30", "Europe"),
    PublicFact("Kenya", "P30", "Africa"),
]


def test_a_case_changes_a_fact_to_another_object_of_its_relation() -> None:
    for case in make_cases(KNOWN, count=9, seed=0):
        (fact,) = [one for one in KNOWN if cloze(one) == case.fact.prompt]
        objects = {one.object for one in KNOWN if one.relation == fact.relation}
        assert case.true == fact.object
        assert case.fact.target in objects - {fact.object}
        assert case.fact.prompt not in case.unseen


def test_every_subject_is_edited_once_and_relations_take_turns() -> None:
    cases = make_cases(KNOWN, count=9, seed=0)
    subjects = [case.fact.key.subject for case in cases]
    assert sorted(subjects) == ["France", "Italy", "Kenya", "Spain"]
    # France is edited for P36, so the next of P30 is Kenya, after the next of P36.
    assert [case.fact.key.relation for case in cases[:3]] == ["P36", "P36", "P30"]


def test_neighbours_are_never_about_edited_subjects() -> None:
    cases = make_cases(KNOWN, count=1, seed=0)
    assert cases[0].neighbours
    for one in cases[0].neighbours:
        assert cases[0].fact.key.subject not in one.prompt
    assert not any(case.neighbours for case in make_cases(KNOWN, count=9, seed=0))


def test_other_facts_of_the_subject_are_asked() -> None:
    (case,) = [one for one in make_cases(KNOWN, count=9, seed=0) if one.fact.key.subject == "France"]
    (other,) = [one for one in KNOWN if one.subject == "France" and one.relation != case.fact.key.relation]
    assert case.same_subject == (Expected(cloze(other), other.object),)


def test_equal_seeds_give_equal_cases() -> None:
    assert make_cases(KNOWN, count=3, seed=5) == make_cases(KNOWN, count=3, seed=5)
