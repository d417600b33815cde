"""One value against one limit, and the verdict of several such gates. Knows nothing of what is measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from guardedit.core.verdict import Gate, Outcome, Verdict, combine
from guardedit.guard.limits import GuardLimits


def at_most(
    name: str,
    value: float,
    limit: float,
    *,
    detail: str,
    certain: bool = True,
    culprits: Iterable[str] = (),
) -> Gate:
    """Passes when value <= limit; NaN is an error; a value over the limit that is not certain is held."""
    return _gate(
        name,
        value,
        limit,
        passed=value <= limit,
        certain=certain,
        upper=True,
        detail=detail,
        culprits=culprits,
    )


def at_least(
    name: str,
    value: float,
    limit: float,
    *,
    detail: str,
    certain: bool = True,
    culprits: Iterable[str] = (),
) -> Gate:
    """Passes when value >= limit; otherwise as `at_most`."""
    return _gate(
        name,
        value,
        limit,
        passed=value >= limit,
        certain=certain,
        upper=False,
        detail=detail,
        culprits=culprits,
    )


def unmeasured(
    name: str, limit: float, *, upper: bool, detail: str, outcome: Outcome = Outcome.ERROR
) -> Gate:
    """There is no value, and that never reads as a pass."""
    return Gate(
        name=name,
        value=math.nan,
        limit=limit,
        at_most=upper,
        outcome=outcome,
        detail=f"Halt: {detail}",
    )


def undecided(gate: Gate, *, detail: str) -> Gate:
    """The same value, from too little material to decide by. An error stays an error."""
    if gate.outcome is Outcome.ERROR:
        return gate
    return replace(gate, outcome=Outcome.INCONCLUSIVE, detail=f"Halt: {detail}")


def verdict_of(gates: Iterable[Gate], limits: GuardLimits, *, probe_sha256: str = "") -> Verdict:
    """Mark the shadow gates and let the worst of the others decide."""
    marked = tuple(replace(gate, shadow=gate.name in limits.shadow) for gate in gates)
    return combine(marked, probe_sha256=probe_sha256)


def _gate(
    name: str,
    value: float,
    limit: float,
    *,
    passed: bool,
    certain: bool,
    upper: bool,
    detail: str,
    culprits: Iterable[str],
) -> Gate:
    outcome = Outcome.ACCEPT
    if math.isnan(value):
        outcome = Outcome.ERROR
    elif not passed:
        outcome = Outcome.REJECT if certain else Outcome.INCONCLUSIVE
    failed = outcome is not Outcome.ACCEPT
    return Gate(
        name=name,
        value=value,
        limit=limit,
        at_most=upper,
        outcome=outcome,
        detail=f"Halt: {detail}" if failed else detail,
        culprits=tuple(sorted(set(culprits))) if failed else (),
    )
