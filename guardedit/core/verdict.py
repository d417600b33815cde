"""A verdict: the guard's decision on a trial, with every measured number and its limit."""

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
class LostAnswer:
    """A question that a trial answers wrongly, though it counts.

    Attributes:
        question: as a person asks it.
        expected: the answer that was to be said or kept.
        answer: what the candidate answers.
    """

    question: str
    expected: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One measured number and its limit.

    Attributes:
        name: one of `policy.limits.GateName`, or `finite`.
        value: the measured number; NaN where it is undefined.
        limit: what the value is compared with.
        at_most: the limit is an upper one; otherwise a lower one. A value equal to its limit passes.
        outcome: what this gate alone would decide.
        detail: for people.
        failing_facts: ids of the facts that the gate itself can name as the reason, such as those whose
            questions were answered wrongly.
        lost: the first of the questions behind the value that are answered wrongly.
        shadow: measured and reported with its true outcome, but not counted in the verdict.
    """

    name: str
    value: float
    limit: float
    at_most: bool
    outcome: Outcome
    detail: str = ""
    failing_facts: tuple[str, ...] = ()
    lost: tuple[LostAnswer, ...] = ()
    shadow: bool = False

    def __str__(self) -> str:
        """`perplexity_ratio 1.043 > 1.02`."""
        failed = self.outcome is not Outcome.ACCEPT
        sign = (">" if failed else "<=") if self.at_most else ("<" if failed else ">=")
        return f"{self.name} {self.value:.4g} {sign} {self.limit:.4g}"

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger."""
        body = asdict(self)
        # Recorded under this name since version 0.1.
        body["culprits"] = body.pop("failing_facts")
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gates of one trial and the outcome of all of them together."""

    outcome: Outcome
    gates: tuple[Gate, ...] = ()
    reason: str = ""
    probe_sha256: str = ""
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def failing_facts(self) -> tuple[str, ...]:
        """Ids of the facts that rejecting gates name, sorted, each once. Shadow gates do not count."""
        rejecting = [gate for gate in self.gates if gate.outcome is Outcome.REJECT and not gate.shadow]
        return tuple(sorted({fact_id for gate in rejecting for fact_id in gate.failing_facts}))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger."""
        return {**asdict(self), "gates": tuple(gate.to_json() for gate in self.gates)}


def combine(gates: tuple[Gate, ...], *, probe_sha256: str = "") -> Verdict:
    """The verdict of several gates: the worst one decides.

    Error comes before reject, reject before inconclusive. Without any gate the verdict is an error.
    """
    for outcome in (Outcome.ERROR, Outcome.REJECT, Outcome.INCONCLUSIVE):
        deciding = [gate for gate in gates if gate.outcome is outcome and not gate.shadow]
        if deciding:
            reason = "; ".join(f"{gate}{f' ({gate.detail})' if gate.detail else ''}" for gate in deciding)
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
