"""A decision: what the policy says about one correction, and which rule says it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Route(StrEnum):
    """Where a correction goes. `weights` means memory first, then weights when the guard accepts the edit."""

    MEMORY = "memory"
    WEIGHTS = "weights"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """One rule that was evaluated, in order, and why it did or did not match."""

    rule: str
    matched: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The route of one correction, and the rule and reason for it.

    The same policy, correction and context always give the same decision, and every correction gets one.
    """

    route: Route
    rule: str
    reason: str
    policy_sha256: str
    method: str = ""  # editing method, for route `weights`
    trace: tuple[RuleTrace, ...] = ()
