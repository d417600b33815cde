"""CoachHook: edits that live in a hook beside the matrix and act only on tokens that they were made for.

The update is MEMIT's with its whole history (Li et al. 2024, arXiv:2403.05330). `models.fold` solves it for
all live edits together, from keys and residuals of the base model, and `models.bypasses.outlier` decides at
every token whether the edited or the base matrix speaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.spread import DEVIATIONS, Found, Spread, edit_of, evenly, recipe_of
from guardedit.editing.locate.values import Recipe
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors

#: Standard deviations above the background's mean. The published 2.2 is meant for the tokens of one prompt,
#: among which the edited one stands out. Of all background tokens one in a hundred lies above 4 with a single
#: edit and above 8 with two dozen (keys have longer tails than a Gaussian), edited ones mostly above 20.
ALPHA = 15.0


class CoachHookEditor:
    """Proposes `hooked` edits of `setup.layers`, whatever is live; lambda is that of the fold.

    Args:
        setup: the base model, its layers, and a fold with their second moments.
        alpha: how many standard deviations Delta k must be longer than usual. Kept with each edit.
        contexts: prefixes; default: MEMIT's, sampled from the model.
        recipe: of the values; default: `recipe_of`.
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
            "layers get equal parts of the residual, enlarged by what the background takes of it",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        alpha: float = ALPHA,
        contexts: Contexts | None = None,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        recipe = recipe or recipe_of(setup.settings)
        self._spread = Spread(setup, setup.layers, contexts=contexts, recipe=recipe, clock=clock)
        self._host, self._layers, self._alpha, self._clock = setup.host, setup.layers, alpha, clock
        dials = setup.settings
        self._background = Backgrounds(setup.moments, weight=dials.background_weight, ridge=dials.ridge)

    @classmethod
    def build(cls, setup: Setup) -> CoachHookEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a subject, made on the base model. Refused: see `Spread.propose`."""
        del live
        start = self._clock()
        with self._host.lock:
            found, refused = self._spread.values(groups, ())
            parts = self._parts(found) if found else []
        edits = [
            edit_of(self.name, group, value, mine) for (group, value), mine in zip(found, parts, strict=True)
        ]
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _parts(self, found: Found) -> list[list[Factors]]:
        contexts, alpha = self._spread.contexts, torch.tensor(self._alpha, dtype=torch.float64)
        solved = evenly(self._host, self._layers, found, contexts=contexts, background=self._background)
        return [
            [
                Factors.keyed(
                    "hooked", layer=part.layer, key=part.right, value=part.left, extra={"alpha": alpha}
                )
                for part in mine
            ]
            for mine in solved
        ]
