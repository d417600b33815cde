"""EMMET: ROME for a batch, with equality constraints and the least change for background text.

Delta = R (K^T C^-1 K + slack I)^-1 K^T C^-1 (Gupta et al. 2024, arXiv:2403.14236). A single edit has no slack
and equals that of r-ROME. With slack, the solution is that of MEMIT for one layer with lambda = slack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from torch import Tensor

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.memit_steps import DEVIATIONS, MemitSteps, value_settings_from
from guardedit.editing.locate.solve import equality_coefficients
from guardedit.editing.locate.values import ValueSettings
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup

#: The paper uses 0.1 with C multiplied by 1 to 1000, which corresponds to 0.1 to 100 background tokens. On
#: the demo model 10 writes as many facts as 0 does, and 100 writes one in 24 fewer.
SLACK = 10.0


class EmmetEditor:
    """Proposes `direct` edits of `setup.layer`, a batch at once, on the model with all live edits.

    Args:
        setup: the model, its layer and its second moments.
        contexts: prefixes of the prompts; default: five, sampled from the model.
        value_settings: of the value optimisation; default: `value_settings_from`.
        slack: lambda_e for batches of more than one edit, in background tokens.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "emmet"
    card = MethodCard(
        family="locate-then-edit",
        paper="Gupta et al. 2024, arXiv:2403.14236",
        stores="key and rank one of one matrix",
        undo="in order",
        batch="together",
        deviations=DEVIATIONS,
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        value_settings: ValueSettings | None = None,
        slack: float = SLACK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = setup.settings
        value_settings = value_settings or value_settings_from(settings)
        self._steps = MemitSteps(
            setup, (setup.layer,), contexts=contexts, value_settings=value_settings, clock=clock
        )
        # The eps in the settings is relative to lambda C; here C is not multiplied by lambda.
        ridge = settings.ridge / settings.background_weight
        self._background, self._slack = Backgrounds(setup.moments, weight=1.0, ridge=ridge), slack

    @classmethod
    def build(cls, setup: Setup) -> EmmetEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each subject. Refused: see `MemitSteps.propose`."""
        return self._steps.propose(self.name, groups, live, self._solve)

    def _solve(self, layer: int, K: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
        U = self._background.solve(layer, K)
        return equality_coefficients(R, K, U, slack=self._slack if K.shape[1] > 1 else 0.0), U
