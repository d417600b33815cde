from __future__ import annotations

import math

import pytest

from guardedit.lab.editors.measure import AnswerCounts, Measure, count, questions, refused


def test_a_fact_that_was_edited_since_is_no_question_of_locality(cases):
    case = next(case for case in cases if case.same_subject)
    other = case.same_subject[0]

    def asked(edited):
        return {one.prompt for one in questions([case], edited=edited)}

    key = case.fact.key._replace(relation=other.relation)
    assert asked({case.fact.key}) - asked({case.fact.key, key}) >= {other.prompt}


def test_a_question_that_several_cases_bring_counts_once(cases):
    once = questions(cases[:1], edited=())
    assert questions([cases[0], cases[0]], edited=()) == once


def test_few_questions_are_spread_over_the_cases_and_own_prompts_are_all_asked(cases):
    found = questions(cases, edited=(), most=4)
    by_measure = {m: [one for one in found if one.measure is m] for m in Measure}
    assert len(by_measure[Measure.RELIABILITY]) == len(cases)
    assert len(by_measure[Measure.GENERALIZATION]) == 4
    assert len({one.fact for one in by_measure[Measure.GENERALIZATION]}) == 4


def test_shares_add_up_over_edits_and_nothing_asked_is_undefined(cases):
    asked = questions(cases[:1], edited=())
    whole = count(asked, [True] * len(asked)) + count(asked, [False] * len(asked))
    assert whole.share(Measure.RELIABILITY) == 0.5
    assert math.isnan(AnswerCounts().share(Measure.RELIABILITY))
    assert math.isnan(whole.shares["portability_reverse"])


def test_a_refused_edit_has_failed_at_what_should_have_changed(cases):
    shares = refused(cases).shares
    assert (shares["reliability"], shares["generalization"]) == (0.0, 0.0)
    assert math.isnan(shares["locality"])


def test_the_base_model_keeps_everything_and_knows_no_edit(cases, examiner):
    asked = questions(cases, edited={case.fact.key for case in cases})

    right, ratio = examiner.examine([], asked)

    shares = count(asked, right).shares
    assert ratio == pytest.approx(1.0)
    assert (shares["locality"], shares["same_subject"]) == (1.0, 1.0)
    assert (shares["reliability"], shares["portability"]) == (0.0, 0.0)
