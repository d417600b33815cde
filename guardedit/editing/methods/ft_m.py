"""FT-M: fine-tuning of one matrix on the target's tokens, each behind the ones before it.

The ordinary language-model loss, masked to the target (`target_new` of EasyEdit). Every target ends with the
full stop that ends answers, so that free generation stops where the target does (LocFT-BF, Yang et al. 2025,
arXiv:2509.22072, appends the end-of-text token for the same reason).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import Wanted, edit_facts, wanted_rows
from guardedit.editing.tune.tuning import Recipe, Tuned, facts_at_once, tune
from guardedit.models.weights.factors import Factors, to_payload


class FineTuneEditor:
    """Proposes one dense `direct` edit a fact, tuned on the model with all live edits.

    Facts of one batch are tuned side by side: none is made on top of another, and together they add up.

    Args:
        setup: the model and its layer.
        recipe: the dials.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "ft-m"
    card = MethodCard(
        family="fine-tuning",
        paper="baseline of Meng et al. 2022, arXiv:2202.05262; masked loss of EasyEdit, arXiv:2308.07269",
        stores="the whole change of one matrix",
        undo="in order",
        batch="together",
        needs_subject=False,
        deviations=(
            "the learning rate is relative to the value's norm",
            "the facts of one batch are tuned side by side instead of one on top of the other",
            "the layer is the setup's",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._recipe = recipe or Recipe()

    @classmethod
    def build(cls, setup: Setup) -> FineTuneEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, in the order given. Refused: what cannot be encoded, or is not finite."""
        start, host = self._clock(), self._setup.host
        with host.lock, host.patched(self._setup.fold.fold(live)):
            edits, refused = edit_facts(
                host, groups, self._edits, at_once=facts_at_once(host, self._setup.layer)
            )
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(self, wanted: Sequence[Wanted]) -> list[WeightEdit]:
        host, layer = self._setup.host, self._setup.layer
        found = tune(host, layer, wanted_rows(host, wanted), self._recipe)
        return [
            tuned_edit(item, tuned, layer=layer, method=self.name)
            for item, tuned in zip(wanted, found, strict=True)
        ]


def tuned_edit(wanted: Wanted, tuned: Tuned, *, layer: int, method: str) -> WeightEdit:
    """A fine-tuned matrix as an edit. Adam moves every entry, so no thinner form is exact."""
    factors = Factors.dense(layer=layer, change=tuned.change, key=tuned.key)
    return WeightEdit(
        subject=wanted.subject,
        facts=(wanted.fact.id,),
        method=method,
        payload=to_payload(factors),
        diagnostics={
            "change_norm": float(tuned.change.norm()),
            "loss_nats": tuned.loss_nats,
            "steps": float(tuned.steps),
        },
    )
