"""r-ROME: ROME with the same averaged key everywhere, the fix from "The Fall of ROME".

Direction and denominator use the same key, averaged over prefixes, and the target value is compared with the
output averaged in the same way (r-ROME, 2403.07175; C-ROME, 2406.11263). So the denominator is never small,
and no single edit collapses the model. There is no background weight, so each edit writes its whole residual.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.memit_steps import DEVIATIONS, MemitSteps, value_settings_from, weight_edit
from guardedit.editing.locate.solve import rome_direction, rome_residual
from guardedit.editing.locate.values import Value, ValueSettings
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts, rome_contexts
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors


class RRomeEditor:
    """Proposes a `direct` edit for each subject, on the model with all live edits and the earlier proposals.

    Args:
        setup: the model and its layer.
        contexts: prefixes of the prompts; default: twenty, sampled from the model.
        value_settings: of the value optimisation; default: `value_settings_from`.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "r-rome"
    card = MethodCard(
        family="locate-then-edit",
        paper="Gupta et al. 2024, arXiv:2403.07175; Yang et al. 2024, arXiv:2406.11263",
        stores="rank one of one matrix",
        undo="in order",
        batch="one by one",
        deviations=(
            *DEVIATIONS,
            "in the averages the bare prompt has half the weight, and all prefixes together the other half",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        value_settings: ValueSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._moments = setup.moments[setup.layer]
        self._steps = MemitSteps(
            setup,
            (setup.layer,),
            contexts=contexts or rome_contexts(setup.host, seed=setup.seed),
            value_settings=value_settings or value_settings_from(setup.settings),
            clock=clock,
        )
        self._clock = clock

    @classmethod
    def build(cls, setup: Setup) -> RRomeEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each subject, in order. Refused: see `MemitSteps.values`."""
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        for group in groups:
            found, why = self._steps.values([group], [*live, *edits])
            refused |= why
            edits += [self._rank_one(usable, value) for usable, value in found]
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _rank_one(self, group: SubjectGroup, value: Value) -> WeightEdit:
        key, u = value.mean_key, rome_direction(self._moments.C, value.mean_key)
        target = value.bare_value + value.change
        left = rome_residual(target=target, value=value.mean_value, key=key, direction=u)
        return weight_edit(
            self.name, group, value, [Factors.direct(layer=self._moments.layer, left=left, right=u, key=key)]
        )
