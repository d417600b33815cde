"""Sequential MEMIT: the solve includes the keys of all live edits.

Delta = R (I + K^T B^-1 K)^-1 K^T B^-1 with B = lambda C + sum k k^T over the live keys of the layer. With one
layer and unchanged keys this equals the solution for all edits at once (recursive least squares). With
several layers it is only close to that solution, since edits in lower layers change the keys above them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.history import History
from guardedit.editing.locate.memit_steps import (
    BACKGROUND_SHARE,
    DEVIATIONS,
    FROZEN_KEYS,
    MemitSteps,
    value_settings_from,
)
from guardedit.editing.locate.solvers import ridge_solver
from guardedit.editing.locate.values import ValueSettings
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup


class MemitSeqEditor:
    """Proposes `direct` edits of `setup.layers`, a batch at once, that preserve all live keys.

    Args:
        setup: the model, its layers and their second moments; lambda and eps come from its settings.
        contexts: prefixes of the prompts; default: five, sampled from the model.
        value_settings: of the value optimisation; default: `value_settings_from`.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "memit-seq"
    card = MethodCard(
        family="locate-then-edit",
        paper="Meng et al. 2023, arXiv:2210.07229; the history: Fang et al. 2025, arXiv:2410.02355",
        stores="key and rank one of each of several matrices",
        undo="in order",
        batch="together",
        spreads=True,
        deviations=(*DEVIATIONS, FROZEN_KEYS),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        value_settings: ValueSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = setup.settings
        value_settings = value_settings or value_settings_from(settings)
        self._steps = MemitSteps(
            setup, setup.layers, contexts=contexts, value_settings=value_settings, clock=clock
        )
        self._background = Backgrounds(
            setup.moments,
            weight=BACKGROUND_SHARE * settings.background_weight,
            ridge=BACKGROUND_SHARE * settings.ridge,
        )

    @classmethod
    def build(cls, setup: Setup) -> MemitSeqEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each subject. Refused: see `MemitSteps.propose`."""
        solve = ridge_solver(self._background, History(live))
        return self._steps.propose(self.name, groups, live, solve)
