"""Tier 1: what passes, what is rejected, what is inconclusive and what could not be measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from guardedit.core.probe import Measurement, Probes, Question, QuestionKind
from guardedit.core.verdict import Outcome
from guardedit.guard.judge import judge
from guardedit.guard.limits import TRIAL_GATES, GuardLimits
from guardedit.guard.perplexity import paired_ratio
from guardedit.policy.resolution import binomial_tail

LIMITS = GuardLimits()
TEXTS = tuple(f"Text {i}." for i in range(30))


def _question(prompt, kind, expected=None, *, fact_id="", subject=""):
    return Question(prompt=prompt, kind=kind, expected=expected, fact_id=fact_id, subject=subject)


def _probes(*, others=48, earlier=32):
    questions = []
    for i in range(4):
        about = {"fact_id": f"f{i}", "subject": f"S{i}"}
        questions.append(_question(f"own {i}", QuestionKind.RELIABILITY, f"new {i}", **about))
        questions += [
            _question(f"said {i}.{j}", QuestionKind.PARAPHRASE, f"new {i}", **about) for j in range(2)
        ]
        questions += [
            _question(f"same {i}.{j}", QuestionKind.SAME_SUBJECT, subject=f"s{i}") for j in range(3)
        ]
    questions += [
        _question(f"other {i}", QuestionKind.OTHER_SUBJECT, f"old {i}", subject=f"O{i}")
        for i in range(others)
    ]
    questions += [
        _question(f"earlier {i}", QuestionKind.EARLIER, f"told {i}", subject=f"E{i}") for i in range(earlier)
    ]
    return Probes(texts=TEXTS, questions=tuple(questions))


PROBES = _probes()


def _answers(*, edited, probes=PROBES):
    answers = {}
    for q in probes.questions:
        before = (
            "was so"
            if q.kind in {QuestionKind.RELIABILITY, QuestionKind.PARAPHRASE} and not edited
            else q.expected
        )
        answers[q.prompt] = before or f"stays {q.prompt}"
    return answers


def _logprobs(*, shift=0.0, spread=0.0, texts=30, tokens=20):
    """Each text is worse by `shift` plus or minus `spread`, so the mean over 30 texts is `shift`."""
    rng = random.Random(1)
    return tuple(
        tuple(-abs(rng.gauss(4, 2)) - shift - (spread if i % 2 else -spread) for _ in range(tokens))
        for i in range(texts)
    )


BASE = Measurement(weights_sha256="0", logprobs=_logprobs(), answers=_answers(edited=False))
SERVING = replace(BASE, weights_sha256="1")
CANDIDATE = replace(BASE, weights_sha256="2", answers=_answers(edited=True))


def _judge(candidate=CANDIDATE, *, serving=SERVING, base=BASE, probes=PROBES, limits=LIMITS):
    return judge(candidate=candidate, serving=serving, base=base, probes=probes, limits=limits)


def _gate(verdict, name):
    return next(gate for gate in verdict.gates if gate.name == name)


def _saying(changes, measurement=CANDIDATE):
    return replace(measurement, answers={**measurement.answers, **changes})


def test_a_harmless_edit_that_took_effect_passes_every_gate():
    verdict = _judge()
    assert verdict.outcome is Outcome.ACCEPT
    assert verdict.reason == ""
    assert {gate.name for gate in verdict.gates} == set(TRIAL_GATES) - {"remembered"}  # nothing is
    assert verdict.probe_sha256 == PROBES.sha256
    assert all(gate.detail and not math.isnan(gate.value) for gate in verdict.gates)
    assert verdict.measured["perplexity_ratio_to_base"] == 1.0
    assert verdict.measured["perplexity"] == verdict.measured["perplexity_base"] > 1


def test_answers_are_compared_without_case_spacing_and_final_punctuation():
    assert _judge(_saying({"own 1": " NEW  1. ", "same 0.0": "Stays SAME 0.0!"})).outcome is Outcome.ACCEPT


def test_an_edit_that_had_no_effect_is_rejected_and_named():
    verdict = _judge(_saying({"own 2": "was so"}))
    gate = _gate(verdict, "reliability")
    assert (verdict.outcome, verdict.failing_facts) == (Outcome.REJECT, ("f2",))
    assert gate.value == 0.75
    assert str(gate) == "reliability 0.75 < 1"
    assert (
        gate.detail == "Halt: 3 of 4 answers are right; 75% word for word; 'own 2' is now answered 'was so'"
    )


def test_only_facts_below_the_limit_are_named_for_their_wordings():
    answers = {"said 1.0": "x", "said 3.0": "x", "said 3.1": "x"}
    verdict = _judge(_saying(answers), limits=replace(LIMITS, min_paraphrase=0.65, min_reliability=0))
    assert (verdict.outcome, verdict.failing_facts) == (Outcome.REJECT, ("f1", "f3"))
    assert _judge(_saying(answers), limits=replace(LIMITS, min_paraphrase=0.6)).outcome is Outcome.ACCEPT


def test_a_fact_that_meets_the_limit_itself_is_not_named_when_the_batch_fails():
    gone = {f"same {i}.{j}": "gone" for i, j in [(0, 0), *((i, j) for i in (1, 2) for j in range(3))]}
    verdict = _judge(_saying(gone), limits=replace(LIMITS, min_same_subject=0.6))
    assert _gate(verdict, "same_subject").value == pytest.approx(5 / 12)
    assert verdict.failing_facts == ("f1", "f2")


def test_damage_to_the_same_subject_names_all_facts_of_its_edit():
    extra = _question("own 4", QuestionKind.RELIABILITY, "new 4", fact_id="f4", subject="S1")
    probes = replace(PROBES, questions=(*PROBES.questions, extra))
    verdict = _judge(
        _saying({"same 1.2": "gone", "own 4": "new 4"}),
        serving=_saying({"own 4": "x"}, SERVING),
        probes=probes,
    )
    assert verdict.failing_facts == ("f1", "f4")
    assert _gate(verdict, "same_subject").value == pytest.approx(11 / 12)


def test_locality_is_paired_so_what_was_wrong_and_stays_wrong_is_no_damage():
    wrong = {f"other {i}": "never knew" for i in range(20)} | {f"earlier {i}": "forgot" for i in range(20)}
    verdict = _judge(_saying(wrong), serving=_saying(wrong, SERVING), base=_saying(wrong, BASE))
    assert verdict.outcome is Outcome.ACCEPT


def test_a_changed_answer_that_is_the_expected_one_is_no_damage():
    wrong = {f"other {i}": "never knew" for i in range(20)} | {f"earlier {i}": "forgot" for i in range(20)}
    verdict = _judge(serving=_saying(wrong, SERVING), base=_saying(wrong, BASE))
    assert verdict.outcome is Outcome.ACCEPT


@pytest.mark.parametrize(
    ("damaged", "outcome"),
    [(1, Outcome.ACCEPT), (2, Outcome.INCONCLUSIVE), (4, Outcome.INCONCLUSIVE), (5, Outcome.REJECT)],
)
def test_sampled_damage_is_inconclusive_until_it_is_certain(damaged, outcome):
    limits = replace(LIMITS, min_other_subject=0.97, min_other_subject_to_base=0)
    verdict = _judge(_saying({f"other {i}": "gone" for i in range(damaged)}), limits=limits)
    assert verdict.outcome is outcome
    assert (binomial_tail(damaged, 48, 0.03) < 0.05) == (damaged >= 5)
    assert verdict.failing_facts == ()


def test_many_small_losses_show_against_the_base_model():
    gone = {f"other {i}": "gone" for i in range(8)}
    verdict = _judge(_saying(gone), serving=_saying(gone, SERVING))
    assert _gate(verdict, "other_subject").outcome is Outcome.ACCEPT
    assert _gate(verdict, "other_subject_to_base").outcome is Outcome.REJECT


def test_a_base_model_that_was_asked_nothing_is_compared_on_perplexity_only():
    verdict = _judge(base=replace(BASE, answers={}))
    assert verdict.outcome is Outcome.ACCEPT
    assert "other_subject_to_base" not in verdict.measured


def test_facts_in_memory_are_compared_with_the_base_model():
    asked = [_question(f"told {i}", QuestionKind.REMEMBERED, f"new {i}") for i in range(40)]
    probes = Probes(texts=TEXTS, questions=(*PROBES.questions, *asked))

    def saying(wrong, edited):
        answers = _answers(edited=edited, probes=probes) | {f"told {i}": "no" for i in wrong}
        return replace(CANDIDATE if edited else BASE, answers=answers)

    def gate(wrong, wrong_before):
        return _gate(
            judge(
                candidate=saying(wrong, True),
                serving=saying(wrong, False),
                base=saying(wrong_before, False),
                probes=probes,
                limits=LIMITS,
            ),
            "remembered",
        )

    assert gate(range(10), []).outcome is Outcome.REJECT
    assert gate(range(10), range(10)).outcome is Outcome.ACCEPT


def test_forgotten_earlier_edits_are_damage():
    verdict = _judge(_saying({f"earlier {i}": "gone" for i in range(10)}))
    assert _gate(verdict, "earlier").outcome is Outcome.REJECT
    assert _gate(verdict, "earlier").value == pytest.approx(22 / 32)


@pytest.mark.parametrize(
    ("shift", "spread", "outcome"),
    [
        (0.005, 0.0, Outcome.ACCEPT),
        (0.060, 0.0, Outcome.REJECT),
        (0.060, 0.01, Outcome.REJECT),
        (0.040, 0.2, Outcome.INCONCLUSIVE),  # over the limit, but not certainly
        (0.015, 0.2, Outcome.ACCEPT),  # the upper bound is over the limit, the estimate is not
    ],
)
def test_the_estimate_decides_whether_to_pass_and_the_lower_bound_whether_to_reject(shift, spread, outcome):
    candidate = replace(CANDIDATE, logprobs=_logprobs(shift=shift, spread=spread))
    verdict = _judge(candidate)
    for name in ("perplexity_ratio_to_serving", "perplexity_ratio_to_base"):
        gate = _gate(verdict, name)
        assert gate.outcome is outcome
        assert gate.value == pytest.approx(math.exp(shift))
    assert verdict.outcome is outcome
    lower, upper = paired_ratio(candidate.logprobs, SERVING.logprobs).bounds(LIMITS.confidence)
    if spread == 0.2:
        assert lower < LIMITS.max_ratio_to_serving < upper


def test_slow_growth_passes_against_serving_and_fails_against_base():
    serving = replace(SERVING, logprobs=_logprobs(shift=0.028))
    verdict = _judge(replace(CANDIDATE, logprobs=_logprobs(shift=0.04)), serving=serving)
    assert _gate(verdict, "perplexity_ratio_to_serving").outcome is Outcome.ACCEPT
    gate = _gate(verdict, "perplexity_ratio_to_base")
    assert gate.outcome is Outcome.REJECT
    assert str(gate) == "perplexity_ratio_to_base 1.041 > 1.03"


def test_one_broken_sentence_is_enough():
    rows = [list(row) for row in _logprobs()]
    rows[7] = [x - 0.6 for x in rows[7]]
    limits = replace(LIMITS, max_ratio_to_serving=1.1, max_ratio_to_base=1.1)
    verdict = _judge(replace(CANDIDATE, logprobs=tuple(map(tuple, rows))), limits=limits)
    assert [gate.name for gate in verdict.gates if gate.outcome is Outcome.REJECT] == ["worst_sentence_ratio"]
    assert _gate(verdict, "worst_sentence_ratio").value == pytest.approx(math.exp(0.6))


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("who", ["candidate", "serving", "base"])
def test_a_log_probability_that_is_not_finite_is_an_error(poison, who):
    rows = list(_logprobs())
    rows[3] = (poison, *rows[3][1:])
    measured = {"candidate": CANDIDATE, "serving": SERVING, "base": BASE}
    measured[who] = replace(measured[who], logprobs=tuple(rows))
    assert judge(**measured, probes=PROBES, limits=LIMITS).outcome is Outcome.ERROR


def test_texts_that_were_not_measured_or_do_not_pair_are_errors():
    assert _judge(replace(CANDIDATE, logprobs=_logprobs(texts=29))).outcome is Outcome.ERROR
    assert _judge(replace(CANDIDATE, logprobs=_logprobs(tokens=19))).outcome is Outcome.ERROR
    none = Measurement(weights_sha256="", logprobs=())
    assert judge(candidate=none, serving=none, base=none, probes=Probes(texts=()), limits=LIMITS).outcome is (
        Outcome.ERROR
    )


@pytest.mark.parametrize("prompt", ["own 1", "said 1.0", "same 1.0", "other 1", "earlier 1"])
def test_a_missing_answer_is_an_error_naming_the_question(prompt):
    answers = {key: value for key, value in CANDIDATE.answers.items() if key != prompt}
    verdict = _judge(replace(CANDIDATE, answers=answers))
    assert verdict.outcome is Outcome.ERROR
    assert repr(prompt) in verdict.reason


def test_a_missing_answer_of_the_serving_epoch_is_an_error_only_where_it_counts():
    for prompt, outcome in [
        ("own 1", Outcome.ACCEPT),
        ("same 1.0", Outcome.ERROR),
        ("other 1", Outcome.ERROR),
    ]:
        answers = {key: value for key, value in SERVING.answers.items() if key != prompt}
        assert _judge(serving=replace(SERVING, answers=answers)).outcome is outcome


def test_too_few_texts_tokens_or_questions_are_inconclusive_even_when_all_is_well():
    assert _judge(limits=replace(LIMITS, min_texts=31)).outcome is Outcome.INCONCLUSIVE
    assert _judge(limits=replace(LIMITS, min_tokens=601)).outcome is Outcome.INCONCLUSIVE
    for others in (0, 7):
        probes = _probes(others=others)
        verdict = _judge(probes=probes)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert f"{others} questions about other subjects" in verdict.reason
    assert _judge(
        probes=_probes(others=0), limits=replace(LIMITS, min_other_subject_questions=0)
    ).outcome is (Outcome.ACCEPT)


def test_a_trial_that_edits_nothing_is_judged_on_what_must_stay():
    questions = [q for q in PROBES.questions if q.kind in {QuestionKind.OTHER_SUBJECT, QuestionKind.EARLIER}]
    verdict = _judge(probes=replace(PROBES, questions=tuple(questions)))
    assert verdict.outcome is Outcome.ACCEPT
    assert "reliability" not in verdict.measured


def test_a_shadow_gate_is_measured_and_not_enforced():
    limits = replace(LIMITS, shadow=frozenset({"reliability", "worst_sentence_ratio"}))
    verdict = _judge(_saying({"own 2": "was so"}), limits=limits)
    assert verdict.outcome is Outcome.ACCEPT
    assert verdict.measured["reliability"] == 0.75
    assert _gate(verdict, "reliability").outcome is Outcome.REJECT
    assert verdict.failing_facts == ()


@pytest.mark.parametrize("kind", [QuestionKind.REMEMBERED, QuestionKind.EARLIER])
def test_a_corrected_answer_that_was_never_right_is_ignored(kind):
    """One fact that the base model never answered right gets another answer after any edit."""
    odd = _question("told odd", kind, "1889.")
    probes = Probes(texts=TEXTS, questions=(*PROBES.questions, odd))
    before = {**_answers(edited=False), odd.prompt: "the year of"}
    after = {**_answers(edited=True), odd.prompt: "a small town in"}
    texts = _logprobs()
    verdict = judge(
        candidate=Measurement(weights_sha256="c", logprobs=texts, answers=after),
        serving=Measurement(weights_sha256="s", logprobs=texts, answers=before),
        base=Measurement(weights_sha256="b", logprobs=texts, answers=before),
        probes=probes,
        limits=LIMITS,
    )
    assert verdict.outcome is Outcome.ACCEPT


@pytest.mark.parametrize("kind", [QuestionKind.REMEMBERED, QuestionKind.EARLIER])
def test_a_corrected_answer_that_stopped_being_right_counts(kind):
    told = [_question(f"told {i}", kind, f"new {i}") for i in range(20)]
    probes = Probes(texts=TEXTS, questions=(*PROBES.questions, *told))
    right = {q.prompt: q.expected for q in told}
    texts = _logprobs()
    verdict = judge(
        candidate=Measurement(
            weights_sha256="c",
            logprobs=texts,
            answers={**_answers(edited=True), **dict.fromkeys(right, "something else")},
        ),
        serving=Measurement(weights_sha256="s", logprobs=texts, answers={**_answers(edited=False), **right}),
        base=Measurement(weights_sha256="b", logprobs=texts, answers={**_answers(edited=False), **right}),
        probes=probes,
        limits=LIMITS,
    )
    assert verdict.outcome is Outcome.REJECT
    assert kind.value in verdict.reason
