"""The gates on answers: did the edits take, and did everything else stay. Pure.

Knows questions and answers as texts; how they were generated is not its concern.

Two kinds of rate are told apart. Reliability, wordings and the edited subject's other answers are asked
completely, so a rate below its limit is a fact and rejects. Other subjects, earlier edits and facts in the
memory are samples:
below the limit the epoch is not accepted, but only when so many damages would be improbable at the
allowed rate (exact binomial tail below 1 - confidence) is it rejected, otherwise held as inconclusive.
"""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardedit.core.probe import Kind, Measurement, Probes, Question
from guardedit.core.verdict import Gate, Outcome
from guardedit.guard.gates import at_least, undecided, unmeasured
from guardedit.guard.limits import GuardLimits
from guardedit.naming import identity

#: What the model was told, as opposed to what it knows by itself.
_TOLD = frozenset({Kind.EARLIER, Kind.REMEMBERED})
_SAMPLED = frozenset({Kind.OTHER_SUBJECT, Kind.EARLIER, Kind.REMEMBERED})


def normalise(answer: str) -> str:
    r"""For comparison: NFC, no case, single spaces, no punctuation at the end.

    >>> normalise("  Saint\tPetersburg. ")
    'saint petersburg'
    """
    return " ".join(unicodedata.normalize("NFC", answer).casefold().split()).rstrip(" .,;:!?")


def answer_gates(
    candidate: Measurement, serving: Measurement, base: Measurement, probes: Probes, limits: GuardLimits
) -> list[Gate]:
    """One gate for every kind of question that the probes hold.

    A kind without questions has no gate, as with an undo that edits nothing; only too few questions about
    other subjects are a gap that makes the trial inconclusive. The comparison with the base model is left
    out when it was asked nothing.
    """
    by_kind: dict[Kind, list[Question]] = defaultdict(list)
    for question in probes.questions:
        by_kind[question.kind].append(question)
    subjects = _edited_subjects(probes)
    gates = []
    for kind in Kind:
        questions = by_kind[kind]
        if kind is Kind.OTHER_SUBJECT:
            gates += _other_subject_gates(questions, candidate, serving, base, limits)
        elif questions:
            rate = _Rate(kind.value, questions, getattr(limits, f"min_{kind.value}"))
            reference = _reference(kind, serving, base)
            gates.append(_gate(rate, candidate.answers, reference, subjects, limits))
    return gates


@dataclass(frozen=True, slots=True)
class _Rate:
    """What one gate is about."""

    name: str
    questions: Sequence[Question]
    limit: float


def _reference(kind: Kind, serving: Measurement, base: Measurement) -> Mapping[str, str] | None:
    """Whose answers the candidate's are compared with; None: nobody's, the expected answer is demanded.

    How well a model obeys what the memory tells it wears off little by little, so the base is the measure.
    """
    if kind in {Kind.RELIABILITY, Kind.PARAPHRASE}:
        return None
    return base.answers if kind is Kind.REMEMBERED and base.answers else serving.answers


def _other_subject_gates(
    questions: Sequence[Question],
    candidate: Measurement,
    serving: Measurement,
    base: Measurement,
    limits: GuardLimits,
) -> list[Gate]:
    few = len(questions) < limits.min_other_subject_questions
    why = (
        f"{len(questions)} questions about other subjects, at least {limits.min_other_subject_questions} "
        "are needed: add known facts to the probe set"
    )
    if not questions:
        limit = limits.min_other_subject
        held = Outcome.INCONCLUSIVE
        gap = unmeasured("other_subject", limit, upper=False, detail=why, outcome=held)
        return [gap] if few else []
    rows = [(_Rate("other_subject", questions, limits.min_other_subject), serving.answers)]
    if base.answers:
        rows.append(
            (_Rate("other_subject_to_base", questions, limits.min_other_subject_to_base), base.answers)
        )
    gates = [_gate(rate, candidate.answers, reference, {}, limits) for rate, reference in rows]
    return [undecided(gate, detail=why) for gate in gates] if few else gates


def _gate(
    rate: _Rate,
    answers: Mapping[str, str],
    reference: Mapping[str, str] | None,  # None: the expected answer is demanded
    subjects: Mapping[str, Sequence[str]],
    limits: GuardLimits,
) -> Gate:
    missing = [q for q in rate.questions if q.prompt not in answers]
    if reference is not None:
        missing += [q for q in rate.questions if q.prompt not in reference]
    if missing:
        detail = f"{len(missing)} answers are missing, the first to {missing[0].prompt!r}: measure again"
        return unmeasured(rate.name, rate.limit, upper=False, detail=detail)
    wrong = [q for q in rate.questions if not _stands(q, answers, reference)]
    share = (len(rate.questions) - len(wrong)) / len(rate.questions)
    sampled = rate.questions[0].kind in _SAMPLED
    tail = binomial_tail(len(wrong), len(rate.questions), 1.0 - rate.limit)
    return at_least(
        rate.name,
        share,
        rate.limit,
        detail=_sentence(rate, wrong, answers, changed=reference is not None),
        certain=not sampled or tail < 1.0 - limits.confidence,
        culprits=_culprits(rate, wrong, subjects),
    )


def _stands(question: Question, answers: Mapping[str, str], reference: Mapping[str, str] | None) -> bool:
    """Whether an answer is as it should be: the expected one or, against a reference, the same as before.

    Of what was told to the model (earlier edits, facts in the memory) only what stopped being right counts: a
    fact that the reference never obeyed says nothing about the candidate.
    """
    answer = normalise(answers[question.prompt])
    wanted = None if question.expected is None else normalise(question.expected)
    if answer == wanted:
        return True
    if reference is None:
        return False
    before = normalise(reference[question.prompt])
    return before != wanted if question.kind in _TOLD else answer == before


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
    """Subject -> the batch's facts about it; they are one weight edit and share the blame."""
    subjects: dict[str, list[str]] = defaultdict(list)
    for question in probes.questions:
        if question.kind is Kind.RELIABILITY:
            subjects[identity(question.subject)].append(question.fact_id)
    return dict(subjects)


def _culprits(rate: _Rate, wrong: Sequence[Question], subjects: Mapping[str, Sequence[str]]) -> set[str]:
    """Facts whose own share of right answers is below the limit.

    A question that names no fact blames the batch's facts about its subject, if there are any.
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


def _sentence(rate: _Rate, wrong: Sequence[Question], answers: Mapping[str, str], *, changed: bool) -> str:
    held = len(rate.questions) - len(wrong)
    text = f"{held} of {len(rate.questions)} answers {'stayed' if changed else 'are as told'}"
    if wrong:
        first = wrong[0]
        text += f", not {first.prompt!r}, now {answers[first.prompt][:60]!r}"
    return text
