"""The guard as one object: a probe set and limits. The gates are in `inspection`, `judge` and `answers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.verdict import Gate, Verdict
from guardedit.guard import looks
from guardedit.guard.inspection import inspect_gates
from guardedit.guard.judge import judge
from guardedit.guard.limits import GuardLimits
from guardedit.guard.noise import Noise
from guardedit.guard.probes import Asked, ProbeSet, Served


@dataclass(frozen=True)
class CollapseGuard:
    """Chooses the probes of a trial and judges its measurements. Stateless.

    Attributes:
        probe_set: texts and known questions.
        limits: of all gates.
        served: builds the prompt that the model is given for a question about a fact in memory; None: such
            questions are not asked, because their answers do not depend on the weights.
        asked: builds the prompt that it is given for any other question.
        noise: of the model.
    """

    probe_set: ProbeSet
    limits: GuardLimits
    served: Served | None = lambda _, question: question
    asked: Asked = str
    noise: Noise = field(default_factory=Noise)

    def probes_for(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, effort: int = 1
    ) -> Probes:
        """The probes for a candidate that puts `batch` into the weights, see `ProbeSet.for_trial`.

        `effort` multiplies the sizes of all samples; it is above 1 when an earlier trial was inconclusive.
        """
        return self.probe_set.for_trial(
            batch,
            live,
            seed=seed,
            other_subject_sample=effort * self.limits.other_subject_sample,
            earlier_sample=effort * self.limits.earlier_sample,
            remembered_sample=effort * self.limits.remembered_sample if self.served else 0,
            served=self.served or _never_asked,
            asked=self.asked,
        )

    def inspect(
        self, inspections: Sequence[Inspection], *, capacity_ratio: float
    ) -> tuple[Verdict, dict[str, tuple[Gate, ...]]]:
        """Tier 0, see `inspection.inspect_gates`."""
        return inspect_gates(inspections, capacity_ratio=capacity_ratio, limits=self.limits)

    def first_look(self, probes: Probes) -> Probes:
        """The probes with the texts that are read first, see `looks`."""
        return replace(probes, texts=looks.first_texts(probes.texts, self.limits))

    def judge(
        self,
        *,
        candidate: Measurement,
        serving: Measurement,
        base: Measurement,
        probes: Probes,
        final: bool = True,
    ) -> Verdict:
        """Tier 1, see `judge.judge`."""
        return judge(
            candidate=candidate,
            serving=serving,
            base=base,
            probes=probes,
            limits=self.limits,
            noise=self.noise,
            final=final,
        )


def _never_asked(fact: Fact, question: str) -> str:
    raise AssertionError(f"{question!r} about {fact.key} is not asked")
