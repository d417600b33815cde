"""A guard that accepts everything, for comparisons with and without the guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.verdict import Gate, Outcome, Verdict

_REASON = "the guard is off"


@dataclass(frozen=True)
class NoGuard:
    """Measures nothing and accepts everything, even edits that are not finite. Never use it for serving."""

    def probes_for(
        self,
        batch: Sequence[Fact],  # noqa: ARG002 - the interface of CollapseGuard
        live: Mapping[FactKey, Fact],  # noqa: ARG002 - as above
        *,
        seed: int,  # noqa: ARG002 - as above
        effort: int = 1,  # noqa: ARG002 - as above
    ) -> Probes:
        """No probes."""
        return Probes(texts=())

    def inspect(
        self,
        inspections: Sequence[Inspection],  # noqa: ARG002 - as above
        *,
        capacity_ratio: float,  # noqa: ARG002 - as above
    ) -> tuple[Verdict, dict[str, tuple[Gate, ...]]]:
        """Accept; no edit fails."""
        return Verdict(outcome=Outcome.ACCEPT, reason=_REASON), {}

    def first_look(self, probes: Probes) -> Probes:
        """The same probes."""
        return probes

    def judge(
        self,
        *,
        candidate: Measurement,  # noqa: ARG002 - as above
        serving: Measurement,  # noqa: ARG002 - as above
        base: Measurement,  # noqa: ARG002 - as above
        probes: Probes,
        final: bool = True,  # noqa: ARG002 - as above
    ) -> Verdict:
        """Accept."""
        return Verdict(outcome=Outcome.ACCEPT, reason=_REASON, probe_sha256=probes.sha256)
