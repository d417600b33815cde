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

    Attributes:
        route: where the correction goes.
        rule: id of the rule that decided.
        reason: for people.
        policy_sha256: digest of the policy.
        method: editing method, for route `weights`.
        trace: every rule that was evaluated.
        signed_by: id of the key that signed the correction; "" for a source without keys.
        approvals: for route `hold`, how many persons have to approve.
        approvers: who may approve; empty: everybody who has the role.
        approval_ttl_s: how long an approval counts, in seconds; None: without end.
    """

    route: Route
    rule: str
    reason: str
    policy_sha256: str
    method: str = ""
    trace: tuple[RuleTrace, ...] = ()
    signed_by: str = ""
    approvals: int = 1
    approvers: tuple[str, ...] = ()
    approval_ttl_s: float | None = None
