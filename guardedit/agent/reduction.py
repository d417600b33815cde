"""Tries a plan that removes edits. Edits that no longer pass are removed too; their facts go to memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from guardedit.agent.judging import TrialSetup, failing, judge_removal
from guardedit.agent.parts import Parts
from guardedit.agent.plan import EpochPlan
from guardedit.core.errors import GuardError
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Outcome, Verdict

#: Most trials for one plan. If none is accepted, all facts are answered from memory.
MOST_TRIALS = 6


def reduced(parts: Parts, plan: EpochPlan) -> tuple[EpochPlan, Verdict | None]:
    """Take edits out of the plan until the guard accepts it: the edits that fail, else the largest ones.

    Returns the accepted plan with its verdict. A plan without any edit has no verdict, because the base model
    needs no trial.

    Raises:
        GuardError: the serving epoch cannot be measured, so taking more edits out would not help.
    """
    removed: list[WeightEdit] = []
    for attempt in range(MOST_TRIALS):
        smaller = plan.without(removed)
        judgement = judge_removal(parts, _setup(parts, smaller))
        if judgement.unmeasurable is not None:
            raise GuardError(f"{judgement.unmeasurable.reason}: nothing was changed, fix this and try again")
        if judgement.verdict.outcome is Outcome.ACCEPT:
            return smaller, judgement.verdict
        removed += _failing(smaller.edits, judgement.verdict) or _largest(smaller.edits, 2**attempt)
        if len(removed) == len(plan.edits):
            break
    return plan.without(plan.edits), None


def _setup(parts: Parts, plan: EpochPlan) -> TrialSetup:
    return TrialSetup(
        serving=parts.ledger.edits(),
        staying=plan.edits,
        facts={},
        live=plan.live,
        seed=parts.limits.trial_seed + parts.ledger.epoch().number,
    )


def _failing(edits: Sequence[WeightEdit], verdict: Verdict) -> list[WeightEdit]:
    """The edits of facts that a failing gate names. Here an inconclusive gate counts as failing."""
    named = {fact for gate in failing(verdict) for fact in gate.failing_facts}
    return [edit for edit in edits if named & set(edit.facts)]


def _largest(edits: Sequence[WeightEdit], count: int) -> list[WeightEdit]:
    return sorted(edits, key=_size)[-count:]


def _size(edit: WeightEdit) -> float:
    return edit.diagnostics.get("change_ratio", math.inf)
