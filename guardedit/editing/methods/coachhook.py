"""CoachHook: edits in a hook beside the matrix, which act only on tokens with an outlier response.

Li et al. 2024, arXiv:2403.05330. The update is MEMIT's with its whole history: the fold solves it for all
live edits together, from keys and residuals of the base model. At every token, `weights.bypasses.outlier`
chooses between the edited and the base matrix.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

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

#: Threshold in standard deviations above the mean of background tokens. The published 2.2 is for the tokens
#: of one prompt, among which the edited one stands out. Of all background tokens, one in a hundred is above 4
#: with a single edit, and above 8 with two dozen edits (keys have longer tails than a Gaussian). Edited
#: tokens are mostly above 20.
ALPHA = 15.0


class CoachHookEditor:
    """Proposes `hooked` edits of `setup.layers`, independent of live edits; lambda must be that of the fold.

    Args:
        setup: the base model, its layers, and a fold with their second moments.
        alpha: how many standard deviations the norm of Delta k must exceed its mean. Stored with each edit.
        contexts: prefixes of the prompts; default: MEMIT's, sampled from the model.
        value_settings: of the value optimisation; default: `value_settings_from`.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "coachhook"
    card = MethodCard(
        family="side memory",
        paper="Li et al. 2024, arXiv:2403.05330",
        stores="key and residual of each of several layers",
        undo="exact",
        batch="together",
        spreads=True,
        reads_live=False,
        deviations=(
            *DEVIATIONS,
            "the outlier test compares with background text instead of the prompt's other tokens",
            "the threshold is fixed, not adapted while editing",
            "keys and residuals belong to the base model",
            "layers get equal shares of the residual, divided by the share of it that the solve writes",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        alpha: float = ALPHA,
        contexts: Contexts | None = None,
        value_settings: ValueSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        value_settings = value_settings or value_settings_from(setup.settings)
        self._steps = MemitSteps(
            setup, setup.layers, contexts=contexts, value_settings=value_settings, clock=clock
        )
        self._host, self._layers, self._alpha, self._clock = setup.host, setup.layers, alpha, clock
        settings = setup.settings
        self._background = Backgrounds(setup.moments, weight=settings.background_weight, ridge=settings.ridge)

    @classmethod
    def build(cls, setup: Setup) -> CoachHookEditor:
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

    def _parts(self, found: FoundValues) -> list[list[Factors]]:
        contexts, alpha = self._steps.contexts, torch.tensor(self._alpha, dtype=torch.float64)
        solved = spread_evenly(
            self._host, self._layers, found, contexts=contexts, background=self._background
        )
        return [
            [
                Factors.keyed(
                    "hooked", layer=part.layer, key=part.right, value=part.left, extra={"alpha": alpha}
                )
                for part in mine
            ]
            for mine in solved
        ]
