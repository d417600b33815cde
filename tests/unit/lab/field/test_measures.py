"""The published metrics against numbers that were computed by hand."""

from __future__ import annotations

import math

import pytest

from guardedit.lab.field.cases import (
    FieldCase,
    FieldEdit,
    FieldQuestion,
    QuestionGroup,
    case_of_one,
    own_question,
)
from guardedit.lab.field.measures import METRICS, FieldOutcome, free_questions, given_answers
from guardedit.lab.field.scoring import Scored
from guardedit.lab.field.summary import as_numbers, summarise

EDIT = FieldEdit(subject="Rome", prompt="Rome is in", target_new="Peru", target_true="Italy")
CASE = case_of_one(
    "a",
    EDIT,
    paraphrases=("p1", "p2"),
    neighbours=("n1", "n2", "n3", "n4"),
    attributes=("x",),
    others=(FieldQuestion(group=QuestionGroup.LOCALITY, prompt="l", wanted="Cher"),),
)


def scored(probability, said=(1,), likeliest=(1,)):
    return Scored(said, likeliest, math.log(probability))


def outcome(own=(0.6, 0.2), paraphrases=((0.5, 0.1), (0.1, 0.1)), true=0.4, new=0.3, **answers):
    scores = {("Rome is in", "Peru"): scored(own[0], (4, 5), (4, 9)), ("Rome is in", "Italy"): scored(own[1])}
    for name, (first, second) in zip(("p1", "p2"), paraphrases, strict=True):
        scores |= {(name, "Peru"): scored(first, (4, 5), (4, 5)), (name, "Italy"): scored(second)}
    for name in ("n1", "n2", "n3", "n4"):
        scores |= {(name, "Italy"): scored(true), (name, "Peru"): scored(new)}
    scores["l", "Cher"] = scored(0.1, (7, 8), (7, 3))
    told = {"Rome is in": "Peru, of course", "p1": "Peru.", "p2": "Italy", "n1": "Italy", "n2": "Spain"}
    return FieldOutcome(scores=scores, answers={**told, "l": "Cher", **answers})


def value(name, after, base=None, case=CASE):
    return METRICS[name](case, after, after if base is None else base)


def test_counterfact():
    after = outcome()
    assert value("ES", after) == 1.0
    assert value("PS", after) == 0.5  # of .5 > .1 and .1 > .1: a tie is a failure
    assert value("NS", after) == 1.0
    assert value("NS", outcome(true=0.3, new=0.3)) == 0.0
    assert value("EM", after) == pytest.approx(0.6 - 0.2)
    assert value("PM", after) == pytest.approx((0.4 + 0.0) / 2)
    assert value("NM", after) == pytest.approx(0.4 - 0.3)


def test_the_score_is_the_harmonic_mean_of_the_means():
    found = summarise([CASE], {CASE.name: outcome()}, outcome(), seed=0)
    assert found["S"].value == pytest.approx(3 / (1 / 1 + 1 / 0.5 + 1 / 1))
    assert list(found)[:4] == ["ES", "PS", "NS", "S"]


def test_zsre():
    after, base = outcome(), outcome()
    assert value("reliability", after) == 0.5  # one of two tokens
    assert value("generalization", after) == 1.0
    assert value("locality", after, base) == 1.0
    changed = dict(base.scores)
    changed["l", "Cher"] = scored(0.9, (7, 8), (7, 8))  # right now, but not what the base model said
    changed["n1", "Italy"] = scored(0.4, (1,), (2,))
    moved = FieldOutcome(scores=changed, answers=base.answers)
    assert value("locality", moved, base) == pytest.approx((0 + 1 + 1 + 1 + 0.5) / 5)


def test_free_answers():
    after = outcome()
    assert value("free_own_contains", after) == 1.0
    assert value("free_own_exact", after) == 0.0
    assert value("free_paraphrase_contains", after) == 0.5
    assert value("free_paraphrase_exact", after) == 0.5  # the full stop does not count
    assert value("free_others_contain", after) == pytest.approx(2 / 3)
    assert value("free_others_unchanged", after, outcome(n2="Malta")) == pytest.approx(2 / 3)


def test_a_multi_hop_case_counts_with_one_right_question_or_alias():
    hops = tuple(
        FieldQuestion(group=QuestionGroup.MULTI_HOP, prompt=p, wanted="Lima", aliases=("City of Kings",))
        for p in ("h1", "h2", "h3")
    )
    case = FieldCase(name="m", edits=(EDIT,), questions=(own_question(EDIT), *hops))
    told = {"Rome is in": "Peru", "h1": "Rome", "h2": "It is the City of Kings", "h3": "Oslo"}
    assert (
        METRICS["multi_hop"](
            case, FieldOutcome(scores={}, answers=told), FieldOutcome(scores={}, answers=told)
        )
        == 1
    )
    told |= {"h2": "Oslo. Lima."}  # only the first sentence counts
    assert (
        METRICS["multi_hop"](
            case, FieldOutcome(scores={}, answers=told), FieldOutcome(scores={}, answers=told)
        )
        == 0
    )
    assert math.isnan(value("multi_hop", outcome()))


def test_what_is_asked():
    pairs = given_answers(CASE)
    assert len(pairs) == 2 * (1 + 2 + 4) + 1
    assert ("x", "Peru") not in pairs
    assert [one.prompt for one in free_questions(CASE)] == ["Rome is in", "p1", "p2", "n1", "n2", "l"]


def test_undefined_metrics_are_nan_and_have_no_cases():
    found = summarise([CASE], {CASE.name: outcome()}, outcome(), seed=0)
    assert math.isnan(found["portability"].value)
    assert found["portability"].cases == 0
    assert found["ES"].interval == "wilson"
    assert found["PS"].interval == "bootstrap"
    numbers = as_numbers(found)
    assert numbers["ES"]["cases"] == 1
    assert math.isnan(numbers["multi_hop"]["low"])
