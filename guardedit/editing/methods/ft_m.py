"""FT-M: fine-tuning of one matrix with the language-model loss, masked to the target's tokens.

This is `target_new` of EasyEdit. Every target ends with the full stop that ends answers, so that free
generation stops after the target (LocFT-BF, Yang et al. 2025, arXiv:2509.22072, appends the end-of-text token
for the same reason).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts, fact_tensors
from guardedit.editing.tune.tuning import Tuned, TuningSettings, facts_at_once, tune
from guardedit.models.weights.factors import Factors, to_payload


class FineTuneEditor:
    """Proposes one dense `direct` edit for each fact, tuned on the model with all live edits.

    Facts of one batch are tuned independently of each other, and their changes add up.

    Args:
        setup: the model and its layer.
        settings: of the tuning.
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
            "the facts of one batch are tuned independently instead of one after the other",
            "the layer is chosen by the setup",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        settings: TuningSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._settings = settings or TuningSettings()

    @classmethod
    def build(cls, setup: Setup) -> FineTuneEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts that cannot be encoded, and non-finite edits."""
        start, host = self._clock(), self._setup.host
        with host.lock, host.patched(self._setup.fold.fold(live)):
            edits, refused = edit_facts(
                host, groups, self._edits, at_once=facts_at_once(host, self._setup.layer)
            )
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(self, wanted: Sequence[FactToEdit]) -> list[WeightEdit]:
        host, layer = self._setup.host, self._setup.layer
        found = tune(host, layer, fact_tensors(host, wanted), self._settings)
        return [
            tuned_edit(item, tuned, layer=layer, method=self.name)
            for item, tuned in zip(wanted, found, strict=True)
        ]


def tuned_edit(wanted: FactToEdit, tuned: Tuned, *, layer: int, method: str) -> WeightEdit:
    """A fine-tuned matrix as an edit. Adam changes every entry, so the change is not of low rank."""
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
