"""The steps that MEMIT and its relatives share: find one value per subject and spread it over layers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property

from guardedit.core.errors import EditDiverged
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.anchor import anchored, norm_anchor, pilot_values
from guardedit.editing.locate.editable import editable, found_values, merged_by_subject
from guardedit.editing.locate.solvers import Solve
from guardedit.editing.locate.spread import FoundValues, spread_residual
from guardedit.editing.locate.values import Value, ValueSettings, find_values
from guardedit.editing.optimise.contexts import Contexts, memit_contexts
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, to_payload

#: Deviations from the paper of every method that uses these steps.
DEVIATIONS = (
    "learning rate and clamp are relative to the norm of the down projection's value, without weight decay",
    "values get the steps of the settings, more than the published 20 to 25",
    "facts of one subject share one value (MEMIT-Merge, arXiv:2502.07322)",
)
#: A further deviation, of methods with a history of live keys.
FROZEN_KEYS = "the history holds keys as they were when their edit was made, and those of every live method"

#: Share of `settings.background_weight` that these methods use. The full weight suits `ridge`, which scales
#: its residuals up to compensate for the background term; these methods do not. On the demo model, the full
#: weight leaves one fact in 8 unwritten and costs 0.6 per cent of perplexity; a tenth of it leaves one in 24
#: unwritten and costs 1.5 per cent.
BACKGROUND_SHARE = 0.1


def value_settings_from(settings: EditSettings, *, extra_steps: int | None = None) -> ValueSettings:
    """The published settings with the learning rate and steps of `settings`, and without weight decay.

    With 25 steps of that length, memit misses one in twelve of the demo model's facts, each edited alone.
    Steps three times as long reach those facts but do more harm: after two dozen r-rome edits in a row, 0.68
    of other subjects' answers are unchanged, compared with 0.82 for this step length and as many steps as
    needed. The decay term is divided by ||v0||^2, so for short values it outweighs the answer: it is a
    quarter of a nat on the demo model, where the clamp already limits the change.
    """
    return ValueSettings(
        learning_rate_ratio=settings.learning_rate_ratio,
        steps=settings.steps,
        decay=0.0,
        extra_steps=extra_steps,
    )


class MemitSteps:
    """Finds values and proposes `direct` edits of several layers, on the model with all live edits.

    Args:
        setup: model, fold and seed; of its settings only `norm_anchored` and `anchor_ratio` are used.
        layers: ascending; values are found at the last of them.
        contexts: prefixes; default: MEMIT's, sampled from the model.
        value_settings: of the value optimisation.
        clock: seconds, for `Proposal.seconds`.
    """

    def __init__(
        self,
        setup: Setup,
        layers: Sequence[int],
        *,
        contexts: Contexts | None,
        value_settings: ValueSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.contexts = contexts or memit_contexts(setup.host, seed=setup.seed)
        self._setup, self.layers = setup, tuple(layers)
        self._value_settings, self._clock = value_settings, clock

    def propose(
        self, name: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], solve: Solve
    ) -> Proposal:
        """One edit per subject; all edits of a batch are computed together.

        A fact is refused when its prompt does not contain the subject or cannot be encoded. All facts of a
        subject are refused when its value or change is not finite, or when the value is too long for the
        anchor. The whole batch is refused when a layer cannot be solved.

        Args:
            name: of the method.
            groups: facts by subject.
            live: edits in the model.
            solve: the method's solver of one layer.
        """
        start, host = self._clock(), self._setup.host
        edits: list[WeightEdit] = []
        with host.lock:
            found, refused = self.values(groups, live)
            if found:
                with host.patched(self._setup.fold.fold(live)):
                    try:
                        parts = spread_residual(host, self.layers, found, contexts=self.contexts, solve=solve)
                    except EditDiverged as error:
                        refused.update(dict.fromkeys(_facts(found), str(error)))
                        found, parts = [], []
                for (group, value), mine in zip(found, parts, strict=True):
                    if all(part.finite for part in mine):
                        edits.append(weight_edit(name, group, value, mine))
                    else:
                        reason = (
                            "the change is not finite: lower learning_rate_ratio or raise background_weight"
                        )
                        refused.update(dict.fromkeys(_facts([(group, value)]), reason))
        return Proposal(method=name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def values(
        self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]
    ) -> tuple[list[tuple[SubjectGroup, Value]], dict[str, str]]:
        """Values on the model with live edits, anchored if the settings say so; and fact id -> refusal.

        A fact is refused when its prompt does not contain the subject or cannot be encoded. All facts of a
        subject are refused when its optimisation diverges, or when its value is too long for the anchor.
        """
        host, settings = self._setup.host, self._setup.settings
        anchor = self._anchor if settings.norm_anchored else math.nan
        usable, refused = editable(host, merged_by_subject(groups), self.contexts)
        with host.lock, host.patched(self._setup.fold.fold(live)):
            found, diverged = found_values(usable, self._find)
        refused |= diverged
        if not settings.norm_anchored:
            return found, refused
        kept = []
        for group, value in found:
            try:
                kept.append((group, anchored(value, anchor, limit_ratio=settings.anchor_ratio)))
            except EditDiverged as error:
                refused.update(dict.fromkeys(_facts([(group, value)]), str(error)))
        return kept, refused

    def _find(self, groups: Sequence[SubjectGroup]) -> list[Value]:
        return find_values(
            self._setup.host,
            self.layers[-1],
            groups,
            contexts=self.contexts,
            value_settings=self._value_settings,
        )

    @cached_property
    def _anchor(self) -> float:
        """The norm anchor of the base model; it does not depend on any live edit."""
        with self._setup.host.lock:
            pilots = pilot_values(
                self._setup, self.layers[-1], contexts=self.contexts, value_settings=self._value_settings
            )
        return norm_anchor(pilots)


def weight_edit(name: str, group: SubjectGroup, value: Value, parts: Sequence[Factors]) -> WeightEdit:
    """The edit of one subject, with diagnostics for the ledger; ratios are relative to ||v0||."""
    scale = float(value.bare_value.norm())
    return WeightEdit(
        subject=group.subject,
        facts=tuple(sorted(fact.id for fact in group.facts)),
        method=name,
        payload=to_payload(*parts),
        diagnostics={
            "change_norm": float(value.change.norm()),
            "change_ratio": float(value.change.norm()) / scale if scale else math.nan,
            "value_norm": float((value.bare_value + value.change).norm()),
            "loss_nats": value.loss_nats,
            "steps": float(value.steps),
        },
    )


def _facts(found: FoundValues) -> list[str]:
    return [fact.id for group, _ in found for fact in group.facts]
