"""D4S: edits are made on the base model, and the edited matrices are computed from all live edits together.

W = W0 + (sum r k^T) (lambda C + sum k k^T)^-1 in each layer (Huang et al. 2024, arXiv:2410.23843). The fold
computes this for `ridge` parts, so the live edits replace the running sums of the paper: order does not
matter, and an edit that is left out has no effect. The reference code gives the m layers 1/m, 1/(m-1), ... 1
of a residual that it measures only once, which adds up to more than the whole change; here each layer gets
1/m.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.memit_steps import DEVIATIONS, MemitSteps, value_settings_from, weight_edit
from guardedit.editing.locate.spread import FoundValues, spread_evenly
from guardedit.editing.locate.values import ValueSettings
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors


class D4SEditor:
    """Proposes `ridge` edits of `setup.layers`, independent of live edits; lambda must be that of the fold.

    Args:
        setup: the base model, its layers, and a fold with their second moments and the weights in the
            settings.
        contexts: prefixes of the prompts; default: five, sampled from the model.
        value_settings: of the value optimisation; default: `value_settings_from`.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "d4s"
    card = MethodCard(
        family="locate-then-edit",
        paper="Huang et al. 2024, arXiv:2410.23843",
        stores="key and residual of each of several layers",
        undo="exact",
        batch="together",
        spreads=True,
        reads_live=False,
        deviations=(
            *DEVIATIONS,
            "layers get equal shares of the residual, divided by the share of it that the solve writes",
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
        value_settings = value_settings or value_settings_from(setup.settings)
        self._steps = MemitSteps(
            setup, setup.layers, contexts=contexts, value_settings=value_settings, clock=clock
        )
        settings = setup.settings
        self._background = Backgrounds(setup.moments, weight=settings.background_weight, ridge=settings.ridge)
        self._host, self._layers, self._clock = setup.host, setup.layers, clock

    @classmethod
    def build(cls, setup: Setup) -> D4SEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit per subject, made on the base model. Refused: see `MemitSteps.values`."""
        del live
        start = self._clock()
        with self._host.lock:
            found, refused = self._steps.values(groups, ())
            parts = self._parts(found) if found else []
        edits = [
            weight_edit(self.name, group, value, mine)
            for (group, value), mine in zip(found, parts, strict=True)
        ]
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _parts(self, found: FoundValues) -> list[tuple[Factors, ...]]:
        contexts = self._steps.contexts
        return spread_evenly(self._host, self._layers, found, contexts=contexts, background=self._background)
