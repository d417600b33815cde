"""ROME with one key: what "The Fall of ROME" mended.

Direction and denominator use the same key, averaged over prefixes, and the value is compared with the
output averaged likewise (r-ROME, 2403.07175; C-ROME, 2406.11263). So the denominator is never small, and
no single edit ruins the model. There is no background weight: each edit gets its whole residual.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.solve import rome_direction, rome_residual
from guardedit.editing.locate.spread import DEVIATIONS, Spread, edit_of, recipe_of
from guardedit.editing.locate.values import Recipe, Value
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts, rome_contexts
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors


class RRomeEditor:
    """Proposes one `direct` edit a subject, each on the model with all live edits and the earlier proposals.

    Args:
        setup: the model and its layer.
        contexts: prefixes; default: twenty, sampled from the model.
        recipe: of the values.
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
            "the bare prompt has half the weight in the averages, all prefixes together the other half",
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
        self._moments = setup.moments[setup.layer]
        self._spread = Spread(
            setup,
            (setup.layer,),
            contexts=contexts or rome_contexts(setup.host, seed=setup.seed),
            recipe=recipe or recipe_of(setup.settings),
            clock=clock,
        )
        self._clock = clock

    @classmethod
    def build(cls, setup: Setup) -> RRomeEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a subject, in the order given. Refused: see `Spread.propose`."""
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        for group in groups:
            found, why = self._spread.values([group], [*live, *edits])
            refused |= why
            edits += [self._rank_one(usable, value) for usable, value in found]
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _rank_one(self, group: SubjectGroup, value: Value) -> WeightEdit:
        key, u = value.mean_key, rome_direction(self._moments.C, value.mean_key)
        target = value.bare_value + value.change
        left = rome_residual(target=target, value=value.mean_value, key=key, direction=u)
        return edit_of(
            self.name, group, value, [Factors.direct(layer=self._moments.layer, left=left, right=u, key=key)]
        )
