"""MEMIT for a stream: what it is solved against holds the keys of all live edits.

Delta = R (I + K^T B^-1 K)^-1 K^T B^-1 with B = lambda C + sum k k^T over the live keys of the layer. With
one layer and keys that stay as they are this is the solution for all edits at once (recursive least
squares); with several layers nearly so, since lower edits move the keys above them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.history import History
from guardedit.editing.locate.solvers import ridge_solver
from guardedit.editing.locate.spread import DEVIATIONS, FROZEN_KEYS, LIGHTER, Spread, recipe_of
from guardedit.editing.locate.values import Recipe
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup


class MemitSeqEditor:
    """Proposes `direct` edits of `setup.layers`, a batch at once, that leave all live keys alone.

    Args:
        setup: the model, its layers and their second moments; lambda and eps come from its settings.
        contexts: prefixes; default: five, sampled from the model.
        recipe: of the values; default: `recipe_of`.
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
    def build(cls, setup: Setup) -> MemitSeqEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a subject. Refused: see `Spread.propose`."""
        solve = ridge_solver(self._background, History(live))
        return self._spread.propose(self.name, groups, live, solve)
