"""What a trial asks: complete where it must be, sampled by hash elsewhere, never about what may change."""

from __future__ import annotations

import random

import pytest

from guardedit.core.errors import GuardError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import QuestionKind
from guardedit.guard import ProbeSet
from guardedit.guard.catalogue import KnownQuestion

RELATIONS = {"capital": "The capital of {} is", "tongue": "People in {} speak", "east": "East of {} lies"}


def _catalogue():
    return [
        KnownQuestion(f"Land{i}", relation, prompt.format(f"Land{i}"), f"{relation} {i}")
        for i in range(20)
        for relation, prompt in RELATIONS.items()
    ]


def _set():
    second = [
        KnownQuestion(f"Land{i}", "capital", f"Land{i} is ruled from", f"capital {i}") for i in range(20)
    ]
    return ProbeSet(("A sentence.",), (*_catalogue(), *second))


def _fact(i, relation="capital", *, placement=Placement.MEMORY, wordings=None, key_relation=None):
    subject = f"Land{i}"
    return Fact(
        key=FactKey(subject, key_relation or relation),
        version=1,
        correction_id=f"c{i}{relation}",
        wordings=wordings or (RELATIONS[relation].format(subject), f"Told of {subject}, its {relation} is"),
        target=f"new {relation} {i}",
        placement=placement,
    )


def _live(*facts):
    return {fact.key: fact for fact in facts}


def _ask(batch, live=None, *, seed=0, other=10, earlier=3, probe_set=None):
    probe_set = probe_set or _set()
    probes = probe_set.for_trial(
        batch, live or {}, seed=seed, other_subject_sample=other, earlier_sample=earlier
    )
    return {kind: [q for q in probes.questions if q.kind is kind] for kind in QuestionKind}


def test_a_probe_set_without_texts_is_refused():
    with pytest.raises(GuardError, match="no texts"):
        ProbeSet(())


def test_questions_about_a_subject_ignore_its_case_and_spacing():
    assert len(_set().questions_about(" land3 ")) == 4
    assert _set().questions_about("Land99") == ()


def test_every_fact_is_asked_in_its_own_prompt_and_all_other_wordings():
    facts = [_fact(1), _fact(2, wordings=("Who? Land2", "Who? Land2", "What? Land2"))]
    asked = _ask(facts)
    assert {(q.prompt, q.expected, q.fact_id) for q in asked[QuestionKind.RELIABILITY]} == {
        ("The capital of Land1 is", "new capital 1", facts[0].id),
        ("Who? Land2", "new capital 2", facts[1].id),
    }
    assert {q.prompt for q in asked[QuestionKind.PARAPHRASE]} == {
        "Told of Land1, its capital is",
        "What? Land2",
    }


def test_other_subjects_are_never_in_the_batch_nor_edited_before():
    live = _live(*(_fact(i, placement=Placement.WEIGHTS) for i in range(5)), _fact(6))
    asked = _ask([_fact(10), _fact(11)], live, other=1000)[QuestionKind.OTHER_SUBJECT]
    assert {q.subject for q in asked} == {f"Land{i}" for i in range(20)} - {
        f"Land{i}" for i in (*range(5), 10, 11)
    }
    assert {q.expected for q in asked if q.subject == "Land6"} == {"capital 6", "tongue 6", "east 6"}


def test_other_subjects_prefer_the_relations_of_the_batch_and_ask_each_fact_once():
    asked = _ask([_fact(10)], other=25)[QuestionKind.OTHER_SUBJECT]
    assert [q.relation for q in asked[:19]] == ["capital"] * 19
    assert {q.relation for q in asked[19:]} <= {"tongue", "east"}
    assert len({(q.subject, q.relation) for q in asked}) == len(asked) == 25


def test_other_relations_of_an_edited_subject_are_asked_with_their_known_answers():
    asked = _ask([_fact(10)])[QuestionKind.SAME_SUBJECT]
    assert {(q.relation, q.expected) for q in asked} == {("tongue", "tongue 10"), ("east", "east 10")}


def test_a_relation_with_a_live_fact_of_any_placement_is_not_asked_as_unchanged():
    live = _live(_fact(10, "tongue"), _fact(11, "tongue"))
    assert {q.relation for q in _ask([_fact(10)], live)[QuestionKind.SAME_SUBJECT]} == {"east"}


def test_a_fact_without_relation_name_is_recognised_by_a_wording_of_the_catalogue():
    fact = _fact(10, key_relation="The capital of {} is")
    assert {q.relation for q in _ask([fact])[QuestionKind.SAME_SUBJECT]} == {"tongue", "east"}


def test_earlier_edits_of_the_same_subject_are_all_asked_and_others_are_sampled():
    near = [_fact(10, relation, placement=Placement.WEIGHTS) for relation in ("tongue", "east")]
    far = [_fact(i, placement=Placement.WEIGHTS) for i in range(9)]
    superseded = _fact(10, placement=Placement.WEIGHTS, wordings=("Old Land10",))
    asked = _ask([_fact(10)], _live(*near, *far, superseded, _fact(15)))[QuestionKind.EARLIER]
    assert {q.prompt for q in asked[:2]} == {fact.prompt for fact in near}
    assert {q.prompt for q in asked[2:]} < {fact.prompt for fact in far}
    assert len(asked) == 5
    assert all(q.expected.startswith("new ") for q in asked)


def test_equal_arguments_give_equal_probes_whatever_the_order():
    batch = [_fact(i) for i in range(6)]
    live = [_fact(i, "east", placement=Placement.WEIGHTS) for i in range(4, 12)]
    first = _ask(batch, _live(*live))
    random.Random(1).shuffle(batch)
    random.Random(2).shuffle(live)
    assert _ask(batch, _live(*live)) == first
    assert _ask(batch, _live(*live), seed=1) != first


def test_half_a_batch_is_mostly_asked_what_the_whole_was():
    catalogue = [KnownQuestion(f"Sea{i}", "tongue", f"At Sea{i} they say", f"word {i}") for i in range(300)]
    probe_set = ProbeSet(("A.",), tuple(catalogue))
    batch = [_fact(i, "tongue") for i in range(8)]
    whole, half = (
        {q.prompt for q in _ask(part, other=40, probe_set=probe_set)[QuestionKind.OTHER_SUBJECT]}
        for part in (batch, batch[:4])
    )
    assert len(whole & half) == 40


def test_a_batch_of_nothing_still_watches_the_rest():
    live = _live(*(_fact(i, placement=Placement.WEIGHTS) for i in range(5)))
    asked = _ask([], live)
    assert {kind: len(rows) for kind, rows in asked.items()} == {
        QuestionKind.RELIABILITY: 0,
        QuestionKind.PARAPHRASE: 0,
        QuestionKind.OTHER_SUBJECT: 10,
        QuestionKind.SAME_SUBJECT: 0,
        QuestionKind.EARLIER: 3,
        QuestionKind.REMEMBERED: 0,
    }


def test_facts_in_the_memory_are_asked_as_they_are_served():
    kept = [_fact(n) for n in range(20, 26)]
    batch = [kept[0]]
    asked = _set().for_trial(
        batch,
        _live(*kept),
        seed=1,
        other_subject_sample=0,
        earlier_sample=0,
        remembered_sample=3,
        served=lambda fact, question: f"{fact.target}! {question}",
    )
    found = [q for q in asked.questions if q.kind is QuestionKind.REMEMBERED]
    assert len(found) == 3
    assert all(q.prompt.startswith(f"{q.expected}! ") and not q.fact_id for q in found)
    assert kept[0].prompt not in {q.prompt.partition("! ")[2] for q in found}


def test_every_question_is_put_in_the_form_that_is_served():
    facts = [_fact(10), _fact(11, "tongue", placement=Placement.WEIGHTS), _fact(12, "east")]
    known = (
        *_catalogue()[:6],
        KnownQuestion("Sea", "tongue", "What is spoken at Sea?", "Salt", "They speak"),
    )
    asked = ProbeSet(("A.",), known).for_trial(
        facts[:1],
        _live(*facts),
        seed=0,
        other_subject_sample=9,
        earlier_sample=9,
        remembered_sample=9,
        served=lambda fact, question: f"<{fact.target}|{question}>",
        asked=lambda question: f"<{question}>",
    )
    kinds = {q.kind for q in asked.questions}
    assert kinds >= {QuestionKind.RELIABILITY, QuestionKind.OTHER_SUBJECT, QuestionKind.EARLIER}
    assert all(q.prompt == f"<{q.asked}>" for q in asked.questions if q.kind is not QuestionKind.REMEMBERED)
    (remembered,) = [q for q in asked.questions if q.kind is QuestionKind.REMEMBERED]
    assert (remembered.prompt, remembered.asked) == (f"<new east 12|{facts[2].prompt}>", facts[2].prompt)
    (led,) = [q for q in asked.questions if q.subject == "Sea"]
    assert led.span == ("<What is spoken at Sea?>", "They speak", "Salt")


def test_a_question_that_is_asked_as_it_is_has_no_second_wording():
    (first, *_) = _set().for_trial([_fact(1)], {}, seed=0, other_subject_sample=0, earlier_sample=0).questions
    assert (first.asked, first.wording) == ("", first.prompt)
