"""The gates on answers: whether the edits took effect, and whether all other answers stayed the same.

Questions on reliability, paraphrases and other answers about the edited subjects are asked in full, so a rate
below its limit rejects the epoch. Questions on other subjects, earlier edits and facts in memory are samples.
If their rate is below the limit, the epoch is never accepted, but it is rejected only when so many wrong
answers would be improbable at the allowed error rate (exact binomial tail below 1 - confidence). Otherwise
the gate is inconclusive. All functions are pure.
"""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardedit.core.probe import Measurement, Probes, Question, QuestionKind
from guardedit.core.verdict import Gate, Outcome
from guardedit.guard.gates import at_least, undecided, unmeasured
from guardedit.guard.limits import GuardLimits
from guardedit.naming import identity

#: Questions about facts that came from corrections, as opposed to what the base model knows.
_FROM_CORRECTIONS = frozenset({QuestionKind.EARLIER, QuestionKind.REMEMBERED})
_SAMPLED = frozenset({QuestionKind.OTHER_SUBJECT, QuestionKind.EARLIER, QuestionKind.REMEMBERED})


def normalise(answer: str) -> str:
    r"""The form in which answers are compared: NFC, case-folded, single spaces, no final punctuation.

    >>> normalise("  Saint\tPetersburg. ")
    'saint petersburg'
    """
    return " ".join(unicodedata.normalize("NFC", answer).casefold().split()).rstrip(" .,;:!?")


def answer_gates(
    candidate: Measurement, serving: Measurement, base: Measurement, probes: Probes, limits: GuardLimits
) -> list[Gate]:
    """One gate for each kind of question in the probes.

    A kind without questions has no gate. For example, an undo that edits nothing has no reliability gate. The
    exception is other subjects: too few questions about them make the trial inconclusive. The comparison with
    the base model is left out when `base` has no answers.
    """
    by_kind: dict[QuestionKind, list[Question]] = defaultdict(list)
    for question in probes.questions:
        by_kind[question.kind].append(question)
    subjects = _edited_subjects(probes)
    gates = []
    for kind in QuestionKind:
        questions = by_kind[kind]
        if kind is QuestionKind.OTHER_SUBJECT:
            gates += _other_subject_gates(questions, candidate, serving, base, limits)
        elif questions:
            rate = _Rate(kind.value, questions, getattr(limits, f"min_{kind.value}"))
            reference = _reference(kind, serving, base)
            gates.append(_gate(rate, candidate.answers, reference, subjects, limits))
    return gates


@dataclass(frozen=True, slots=True)
class _Rate:
    """A share of right answers that one gate checks: its name, its questions and its lower limit."""

    name: str
    questions: Sequence[Question]
    limit: float


def _reference(kind: QuestionKind, serving: Measurement, base: Measurement) -> Mapping[str, str] | None:
    """The answers that the candidate is compared with; None where only the expected answer is right.

    Facts in memory are compared with the base model, because edits make the model follow facts from memory a
    little less with each epoch.
    """
    if kind in {QuestionKind.RELIABILITY, QuestionKind.PARAPHRASE}:
        return None
    return base.answers if kind is QuestionKind.REMEMBERED and base.answers else serving.answers


def _other_subject_gates(
    questions: Sequence[Question],
    candidate: Measurement,
    serving: Measurement,
    base: Measurement,
    limits: GuardLimits,
) -> list[Gate]:
    too_few = len(questions) < limits.min_other_subject_questions
    why = (
        f"{len(questions)} questions about other subjects, at least {limits.min_other_subject_questions} "
        "are needed: add known facts to the probe set"
    )
    if not questions:
        outcome = Outcome.INCONCLUSIVE
        limit = limits.min_other_subject
        gate = unmeasured("other_subject", limit, maximum=False, detail=why, outcome=outcome)
        return [gate] if too_few else []
    rows = [(_Rate("other_subject", questions, limits.min_other_subject), serving.answers)]
    if base.answers:
        rows.append(
            (_Rate("other_subject_to_base", questions, limits.min_other_subject_to_base), base.answers)
        )
    gates = [_gate(rate, candidate.answers, reference, {}, limits) for rate, reference in rows]
    return [undecided(gate, detail=why) for gate in gates] if too_few else gates


def _gate(
    rate: _Rate,
    answers: Mapping[str, str],
    reference: Mapping[str, str] | None,
    subjects: Mapping[str, Sequence[str]],
    limits: GuardLimits,
) -> Gate:
    missing = [q for q in rate.questions if q.prompt not in answers]
    if reference is not None:
        missing += [q for q in rate.questions if q.prompt not in reference]
    if missing:
        detail = f"{len(missing)} answers are missing, the first to {missing[0].prompt!r}: measure again"
        return unmeasured(rate.name, rate.limit, maximum=False, detail=detail)
    wrong = [q for q in rate.questions if not _is_right(q, answers, reference)]
    share = (len(rate.questions) - len(wrong)) / len(rate.questions)
    sampled = rate.questions[0].kind in _SAMPLED
    tail = binomial_tail(len(wrong), len(rate.questions), 1.0 - rate.limit)
    return at_least(
        rate.name,
        share,
        rate.limit,
        detail=_detail(rate, wrong, answers, compared=reference is not None),
        certain=not sampled or tail < 1.0 - limits.confidence,
        failing_facts=_failing_facts(rate, wrong, subjects),
    )


def _is_right(question: Question, answers: Mapping[str, str], reference: Mapping[str, str] | None) -> bool:
    """Whether an answer is the expected one or, if there is a reference, the same as the reference's.

    For facts from corrections (earlier edits, facts in memory), an answer counts as wrong only if the
    reference's answer was right: a fact that the reference did not answer correctly says nothing about the
    candidate.
    """
    answer = normalise(answers[question.prompt])
    wanted = None if question.expected is None else normalise(question.expected)
    if answer == wanted:
        return True
    if reference is None:
        return False
    previous = normalise(reference[question.prompt])
    return previous != wanted if question.kind in _FROM_CORRECTIONS else answer == previous


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, probability).

    >>> round(binomial_tail(2, 3, 0.5), 6)
    0.5
    """
    return math.fsum(
        math.comb(trials, k) * probability**k * (1.0 - probability) ** (trials - k)
        for k in range(successes, trials + 1)
    )


def _edited_subjects(probes: Probes) -> dict[str, list[str]]:
    """Subject -> ids of the batch's facts about it, which share one weight edit."""
    subjects: dict[str, list[str]] = defaultdict(list)
    for question in probes.questions:
        if question.kind is QuestionKind.RELIABILITY:
            subjects[identity(question.subject)].append(question.fact_id)
    return dict(subjects)


def _failing_facts(rate: _Rate, wrong: Sequence[Question], subjects: Mapping[str, Sequence[str]]) -> set[str]:
    """Ids of the facts whose own share of right answers is below the limit.

    A question without a fact id counts for all facts of the batch about its subject, if there are any.
    """
    asked: dict[str, int] = defaultdict(int)
    failed: dict[str, int] = defaultdict(int)
    for counts, questions in ((asked, rate.questions), (failed, wrong)):
        for question in questions:
            for fact_id in (
                [question.fact_id] if question.fact_id else subjects.get(identity(question.subject), ())
            ):
                counts[fact_id] += 1
    return {name for name, count in failed.items() if (asked[name] - count) / asked[name] < rate.limit}


def _detail(rate: _Rate, wrong: Sequence[Question], answers: Mapping[str, str], *, compared: bool) -> str:
    right = len(rate.questions) - len(wrong)
    text = f"{right} of {len(rate.questions)} answers {'did not change' if compared else 'are right'}"
    if wrong:
        first = wrong[0]
        text += f"; {first.prompt!r} is now answered {answers[first.prompt][:60]!r}"
    return text
