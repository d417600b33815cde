"""Tier 0: check the proposed weight edits against their limits, before any forward pass. Pure functions.

Works on `Inspection` records; the model worker computes the linear algebra behind them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from guardedit.core.probe import Inspection
from guardedit.core.verdict import Gate, Outcome, Verdict
from guardedit.guard.gates import at_least, at_most, verdict_of
from guardedit.guard.limits import GuardLimits

_SEVERITY = (Outcome.ACCEPT, Outcome.INCONCLUSIVE, Outcome.REJECT, Outcome.ERROR)


def inspect_gates(
    inspections: Sequence[Inspection], *, capacity_ratio: float, limits: GuardLimits
) -> tuple[Verdict, dict[str, tuple[Gate, ...]]]:
    """The verdict on all edits together, and by fact id the gates that the fact's edit fails.

    Each gate of the verdict has the worst value of all edits and names the facts of every edit that fails it.
    The capacity gate is about the whole proposal and names no facts. The second result omits shadow gates.
    """
    per_edit = [(inspection, edit_gates(inspection, limits)) for inspection in inspections]
    by_name: dict[str, list[Gate]] = {}
    failing: dict[str, tuple[Gate, ...]] = {}
    for inspection, gates in per_edit:
        for gate in gates:
            by_name.setdefault(gate.name, []).append(gate)
        bad = tuple(g for g in gates if g.outcome is not Outcome.ACCEPT and g.name not in limits.shadow)
        for fact_id in inspection.facts if bad else ():
            failing[fact_id] = (*failing.get(fact_id, ()), *bad)
    worst = [_worst(gates) for gates in by_name.values()]
    return verdict_of([*worst, _capacity_gate(capacity_ratio, limits)], limits), failing


def edit_gates(inspection: Inspection, limits: GuardLimits) -> tuple[Gate, ...]:
    """The gates of one weight edit. If the edit is not finite, `finite` is the only gate."""
    edit = f"edit {inspection.digest[:12]}"
    finite = at_least(
        "finite",
        float(inspection.finite),
        1.0,
        detail=f"{edit} is finite" if inspection.finite else f"{edit} has a number that is not finite",
        failing_facts=inspection.facts,
    )
    if not inspection.finite:
        return (finite,)
    rows = (
        ("relative_size", limits.max_relative_size, "norm of the change over that of the base matrix"),
        ("value_ratio", limits.max_value_ratio, "length of the new value over the usual length"),
        ("key_outlier", limits.max_key_outlier, "length of the key over the expected length"),
        ("background_error", limits.max_background_error, "relative output error on ordinary text"),
    )
    return (
        finite,
        *(
            at_most(
                name,
                value := float(getattr(inspection, name)),
                limit,
                detail=f"{edit}: {meaning} is {value:.4g}, at most {limit:.4g} is allowed",
                failing_facts=inspection.facts,
            )
            for name, limit, meaning in rows
        ),
    )


def _capacity_gate(ratio: float, limits: GuardLimits) -> Gate:
    limit = limits.max_capacity_ratio
    return at_most(
        "capacity_ratio",
        ratio,
        limit,
        detail=f"{ratio:.4g} of the layer's free rank would be in use, at most {limit:.4g} is allowed",
    )


def _worst(gates: Sequence[Gate]) -> Gate:
    """The worst of several gates with the same name, with the failing facts of all of them."""
    decisive = max(
        gates,
        key=lambda gate: (
            _SEVERITY.index(gate.outcome),
            0.0 if math.isnan(gate.value) else gate.value if gate.at_most else -gate.value,
        ),
    )
    named = {fact_id for gate in gates for fact_id in gate.failing_facts}
    return Gate(
        name=decisive.name,
        value=decisive.value,
        limit=decisive.limit,
        at_most=decisive.at_most,
        outcome=decisive.outcome,
        detail=decisive.detail,
        failing_facts=tuple(sorted(named)),
    )
