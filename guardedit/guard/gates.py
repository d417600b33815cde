"""A gate compares one value with one limit; several gates together give a verdict."""

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
    failing_facts: Iterable[str] = (),
) -> Gate:
    """A gate that passes when value <= limit.

    Above the limit the gate rejects if `certain`, else it is inconclusive. NaN is an error. `failing_facts`
    are the ids of the facts that the gate names if it fails.
    """
    return _gate(
        name,
        value,
        limit,
        passed=value <= limit,
        certain=certain,
        maximum=True,
        detail=detail,
        failing_facts=failing_facts,
    )


def at_least(
    name: str,
    value: float,
    limit: float,
    *,
    detail: str,
    certain: bool = True,
    failing_facts: Iterable[str] = (),
) -> Gate:
    """A gate that passes when value >= limit; otherwise like `at_most`."""
    return _gate(
        name,
        value,
        limit,
        passed=value >= limit,
        certain=certain,
        maximum=False,
        detail=detail,
        failing_facts=failing_facts,
    )


def unmeasured(
    name: str, limit: float, *, maximum: bool, detail: str, outcome: Outcome = Outcome.ERROR
) -> Gate:
    """A gate without a value, which never passes. `maximum`: whether `limit` is an upper limit."""
    return Gate(
        name=name,
        value=math.nan,
        limit=limit,
        at_most=maximum,
        outcome=outcome,
        detail=f"Halt: {detail}",
    )


def undecided(gate: Gate, *, detail: str) -> Gate:
    """The gate, made inconclusive because too little was measured. An error stays an error."""
    if gate.outcome is Outcome.ERROR:
        return gate
    return replace(gate, outcome=Outcome.INCONCLUSIVE, detail=f"Halt: {detail}")


def verdict_of(gates: Iterable[Gate], limits: GuardLimits, *, probe_sha256: str = "") -> Verdict:
    """Mark the shadow gates; the worst of the other gates decides."""
    marked = tuple(replace(gate, shadow=gate.name in limits.shadow) for gate in gates)
    return combine(marked, probe_sha256=probe_sha256)


def _gate(
    name: str,
    value: float,
    limit: float,
    *,
    passed: bool,
    certain: bool,
    maximum: bool,
    detail: str,
    failing_facts: Iterable[str],
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
        at_most=maximum,
        outcome=outcome,
        detail=f"Halt: {detail}" if failed else detail,
        failing_facts=tuple(sorted(set(failing_facts))) if failed else (),
    )
