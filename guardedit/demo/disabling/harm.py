"""Measures the harm of weight edits, and defines when edits are disabling.

Measured on held-out texts and questions, independently of the guard's texts, questions and limits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guardedit.core.errors import EditError
from guardedit.core.probe import Measurement, Probes
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.demo.disabling.held_out import HeldOut
from guardedit.guard.perplexity import paired_ratio

#: A model is disabled at or above this perplexity ratio.
DISABLING_RATIO = 1.5
#: A model is also disabled at or above this share of lost answers, one in five. The demo's limit for all
#: edits of a run together is one in fifty of such answers, so this is ten times what is tolerated; the base
#: model answers all of them. A model may lose its knowledge long before its grammar, and perplexity mostly
#: measures grammar.
DISABLING_LOST = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """A model with weight edits, compared with the base model.

    Attributes:
        perplexity_ratio: ratio on held-out texts; infinite if the edited model has no perplexity, NaN if
            there is no edited model.
        answers_lost: share of the held-out answers about other subjects that are now wrong; NaN if no
            question was asked.
        problem: why there is no edited model, for example because the edits cannot be folded; empty
            otherwise.
    """

    perplexity_ratio: float
    answers_lost: float
    problem: str = ""

    @property
    def disabling(self) -> bool:
        """Whether the rule calls it disabling. Edits that cannot be folded make no model, so they are not."""
        return self.perplexity_ratio >= DISABLING_RATIO or self.answers_lost >= DISABLING_LOST


#: The harm when the method made no edit.
NO_EDIT = Harm(perplexity_ratio=math.nan, answers_lost=math.nan, problem="the method made no edit")


def measure_harm(worker: Worker, edits: Sequence[WeightEdit], held_out: HeldOut) -> Harm:
    """Measure the model fold(base, edits). Answers about the edited subjects do not count.

    Args:
        worker: worker of the base model.
        edits: all together.
        held_out: texts and questions.
    """
    if not edits:
        return NO_EDIT
    try:
        if held_out.texts_first:
            ratio = _ratio(worker.measure(edits, Probes(texts=held_out.probes.texts)), held_out)
            if ratio >= DISABLING_RATIO:
                return Harm(perplexity_ratio=ratio, answers_lost=math.nan)
        found = worker.measure(edits, held_out.probes)
    except EditError as error:
        return Harm(perplexity_ratio=math.nan, answers_lost=math.nan, problem=str(error))
    edited = {edit.subject for edit in edits}
    others = [question for question in held_out.probes.questions if question.subject not in edited]
    lost = sum(not held_out.kept(found.answers, question) for question in others)
    return Harm(
        perplexity_ratio=_ratio(found, held_out),
        answers_lost=lost / len(others) if others else math.nan,
    )


def _ratio(found: Measurement, held_out: HeldOut) -> float:
    ratio = paired_ratio(found.logprobs, held_out.base).ratio
    return math.inf if math.isnan(ratio) else ratio
