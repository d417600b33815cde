"""A trial: a candidate epoch under the guard, before anything is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.agent.parts import Parts
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Outcome, Verdict


@dataclass
class Trial:
    """Tries sets of edits on top of `others`, the edits that stay.

    A set that was not itself measured is never called accepted: `verdict` belongs to what `run` returned.
    """

    parts: Parts
    serving: Sequence[WeightEdit]  # of the serving epoch
    others: Sequence[WeightEdit]
    facts: Mapping[str, Fact]  # by id: the facts of the edits on trial
    live: Mapping[FactKey, Fact]
    seed: int
    reasons: dict[str, str] = field(default_factory=dict)  # fact id -> why it was turned away
    verdict: Verdict | None = None

    def run(self, edits: Mapping[str, WeightEdit]) -> dict[str, WeightEdit]:
        """Tier 0, then tier 1 with bisection; returns the accepted edits by subject."""
        innocent = self._inspected([edits[subject] for subject in sorted(edits)])
        found = self.parts.bisect(
            list(innocent),
            lambda subjects: self.judged([innocent[subject] for subject in subjects]),
            names=lambda subject: innocent[subject].facts,
        )
        for subject, guilty in found.culprits.items():
            self._blame(innocent[subject], guilty.reason)
        self.verdict = found.verdict
        if not found.kept and self._others_changed():
            # Nothing new is wanted, but something old is to go: that is a change too.
            self.verdict = self.judged([])
        return {subject: innocent[subject] for subject in found.kept}

    def judged(self, edits: Sequence[WeightEdit]) -> Verdict:
        """Tier 1: candidate, serving epoch and base under the same probes."""
        bench, guard = self.parts.workbench, self.parts.guard
        batch = [self.facts[fact] for edit in edits for fact in edit.facts]
        probes = guard.probes_for(batch, self.live, seed=self.seed)
        started = self.parts.clock()
        verdict = guard.judge(
            candidate=bench.measure([*self.others, *edits], probes),
            serving=bench.measure(self.serving, probes),
            base=bench.measure((), probes),
            probes=probes,
        )
        seconds = self.parts.clock() - started
        self.parts.observe(
            Event(kind="judged", fields={"verdict": verdict, "facts": len(batch), "seconds": seconds})
        )
        if verdict.outcome is not Outcome.ACCEPT:  # an accepting one is recorded with its epoch
            digests = sorted(edit.digest for edit in edits)
            self.parts.journal.note("trial", {"edits": digests, "verdict": verdict.to_json()})
        return verdict

    def _inspected(self, edits: Sequence[WeightEdit]) -> dict[str, WeightEdit]:
        """Tier 0: drop edits whose numbers alone convict them; no forward pass."""
        if not edits:
            return {}
        bench = self.parts.workbench
        verdict, failing = self.parts.guard.inspect(
            bench.inspect(edits, self.others), capacity_ratio=bench.capacity_ratio([*self.others, *edits])
        )
        innocent: dict[str, WeightEdit] = {}
        for edit in edits:
            gates = [gate for fact in edit.facts for gate in failing.get(fact, ())]
            if gates:
                self._blame(edit, "; ".join(dict.fromkeys(gate.detail or str(gate) for gate in gates)))
            else:
                innocent[edit.subject] = edit
        if failing:
            self.parts.journal.note("trial", {"edits": [], "verdict": verdict.to_json()})
        self.parts.observe(
            Event(kind="inspected", fields={"edits": len(edits), "failed": len(edits) - len(innocent)})
        )
        return innocent

    def _others_changed(self) -> bool:
        return {edit.digest for edit in self.others} != {edit.digest for edit in self.serving}

    def _blame(self, edit: WeightEdit, reason: str) -> None:
        for fact in edit.facts:
            self.reasons[fact] = reason
