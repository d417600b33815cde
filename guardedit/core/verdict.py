"""A verdict: what the guard said about a trial, with every number and limit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """Only `accept` lets an epoch be served."""

    ACCEPT = "accept"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One measured value against its limit. `culprits` are fact ids the gate can name by itself.

    A `shadow` gate is measured and reported with its true outcome, but decides nothing.
    """

    name: str
    value: float
    limit: float
    at_most: bool
    outcome: Outcome
    detail: str = ""
    culprits: tuple[str, ...] = ()
    shadow: bool = False

    def __str__(self) -> str:
        """`perplexity_ratio 1.043 > 1.02`."""
        failed = self.outcome is not Outcome.ACCEPT
        sign = (">" if failed else "<=") if self.at_most else ("<" if failed else ">=")
        return f"{self.name} {self.value:.4g} {sign} {self.limit:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gates and what follows from all of them together."""

    outcome: Outcome
    gates: tuple[Gate, ...] = ()
    reason: str = ""
    probe_sha256: str = ""
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def culprits(self) -> tuple[str, ...]:
        """Fact ids that failing gates name, sorted, each once."""
        named = {f for g in self.gates if g.outcome is Outcome.REJECT and not g.shadow for f in g.culprits}
        return tuple(sorted(named))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger."""
        return asdict(self)


def combine(gates: tuple[Gate, ...], *, probe_sha256: str = "") -> Verdict:
    """The worst gate decides: error, then reject, then inconclusive; no gate at all is an error."""
    for outcome in (Outcome.ERROR, Outcome.REJECT, Outcome.INCONCLUSIVE):
        hit = [gate for gate in gates if gate.outcome is outcome and not gate.shadow]
        if hit:
            reason = "; ".join(f"{gate}{f' ({gate.detail})' if gate.detail else ''}" for gate in hit)
            break
    else:
        outcome, reason = (Outcome.ACCEPT, "") if gates else (Outcome.ERROR, "nothing was measured")
    return Verdict(
        outcome=outcome,
        gates=gates,
        reason=reason,
        probe_sha256=probe_sha256,
        measured={gate.name: gate.value for gate in gates},
    )
