"""ROME as first published: rank-one edits, one fact at a time, with two different keys.

The update direction uses the key averaged over prefixes, the denominator uses the key of the bare prompt
(Meng et al. 2022, section 3.1 and the reference code). If the two differ much, as for subjects at the start
of the prompt, the denominator is tiny and one edit collapses the model ("The Fall of ROME", 2406.11263). This
method serves as a negative control and for comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.solve import rome_direction, rome_residual
from guardedit.editing.locate.values import Value, ValueSettings, find_values
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts, rome_contexts
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, to_payload


class RomeEditor:
    """Proposes a `direct` edit for each fact, on the model with all live edits and the earlier proposals.

    So edits depend on their order: when an earlier edit is undone, later ones still contain what was computed
    with it.

    Args:
        setup: the model and its layer. Of the settings only the learning rate is used; there are 20 steps, as
            published.
        contexts: prefixes of the prompts; default: twenty, sampled from the model.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "rome"
    card = MethodCard(
        family="locate-then-edit",
        paper="Meng et al. 2022, arXiv:2202.05262",
        stores="rank one of one matrix",
        undo="in order",
        batch="one by one",
        deviations=("the learning rate is relative to the value's norm",),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._moments = setup, setup.moments[setup.layer]
        self._contexts = contexts or rome_contexts(setup.host, seed=setup.seed)
        self._value_settings = ValueSettings(learning_rate_ratio=setup.settings.learning_rate_ratio)
        self._clock = clock

    @classmethod
    def build(cls, setup: Setup) -> RomeEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order.

        A fact is refused when its prompt lacks the subject or cannot be encoded, or when the optimisation
        diverges.
        """
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        host, fold = self._setup.host, self._setup.fold
        for group in groups:
            for fact in group.facts:
                try:
                    with host.lock, host.patched(fold.fold([*live, *edits])):
                        edits.append(self._edit(group, fact))
                except (CorrectionError, EditDiverged) as error:
                    refused[fact.id] = str(error)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edit(self, group: SubjectGroup, fact: Fact) -> WeightEdit:
        (value,) = find_values(
            self._setup.host,
            self._setup.layer,
            [replace(group, facts=(fact,))],
            contexts=self._contexts,
            value_settings=self._value_settings,
            bare_share=1 / (len(self._contexts.prefixes) + 1),  # all prompts have the same weight
        )
        return self._rank_one(group.subject, fact, value)

    def _rank_one(self, subject: str, fact: Fact, value: Value) -> WeightEdit:
        u = rome_direction(self._moments.C, value.mean_key)
        key, now = value.bare_key, value.bare_value
        left = rome_residual(target=now + value.change, value=now, key=key, direction=u)
        factors = Factors.direct(layer=self._moments.layer, left=left, right=u, key=key)
        return WeightEdit(
            subject=subject,
            facts=(fact.id,),
            method=self.name,
            payload=to_payload(factors),
            diagnostics={
                "change_ratio": float(value.change.norm() / now.norm()),
                "denominator": float(key @ u),
                "loss_nats": value.loss_nats,
            },
        )
