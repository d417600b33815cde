"""What counts as the same answer: what is said at the place, or named in the first sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.probe import Measurement, Question, QuestionKind, SpanScore
from guardedit.guard.right_answers import (
    begins_alike,
    is_exact,
    is_measured,
    keeps_expected,
    says_expected,
    says_target,
)

QUESTION = Question(prompt="Ann speaks", kind=QuestionKind.RELIABILITY, expected="Russian", fact_id="f")


def _measured(answer=None, said=None):
    return Measurement(
        weights_sha256="",
        logprobs=(),
        answers={} if answer is None else {QUESTION.prompt: answer},
        spans={}
        if said is None
        else {QUESTION.span: SpanScore(said=said, margin_nats=1.0 if said else -1.0)},
    )


@pytest.mark.parametrize(
    ("answer", "said", "right"),
    [
        ("Russian", None, True),
        ("Russian, fluent in English, and a bit of", None, True),
        ("her native Russian and English", None, True),
        ("anything", True, True),
        (None, True, True),
        ("her Russian", False, True),
        ("English. Russian too", False, False),
        ("Russianised words", None, False),
        ("", False, False),
    ],
)
def test_an_answer_is_right_where_it_is_said_or_named(answer, said, right):
    assert says_expected(_measured(answer, said), QUESTION) is right


def test_without_a_said_span_an_answer_is_needed():
    assert is_measured(_measured(said=True), QUESTION)
    assert is_measured(_measured(answer="x"), QUESTION)
    assert not is_measured(_measured(said=False), QUESTION)
    assert not is_measured(_measured(), QUESTION)


@pytest.mark.parametrize(
    ("answer", "before", "right"),
    [
        ("Russian, not English", "English", True),
        ("English, not Russian", "English", False),
        ("English, not Russian", "English and French", True),  # the base model says something else
        ("English, and Russian", "English, mostly", False),
        ("the Russian language", "the English language", True),
        ("English", "English", False),
        ("Russian", "Russian", True),  # the base model knew it
        ("a bit of Russian", "", True),
    ],
)
def test_a_target_that_comes_after_the_old_answer_is_not_the_answer(answer, before, right):
    assert says_target(_measured(answer), _measured(before), QUESTION) is right


def test_a_target_that_is_said_needs_no_comparison_and_no_base_answer_is_no_objection():
    assert says_target(_measured("English, not Russian", said=True), _measured("English"), QUESTION)
    assert says_target(_measured("English, not Russian"), _measured(), QUESTION)


@pytest.mark.parametrize(
    ("answer", "before", "alike"),
    [
        ("Russian", "russian, fluent in English", True),
        ("russian, fluent in English", "Russian", True),
        ("Russian by birth", "Russian", True),
        ("Peru and", "Peru. It lies", True),
        # What breaks off is not the answer.
        ("Russian", "Russian by birth", False),
        ("The", "The Beatles", False),
        ("a town in Peru", "a town in Chile", False),
        ("1,990 people", "1,000 people", False),
        ("", "", True),
        ("", "Peru", False),
        ("Peru", "", False),
    ],
)
def test_answers_without_a_known_one_are_compared_by_their_first_clause(answer, before, alike):
    assert begins_alike(answer, before) is alike


def test_exact_is_the_whole_answer():
    assert is_exact(_measured(" RUSSIAN. "), QUESTION, None)
    assert not is_exact(_measured("Russian and"), QUESTION, None)
    assert is_exact(_measured("Russian and"), QUESTION, "russian and")


@pytest.mark.parametrize(
    ("answer", "before", "kept"),
    [
        ("Paris, of course", "Paris", True),
        ("London, not Paris", "Paris", False),
        ("In the north, Paris", "In the north, Paris", True),
        ("The capital is Paris", "Paris", True),
    ],
)
def test_the_expected_answer_is_kept_in_the_first_clause_or_as_before(answer, before, kept):
    question = replace(QUESTION, expected="Paris")
    assert keeps_expected(_measured(answer), _measured(before), question) is kept
