"""A decision: what the policy said about one correction, and which rule said it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Route(StrEnum):
    """Where a correction goes. `weights` means memory first, weights when the guard agrees."""

    MEMORY = "memory"
    WEIGHTS = "weights"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """One rule that was looked at, in order, and why it did or did not match."""

    rule: str
    matched: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Total and pure: the same policy, correction and state give the same decision."""

    route: Route
    rule: str
    reason: str
    policy_sha256: str
    method: str = ""  # editing method, for route `weights`
    trace: tuple[RuleTrace, ...] = ()
