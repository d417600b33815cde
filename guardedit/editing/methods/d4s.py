"""D4S: every edit refers to the base model, and the edited matrices are rebuilt from the live ones.

W = W0 + (sum r k^T) (lambda C + sum k k^T)^-1 in each layer (Huang et al. 2024, arXiv:2410.23843). The fold
does this for `ridge` parts, so the running sums of the paper are the live edits themselves: order does not
matter, and leaving an edit out is as if it had never been made. The reference code gives the layers 1/m,
1/(m-1), ... 1 of a residual that it does not measure again, which adds up to more than once the change; here
each gets 1/m.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.spread import DEVIATIONS, Found, Spread, edit_of, evenly, recipe_of
from guardedit.editing.locate.values import Recipe
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors


class D4SEditor:
    """Proposes `ridge` edits of `setup.layers`, whatever is live; lambda is that of the fold.

    Args:
        setup: the base model, its layers and a fold with their second moments and the settings' weights.
        contexts: prefixes; default: five, sampled from the model.
        recipe: of the values; default: `recipe_of`.
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
            "layers get equal parts of the residual, enlarged by what the background takes of it",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        recipe = recipe or recipe_of(setup.settings)
        self._spread = Spread(setup, setup.layers, contexts=contexts, recipe=recipe, clock=clock)
        dials = setup.settings
        self._background = Backgrounds(setup.moments, weight=dials.background_weight, ridge=dials.ridge)
        self._host, self._layers, self._clock = setup.host, setup.layers, clock

    @classmethod
    def build(cls, setup: Setup) -> D4SEditor:
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

    def _parts(self, found: Found) -> list[tuple[Factors, ...]]:
        contexts = self._spread.contexts
        return evenly(self._host, self._layers, found, contexts=contexts, background=self._background)
