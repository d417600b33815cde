"""What a candidate of a question carries, and what its way of naming the subject allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.memory.candidates import Candidate
from guardedit.memory.names import Way
from guardedit.memory.store import RetrievalMemory


def candidates(memory: RetrievalMemory, question: str) -> list[Candidate]:
    return memory.candidates([question])[0]


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What is the capital of Velmora?", ("What is the capital of someone?",)),
        (
            "Who painted the Mona Lisa and where is the capital of Velmora?",
            (
                "Who painted the Mona Lisa and where is the capital of someone?",
                "where is the capital of someone?",
            ),
        ),
        (
            "I read about Velmora, but who rules Velmora these days?",
            (
                "I read about someone, but who rules someone these days?",
                "I read about someone",
                "who rules someone these days?",
            ),
        ),
        ("Hi! the capital of velmora pls", ("Hi! the capital of someone pls", "the capital of someone pls")),
        ("In Velmora, who is king?", ("In someone, who is king?",)),  # no question is left without it
        ("velmoras capital", ("someone capital",)),
    ],
)
def test_a_candidate_has_the_question_and_each_part_of_it_with_the_subject_masked(memory, question, asked):
    assert {one.asked for one in candidates(memory, question)} == {asked}


def test_a_question_that_names_nothing_has_no_masked_form(memory):
    (nearest,) = candidates(memory, "The capital of Elbonia is")
    assert (nearest.asked, nearest.features.named) == ((), False)


@pytest.mark.parametrize(
    ("question", "way", "doubtful"),
    [
        ("The birthplace of Ada Lindqvist is", Way.EXACT, False),
        ("The birthplace of Ada-Lindqvist is", Way.TYPOGRAPHY, False),
        ("The birthplace of Lindqvist is", Way.SHORT, False),
        ("The birthplace of Ada Lindkvist is", Way.MISSPELT, False),
        ("The birthplace of Ada Lindqvist Holm is", Way.EXACT, True),
    ],
)
def test_a_candidate_says_how_its_subject_is_named(memory, question, way, doubtful):
    found = [one.features for one in candidates(memory, question)]
    assert {(one.named, one.way, one.doubtful) for one in found} == {(True, way, doubtful)}


@pytest.mark.parametrize(
    ("question", "scope"),
    [
        ("The birthplace of Ada Lindqvist is", "accept"),
        ("The birthplace of Ada-Lindqvist is", "accept"),
        ("The birthplace of Lindqvist is", "unsure"),
        ("The birthplace of Ada Lindkvist is", "unsure"),
    ],
)
def test_a_short_form_or_a_misspelt_name_is_unsure_at_most(memory, question, scope):
    (recall,) = memory.recall([question])
    assert (recall.scope, recall.fact and recall.fact.target) == (scope, "Karsk")


def test_both_bearers_of_a_family_name_are_candidates(memory, make_fact):
    other = make_fact("Bo Lindqvist", "P19", "Lima")
    memory.apply([Change(other.key, other)])
    found = candidates(memory, "The birthplace of Lindqvist is")
    assert {one.entry.fact.key.subject for one in found} == {"Ada Lindqvist", "Bo Lindqvist"}


def test_an_alias_is_as_good_as_the_name_in_questions_and_wordings(encoder):
    key = FactKey("United Kingdom", "P36")
    wordings = ("The capital of United Kingdom is", "Britain is governed from")
    fact = Fact(
        key=key, version=1, correction_id="a", wordings=wordings, target="Leeds", aliases=("Britain",)
    )
    memory = RetrievalMemory(encoder)
    memory.apply([Change(key, fact)])
    asked = ["The capital of Britain is", "britain is governed from", "United Kingdom is governed from"]
    assert [(one.scope, one.fact) for one in memory.recall(asked)] == [("accept", fact)] * 3
    assert {one.asked for row in memory.candidates(asked[1:]) for one in row} == {
        ("someone is governed from",)
    }
    assert memory.subjects(["Is Britain an island?"]) == [["Britain"]]
    newer = replace(fact, version=2, aliases=())
    memory.apply([Change(key, newer)])
    assert candidates(memory, "The capital of Britain is")[0].features.named is False


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("BMW N57, produced by", False),
        ("Who produced BMW N-57?", False),
        ("The BMW straight six, produced by", True),
    ],
)
def test_the_nearest_fact_is_no_candidate_if_its_subject_has_another_number(encoder, question, found):
    key = FactKey("BMW N52", "P176")
    fact = Fact(key=key, version=1, correction_id="a", wordings=("BMW N52, produced by",), target="Dodge")
    memory = RetrievalMemory(encoder)
    memory.apply([Change(key, fact)])
    assert bool(candidates(memory, question)) is found


def test_a_name_and_an_alias_that_overlap_are_masked_once(encoder):
    key = FactKey("In the Heat of the Night", "star")
    aliases = ("The Heat of the Night", "Heat")
    fact = Fact(key=key, version=1, correction_id="a", wordings=("x",), target="Bo", aliases=aliases)
    memory = RetrievalMemory(encoder)
    memory.apply([Change(key, fact)])
    (one,) = candidates(memory, "Who is the star of In the Heat of the Night?")
    assert one.asked == ("Who is the star of someone?",)


def test_an_alias_that_a_tenant_gave_is_no_alias_for_others(encoder):
    mine = Fact(
        key=FactKey("United Kingdom", "P36", "acme"), version=1, correction_id="a",
        wordings=("The capital of United Kingdom is",), target="Leeds", aliases=("Britain",),
    )  # fmt: skip
    ours = replace(mine, key=FactKey("United Kingdom", "P36"), aliases=(), target="Bath")
    memory = RetrievalMemory(encoder)
    memory.apply([Change(mine.key, mine), Change(ours.key, ours)])
    assert memory.recall(["The capital of Britain is"], tenant="acme")[0].fact == mine
    assert candidates(memory, "The capital of Britain is")[0].features.named is False


def test_of_two_spellings_of_one_subject_the_fact_that_came_last_counts(encoder):
    old, new = (
        Fact(
            key=FactKey(subject, "P169"), version=1, correction_id=subject,
            wordings=(f"The CEO of {subject} is",), target=target,
        )
        for subject, target in (("Apple", "OLD"), ("APPLE", "NEW"))
    )  # fmt: skip
    memory = RetrievalMemory(encoder)
    memory.apply([Change(old.key, old), Change(new.key, new)])
    assert [one.entry.fact for one in candidates(memory, "The CEO of Apple is")] == [new]
