"""The gates on answers: what counts, what is a loss, and when it is certain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardedit.core.probe import Measurement, Probes, Question, QuestionKind, SpanScore
from guardedit.core.verdict import Outcome
from guardedit.guard.answer_counts import count_answers
from guardedit.guard.answers import answer_gates, answer_numbers
from guardedit.guard.limits import GuardLimits
from guardedit.guard.noise import Noise

LIMITS = GuardLimits(min_other_subject_questions=0)
EMPTY = Measurement(weights_sha256="", logprobs=())


def _questions(kind, count=20, expected="Lima"):
    return tuple(Question(prompt=f"{kind} {i}", kind=kind, expected=expected) for i in range(count))


def _saying(questions, wrong=(), *, right="Lima, and much more", other="Rome"):
    return replace(EMPTY, answers={q.prompt: other if i in wrong else right for i, q in enumerate(questions)})


def _counts(questions, candidate, serving, base=EMPTY):
    return count_answers(candidate, serving, base, Probes(texts=(), questions=questions))


def _gate(questions, candidate, serving, base=EMPTY, *, limits=LIMITS, noise=None):
    probes = Probes(texts=(), questions=questions)
    counts = count_answers(candidate, serving, base, probes)
    return answer_gates(counts, candidate, probes, limits, noise or Noise())[0]


def _noise(kind, changed, questions, edits=10):
    return Noise(changed={kind.value: changed}, asked={kind.value: questions * edits}, edits=edits)


@pytest.mark.parametrize("kind", [k for k in QuestionKind if k is not QuestionKind.REMEMBERED])
def test_a_reworded_answer_is_kept_and_another_one_is_lost(kind):
    questions = _questions(kind)
    before = _saying(questions, right="Lima")
    assert _gate(questions, _saying(questions), before).value == 1.0
    lost = _gate(questions, _saying(questions, range(10)), before)
    assert (lost.value, lost.outcome) == (0.5, Outcome.REJECT)


def test_a_gate_records_the_first_lost_questions_with_both_answers():
    questions = _questions(QuestionKind.SAME_SUBJECT, 30)
    questions = (replace(questions[0], asked="Where is it?"), *questions[1:])
    found = _gate(questions, _saying(questions, range(30), other="R" * 500), _saying(questions))
    assert (len(found.lost), len(found.lost[0].answer)) == (20, 200)
    assert (found.lost[0].question, found.lost[0].expected) == ("Where is it?", "Lima")
    assert found.to_json()["lost"][1] == {
        "question": questions[1].prompt, "expected": "Lima", "answer": "R" * 200,
    }  # fmt: skip
    unknown = tuple(replace(q, expected=None) for q in questions[:3])
    found = _gate(unknown, _saying(unknown, [1], right="Lima", other="Rome"), _saying(unknown, right="Lima"))
    assert [(one.question, one.expected, one.answer) for one in found.lost] == [
        (unknown[1].prompt, "Lima", "Rome")
    ]


def test_a_said_span_counts_without_an_answer():
    questions = _questions(QuestionKind.EARLIER, 4)
    said = replace(EMPTY, spans={q.span: SpanScore(said=True, margin_nats=0.1) for q in questions})
    assert _gate(questions, said, said).value == 1.0
    unsaid = replace(EMPTY, spans={q.span: SpanScore(said=False, margin_nats=-0.1) for q in questions})
    assert _gate(questions, unsaid, said).outcome is Outcome.ERROR
    assert _gate(questions, replace(unsaid, answers=_saying(questions, range(4)).answers), said).value == 0.0


@pytest.mark.parametrize(
    "kind",
    [QuestionKind.SAME_SUBJECT, QuestionKind.EARLIER, QuestionKind.OTHER_SUBJECT, QuestionKind.REMEMBERED],
)
def test_only_what_the_reference_answers_rightly_counts_and_the_rest_is_told(kind):
    questions = _questions(kind)
    before = _saying(questions, range(5))
    after = _saying(questions, range(8))
    (counts, *_) = _counts(questions, after, before)
    assert (len(counts.counted), len(counts.lost), counts.ignored, counts.gained) == (15, 3, 5, 0)
    gate = _gate(questions, after, before)
    assert gate.value == pytest.approx(12 / 15)
    assert "5 more do not count" in gate.detail
    assert answer_numbers([counts])[f"{kind.value}_not_counted"] == 5.0


def test_facts_in_memory_count_where_the_base_model_obeyed_them():
    questions = _questions(QuestionKind.REMEMBERED)
    base, serving = _saying(questions, range(5)), _saying(questions)
    (counts,) = _counts(questions, _saying(questions, range(6)), serving, base)
    assert (len(counts.counted), len(counts.lost)) == (15, 1)


def test_a_kind_of_which_nothing_counts_has_no_gate_but_a_number():
    questions = _questions(QuestionKind.REMEMBERED, 3)
    wrong = _saying(questions, range(3))
    (counts,) = _counts(questions, wrong, wrong, wrong)
    assert answer_gates([counts], wrong, Probes(texts=(), questions=questions), LIMITS, Noise()) == []
    assert answer_numbers([counts])["remembered_not_counted"] == 3.0


def test_the_share_of_exact_answers_is_reported_and_does_not_decide():
    questions = _questions(QuestionKind.SAME_SUBJECT)
    after = _saying(questions)
    (counts,) = _counts(questions, after, _saying(questions, right="Lima"))
    assert answer_numbers([counts])["same_subject_exact"] == 0.0
    gate = _gate(questions, after, _saying(questions, right="Lima"))
    assert (gate.outcome, "0% word for word" in gate.detail) == (Outcome.ACCEPT, True)


def test_a_question_without_a_known_answer_is_compared_with_the_serving_epoch():
    questions = _questions(QuestionKind.SAME_SUBJECT, 4, expected=None)
    before = _saying(questions, right="a town in Peru")
    assert _gate(questions, _saying(questions, right="a town in Peru, and"), before).value == 1.0
    assert _gate(questions, _saying(questions, [1], right="a town in Peru"), before).value == 0.75


def test_noise_is_allowed_on_top_of_the_limit():
    questions = _questions(QuestionKind.OTHER_SUBJECT, 100)
    before, after = _saying(questions), _saying(questions, range(5))
    assert _gate(questions, after, before).outcome is Outcome.INCONCLUSIVE
    noise = _noise(QuestionKind.OTHER_SUBJECT, 20, 100)  # 2 % of the answers
    gate = _gate(questions, after, before, noise=noise)
    assert (gate.limit, gate.outcome) == (0.95, Outcome.ACCEPT)
    assert "lose 2.0%" in gate.detail
    six = _saying(questions, range(6))
    assert _gate(questions, six, before, noise=noise).outcome is Outcome.INCONCLUSIVE


def test_noise_counts_at_most_as_much_as_the_limit_allows():
    """Otherwise a model whose answers change all the time would let everything pass."""
    questions = _questions(QuestionKind.OTHER_SUBJECT, 100)
    before, after = _saying(questions), _saying(questions, range(60))
    noise = _noise(QuestionKind.OTHER_SUBJECT, 600, 100)  # 60 % of the answers
    assert _gate(questions, after, before, noise=noise).outcome is Outcome.REJECT
    allowed = round(2 * (1 - LIMITS.min_other_subject) * 100)
    assert _gate(questions, _saying(questions, range(allowed)), before, noise=noise).outcome is Outcome.ACCEPT


@pytest.mark.parametrize(
    ("questions_of_noise", "outcome"),
    [(0, Outcome.REJECT), (20, Outcome.INCONCLUSIVE), (200, Outcome.REJECT)],
)
def test_a_loss_among_all_questions_is_certain_unless_noise_may_be_the_reason(questions_of_noise, outcome):
    questions = _questions(QuestionKind.SAME_SUBJECT, 5)
    noise = _noise(QuestionKind.SAME_SUBJECT, 0, questions_of_noise) if questions_of_noise else None
    assert _gate(questions, _saying(questions, [0]), _saying(questions), noise=noise).outcome is outcome


def test_losses_beside_as_many_gains_are_not_certain():
    questions = _questions(QuestionKind.EARLIER, 60)
    before = _saying(questions, range(8))
    lost_only = _saying(questions, range(16))
    assert _gate(questions, lost_only, before).outcome is Outcome.REJECT
    as_many_gained = _saying(questions, range(8, 16))
    gate = _gate(questions, as_many_gained, before)
    assert gate.value == pytest.approx(44 / 52)
    assert gate.outcome is Outcome.INCONCLUSIVE
    few_gained = _saying(questions, range(1, 16))  # one of eight
    assert _gate(questions, few_gained, before).outcome is Outcome.REJECT


@given(
    st.sampled_from([k for k in QuestionKind if k is not QuestionKind.REMEMBERED]),
    st.integers(0, 19),
    st.integers(0, 40),
)
def test_one_more_loss_never_makes_an_outcome_better(kind, lost, changed):
    order = [Outcome.ACCEPT, Outcome.INCONCLUSIVE, Outcome.REJECT]
    questions, noise = _questions(kind), _noise(kind, changed, 40)
    found = [
        order.index(_gate(questions, _saying(questions, range(n)), _saying(questions), noise=noise).outcome)
        for n in (lost, lost + 1)
    ]
    assert found[0] <= found[1]


def test_a_message_names_what_a_person_asked():
    questions = (
        Question(prompt="<|user|>Peru?", kind=QuestionKind.RELIABILITY, expected="Lima", asked="Peru?"),
    )
    assert "'Peru?' is now answered 'Rome'" in _gate(questions, _saying(questions, [0]), EMPTY).detail
