"""Counts the answers that each gate is about: which count, and which of them are lost. Pure functions.

Which reference a kind of questions is compared with is in the table of `answers`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.core.probe import Measurement, Probes, Question, QuestionKind
from guardedit.guard.right_answers import (
    begins_alike,
    is_exact,
    is_measured,
    keeps_expected,
    says_expected,
    says_target,
)

#: Questions about the edited facts themselves.
OWN = frozenset({QuestionKind.RELIABILITY, QuestionKind.PARAPHRASE})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCounts:
    """The answers that one gate is about.

    Attributes:
        gate: name of the gate.
        kind: of the questions.
        counted: questions that count: all, or those that the reference answers rightly.
        lost: those of them that the candidate answers wrongly.
        ignored: how many the reference answers wrongly.
        gained: how many of these the candidate answers rightly.
        missing: questions that were not measured on the candidate or on the reference.
        before: prompt -> the reference's answer, where it was generated.
        exact: share of answers that are the expected or the reference's one, word for word; None where there
            is no answer. Where a worker generates nothing because the span is said, its words are the answer.
    """

    gate: str
    kind: QuestionKind
    counted: Sequence[Question] = ()
    lost: Sequence[Question] = ()
    ignored: int = 0
    gained: int = 0
    missing: Sequence[Question] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    exact: float | None = None


def count_answers(
    candidate: Measurement, serving: Measurement, base: Measurement, probes: Probes
) -> list[GateCounts]:
    """The counts of every gate whose kind of questions is in the probes.

    The comparison with the base model is left out when nothing was measured on it.
    """
    by_kind: dict[QuestionKind, list[Question]] = defaultdict(list)
    for question in probes.questions:
        by_kind[question.kind].append(question)
    to_base = bool(base.answers or base.spans)
    found = []
    for kind in QuestionKind:
        questions = by_kind[kind]
        if not questions:
            continue
        if kind in OWN:
            found.append(_own_counts(kind, questions, candidate, base))
            continue
        # Edits make a model follow facts from memory a little less with each epoch.
        reference = base if kind is QuestionKind.REMEMBERED and to_base else serving
        found.append(_kept_counts(kind.value, kind, questions, candidate, reference))
        if kind is QuestionKind.OTHER_SUBJECT and to_base:
            found.append(_kept_counts("other_subject_to_base", kind, questions, candidate, base))
    return found


def _own_counts(
    kind: QuestionKind, questions: Sequence[Question], candidate: Measurement, base: Measurement
) -> GateCounts:
    missing = [q for q in questions if not is_measured(candidate, q)]
    if missing:
        return GateCounts(gate=kind.value, kind=kind, missing=missing)
    return GateCounts(
        gate=kind.value,
        kind=kind,
        counted=questions,
        lost=[q for q in questions if not says_target(candidate, base, q)],
        exact=_exact_share(questions, candidate, None),
    )


def _kept_counts(
    gate: str,
    kind: QuestionKind,
    questions: Sequence[Question],
    candidate: Measurement,
    reference: Measurement,
) -> GateCounts:
    missing = [q for m in (candidate, reference) for q in questions if not is_measured(m, q)]
    if missing:
        return GateCounts(gate=gate, kind=kind, missing=missing)
    counted = [q for q in questions if q.expected is None or says_expected(reference, q)]
    ignored = [q for q in questions if q.expected is not None and not says_expected(reference, q)]
    return GateCounts(
        gate=gate,
        kind=kind,
        counted=counted,
        lost=[q for q in counted if not _is_kept(q, candidate, reference)],
        ignored=len(ignored),
        gained=sum(says_expected(candidate, q) for q in ignored),
        before=reference.answers,
        exact=_exact_share(questions, candidate, reference),
    )


def _is_kept(question: Question, candidate: Measurement, reference: Measurement) -> bool:
    if question.expected is not None:
        return keeps_expected(candidate, reference, question)
    return begins_alike(candidate.answers[question.prompt], reference.answers[question.prompt])


def _exact_share(
    questions: Sequence[Question], candidate: Measurement, reference: Measurement | None
) -> float | None:
    """A reference's answer counts as well, except where it is about a correction."""
    asked = [q for q in questions if q.prompt in candidate.answers]
    if not asked:
        return None
    previous = {} if reference is None else reference.answers
    exact = [is_exact(candidate, q, None if _from_correction(q) else previous.get(q.prompt)) for q in asked]
    return sum(exact) / len(exact)


def _from_correction(question: Question) -> bool:
    return question.kind in {QuestionKind.EARLIER, QuestionKind.REMEMBERED}
