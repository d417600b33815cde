"""Measures each edit by itself on the base model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import AnswerCounts, Examiner, count, questions, refused

#: Takes the number of edits done.
Tell = Callable[[int], None]
#: Texts for the perplexity after a single edit: the mean over many edits needs fewer of them.
TEXTS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleEditScores:
    """The effect of single edits.

    Attributes:
        edits: number of edits attempted.
        refused: declined by the method, or impossible to fold. Their answers count as wrong.
        counts: answers over all edits.
        perplexity_ratio: perplexity over the base model's; mean over edits.
        worst_perplexity_ratio: the largest.
        seconds_per_edit: seconds of the method, without the questions.
        bytes_per_edit: bytes of the payload.
        reasons: fact id -> why it was refused.
    """

    edits: int
    refused: int
    counts: AnswerCounts
    perplexity_ratio: float
    worst_perplexity_ratio: float
    seconds_per_edit: float
    bytes_per_edit: float
    reasons: dict[str, str]


def edit_alone(
    editor: MethodEditor,
    cases: Sequence[EditCase],
    examiner: Examiner,
    *,
    at_once: bool,
    tell: Tell = lambda _: None,
) -> SingleEditScores:
    """Apply each edit to the base model, ask its questions, and discard it.

    Args:
        editor: the method.
        cases: cases on different subjects when `at_once`.
        examiner: examiner of the base model.
        at_once: propose all edits in one call. Only for methods whose edits do not depend on the other edits
            of the call.
        tell: progress.
    """
    examiner = replace(examiner, texts=examiner.texts[:TEXTS], base=examiner.base[:TEXTS])
    batches = [list(cases)] if at_once else [[case] for case in cases]
    total, ratios, reasons = AnswerCounts(), list[float](), dict[str, str]()
    seconds, size, done = 0.0, 0, 0
    for batch in batches:
        proposal = editor.propose([group_of(case) for case in batch], ())
        seconds += proposal.seconds
        reasons |= proposal.refused
        for case in batch:
            edits = [edit for edit in proposal.edits if case.fact.id in edit.facts]
            try:
                counts, ratio = _measure_one(case, edits, examiner)
            except EditError as error:
                reasons[case.fact.id] = str(error)
                counts, ratio = refused([case]), math.nan
            total += counts
            ratios += [] if math.isnan(ratio) else [ratio]
            size += sum(len(edit.payload) for edit in edits)
            done += 1
            tell(done)
    made = len(cases) - len(reasons)
    return SingleEditScores(
        edits=len(cases),
        refused=len(reasons),
        counts=total,
        perplexity_ratio=math.fsum(ratios) / len(ratios) if ratios else math.nan,
        worst_perplexity_ratio=max(ratios, default=math.nan),
        seconds_per_edit=seconds / len(cases) if cases else math.nan,
        bytes_per_edit=size / made if made else math.nan,
        reasons=reasons,
    )


def group_of(case: EditCase) -> SubjectGroup:
    """The case as input of `MethodEditor.propose`."""
    return SubjectGroup(subject=case.fact.key.subject, facts=(case.fact,), keep=case.keep)


def _measure_one(
    case: EditCase, edits: Sequence[WeightEdit], examiner: Examiner
) -> tuple[AnswerCounts, float]:
    """Answers and perplexity ratio after the edits of one case; NaN when the method made none."""
    if not edits:
        return refused([case]), math.nan
    asked = questions([case], edited={case.fact.key})
    correct, ratio = examiner.examine(edits, asked)
    return count(asked, correct), ratio
