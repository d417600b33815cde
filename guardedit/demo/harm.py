"""What weight edits do to a model, without a guard's opinion: the rule by which an edit is disabling.

Measured on held-out texts and questions alone. The guard's texts, questions and limits play no part.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.demo.held_out import HeldOut
from guardedit.guard.perplexity import paired_ratio

#: From this perplexity ratio on, a model counts as disabled.
DISABLING_RATIO = 1.5
#: From this share of lost answers on, too: one in five. The table lets all edits of a run together lose one
#: in fifty of such answers, so this is ten times what is tolerated; the base model answers all of them. A
#: model may lose its knowledge long before its grammar, which is what perplexity mostly sees.
DISABLING_LOST = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """A model with weight edits, compared with the base model.

    Attributes:
        perplexity_ratio: on held-out texts; infinite where the edited model has no perplexity, NaN where
            there is no edited model.
        answers_lost: share of the held-out answers about other subjects; NaN where nothing could be asked.
        problem: why there is no edited model: the edits cannot be folded. Empty otherwise.
    """

    perplexity_ratio: float
    answers_lost: float
    problem: str = ""

    @property
    def disabling(self) -> bool:
        """By the rule. What cannot be folded is no model, so it disables none."""
        return self.perplexity_ratio >= DISABLING_RATIO or self.answers_lost >= DISABLING_LOST


#: There was no edit at all.
NO_EDIT = Harm(perplexity_ratio=math.nan, answers_lost=math.nan, problem="the method made no edit")


def weigh(worker: Worker, edits: Sequence[WeightEdit], apart: HeldOut, *, but: Collection[str] = ()) -> Harm:
    """Measure fold(base, edits).

    Args:
        worker: of the base model.
        edits: together.
        apart: what to measure on.
        but: more subjects whose answers may change; those of the edits may in any case.
    """
    if not edits:
        return NO_EDIT
    try:
        found = worker.measure(edits, apart.probes)
    except EditError as error:
        return Harm(perplexity_ratio=math.nan, answers_lost=math.nan, problem=str(error))
    meant = {*but, *(edit.subject for edit in edits)}
    others = [question for question in apart.probes.questions if question.subject not in meant]
    lost = sum(found.answers[question.prompt] != question.expected for question in others)
    return Harm(
        perplexity_ratio=_or_infinite(paired_ratio(found.logprobs, apart.base).ratio),
        answers_lost=lost / len(others) if others else math.nan,
    )


def _or_infinite(ratio: float) -> float:
    return math.inf if math.isnan(ratio) else ratio
