"""Solves one batch of the joint editor: rows, directions and optimised changes, on the model as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.joint.directions import Directions, LayerStatistics
from guardedit.editing.joint.values import JointValues, optimise_jointly
from guardedit.editing.optimise.contexts import STOP, Contexts
from guardedit.editing.optimise.keys import mean_keys_and_values
from guardedit.editing.optimise.rows import Row, fact_rows, keep_rows, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.editing.settings import JointSettings
from guardedit.editing.setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One of the two attempts at a batch.

    Attributes:
        price: factor on the usual price of a change.
        steps: factor on the number of steps in the settings.
        thorough: where the settings leave out the end of an answer, optimise it too, and every wording in
            every context.
        last: whether facts whose answers are not reached are refused; otherwise their subjects are tried
            again.
    """

    price: float = 1.0
    steps: int = 1
    thorough: bool = False
    last: bool = False


FIRST = Attempt()
#: The second attempt has a lower price, more steps and more rows. Few subjects need it, so their changes do
#: little harm and their steps take little time. Short answers need their end: a model that was taught "Ag"
#: alone may go on with "AgNO3".
SECOND = Attempt(price=0.25, steps=2, thorough=True, last=True)


class JointSolver:
    """Finds the directions and the changes of a batch of edits.

    Args:
        setup: the model and its layers.
        contexts: prefixes.
    """

    def __init__(self, setup: Setup, contexts: Contexts) -> None:
        self._setup, self._contexts = setup, contexts
        self._statistics: dict[int, LayerStatistics] = {}

    def prepare(self) -> None:
        """Collect the layers' statistics, once. They belong to the base model, so no edit may be applied."""
        if not self._statistics:
            self._statistics = LayerStatistics.of(self._setup)

    def solve(
        self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], attempt: Attempt
    ) -> JointValues:
        """Directions and optimised changes of the groups, on the model with the live edits.

        Raises:
            CorrectionError: when a row cannot be encoded.
            EditDiverged: when a loss is not finite.
        """
        host, settings = self._setup.host, self._setup.joint
        with host.patched(self._setup.fold.fold(live)):
            rows = [row for n, group in enumerate(groups) for row in self._rows(n, group, attempt)]
            tensors = row_tensors(host.tokenizer, rows, context=host.context)
            upper = UpperLayers(host, self._setup.layers[0], tensors)
            directions = {
                layer: Directions.of(
                    mean_keys_and_values(found, tensors, len(groups), bare_share=settings.bare_share),
                    self._statistics[layer],
                    live,
                )
                for layer, found in upper.keys_and_values(self._setup.layers).items()
            }
            width = host.base_matrix(self._setup.layer).shape[1]
            return optimise_jointly(
                upper,
                rows,
                tensors,
                directions,
                settings=replace(
                    settings,
                    steps=attempt.steps * settings.steps,
                    divergence_price=attempt.price * settings.divergence_price,
                ),
                fill=attempt.price * fill(settings, width, live=len(live), new=len(groups)),
            )

    def _rows(self, number: int, group: SubjectGroup, attempt: Attempt) -> list[Row]:
        """Rows of one group: the wordings of its facts, and its answers to keep."""
        host, settings = self._setup.host, self._setup.joint
        contexts, crossed = self._contexts, False
        if attempt.thorough and not contexts.end:
            contexts, crossed = replace(contexts, end=STOP), True
        open_questions = [q.prompt for q in group.keep if q.expected is None]
        answers = dict(zip(open_questions, host.complete(open_questions), strict=True))
        changed = [
            row
            for fact in group.facts
            for row in fact_rows(number, fact, group.subject, contexts, crossed=crossed)
        ]
        return [
            *changed,
            *keep_rows(number, group, answers, limit=settings.keep_limit, end=contexts.end),
        ]


def fill(settings: JointSettings, width: int, *, live: int, new: int) -> float:
    """How full the layers will be, with future edits counted only while there is room for them; 1 is full.

    Args:
        settings: of the joint editor.
        width: f of an edited layer.
        live: edits in the model.
        new: edits in the batch.
    """
    full = settings.full_share * width
    to_come = max(live + new * settings.to_come, settings.expected_edits)
    return max(live + new, min(to_come, full)) / full
