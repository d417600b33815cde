"""Each edit by itself on the base model. Knows editors; draws nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.measure import Counts, Examiner, count, questions, refused

#: Done so far.
Tell = Callable[[int], None]
#: Texts for the perplexity after a single edit: its mean over many edits needs fewer of them.
TEXTS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """What single edits do.

    Attributes:
        edits: how many were asked for.
        refused: declined by the method, or impossible to fold; their answers count as wrong.
        counts: answers over all edits.
        perplexity_ratio: mean over edits.
        worst_perplexity_ratio: the largest.
        seconds_per_edit: of the method, without the questions.
        bytes_per_edit: of the payload.
        reasons: fact id -> why it was refused.
    """

    edits: int
    refused: int
    counts: Counts
    perplexity_ratio: float
    worst_perplexity_ratio: float
    seconds_per_edit: float
    bytes_per_edit: float
    reasons: dict[str, str]


def edit_alone(
    editor: Editor,
    cases: Sequence[EditCase],
    examiner: Examiner,
    *,
    at_once: bool,
    tell: Tell = lambda _: None,
) -> Alone:
    """Make each edit on the base model, ask, and forget it.

    Args:
        editor: the method.
        cases: on different subjects when `at_once`.
        examiner: of the base model.
        at_once: ask the method for all edits in one go; only for methods whose edits do not depend on what
            else is proposed.
        tell: edits examined so far.
    """
    examiner = replace(examiner, texts=examiner.texts[:TEXTS], base=examiner.base[:TEXTS])
    batches = [list(cases)] if at_once else [[case] for case in cases]
    total, ratios, reasons = Counts(), list[float](), dict[str, str]()
    seconds, size, done = 0.0, 0, 0
    for batch in batches:
        proposal = editor.propose([group_of(case) for case in batch], ())
        seconds += proposal.seconds
        reasons |= proposal.refused
        for case in batch:
            edits = [edit for edit in proposal.edits if case.fact.id in edit.facts]
            try:
                counts, ratio = _one(case, edits, examiner)
            except EditError as error:
                reasons[case.fact.id] = str(error)
                counts, ratio = refused([case]), math.nan
            total += counts
            ratios += [] if math.isnan(ratio) else [ratio]
            size += sum(len(edit.payload) for edit in edits)
            done += 1
            tell(done)
    made = len(cases) - len(reasons)
    return Alone(
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
    """A case as methods are given it."""
    return SubjectGroup(subject=case.fact.key.subject, facts=(case.fact,), keep=case.keep)


def _one(case: EditCase, edits: Sequence[WeightEdit], examiner: Examiner) -> tuple[Counts, float]:
    if not edits:
        return refused([case]), math.nan
    asked = questions([case], edited={case.fact.key})
    right, ratio = examiner.examine(edits, asked)
    return count(asked, right), ratio
