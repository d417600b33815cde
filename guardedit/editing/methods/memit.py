"""MEMIT: a batch of edits spread over several layers, against what background text needs.

In each layer Delta = R K^T (lambda C + K K^T)^-1 (Meng et al. 2023, eq. 14). There is no memory of earlier
edits: each batch overwrites the directions that it shares with them. `memit-seq` remembers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.solvers import ridge_solver
from guardedit.editing.locate.spread import DEVIATIONS, LIGHTER, Spread, recipe_of
from guardedit.editing.locate.values import Recipe
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup


class MemitEditor:
    """Proposes `direct` edits of `setup.layers`, a batch at once, on the model with all live edits.

    Args:
        setup: the model, its layers and their second moments; lambda and eps come from its settings.
        contexts: prefixes; default: five, sampled from the model.
        recipe: of the values; default: `recipe_of`.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "memit"
    card = MethodCard(
        family="locate-then-edit",
        paper="Meng et al. 2023, arXiv:2210.07229",
        stores="key and rank one of each of several matrices",
        undo="in order",
        batch="together",
        spreads=True,
        deviations=DEVIATIONS,
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        dials = setup.settings
        recipe = recipe or recipe_of(dials)
        self._spread = Spread(setup, setup.layers, contexts=contexts, recipe=recipe, clock=clock)
        self._background = Backgrounds(
            setup.moments, weight=LIGHTER * dials.background_weight, ridge=LIGHTER * dials.ridge
        )

    @classmethod
    def build(cls, setup: Setup) -> MemitEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a subject. Refused: see `Spread.propose`."""
        return self._spread.propose(self.name, groups, live, ridge_solver(self._background))
