"""A trial: a candidate epoch under the guard, before anything is committed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from guardedit.agent.parts import Bisected, Parts
from guardedit.agent.turned_away import FULL
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, Verdict, combine

#: Gates of budgets that all edits share.
BUDGETS = frozenset({"perplexity_ratio_to_base", "other_subject_to_base", "remembered"})


@dataclass
class Trial:
    """Tries sets of edits on top of `others`, the edits that stay.

    A set that was not itself measured is never called accepted: `verdict` belongs to what `run` returned.

    Two questions are kept apart when a set fails. Is an edit harmful? The culprits are tried alone on the
    base model, which depends on nothing else. An edit that was made beside others may lean on them: where
    it fails it is made once more for the base model (`remake`), and turned away for good if that one fails
    too. Is there room? An edit that passes alone but not beside others waits for the next batch, or, when
    the budgets against the base model are spent or it fails beside the serving edits alone, is turned away
    because the layer is full.
    """

    parts: Parts
    serving: Sequence[WeightEdit]  # of the serving epoch
    others: Sequence[WeightEdit]
    facts: Mapping[str, Fact]  # by id: the facts of the edits on trial
    live: Mapping[FactKey, Fact]
    seed: int
    remake: Callable[[WeightEdit], WeightEdit | None] = lambda _: None
    reasons: dict[str, str] = field(default_factory=dict)  # fact id -> why it was turned away
    verdict: Verdict | None = None

    def run(self, edits: Mapping[str, WeightEdit]) -> dict[str, WeightEdit]:
        """Tier 0, then tier 1, by bisection where a batch fails; the accepted edits by subject."""
        innocent = self._inspected([edits[subject] for subject in sorted(edits)])
        found, anew = self._bisected(innocent), dict[str, WeightEdit]()
        for subject, guilty in found.culprits.items():
            edit = self._standing_alone(innocent[subject])
            if edit is not None and edit.digest != innocent[subject].digest:
                anew[subject] = edit
            elif edit is not None:
                self._crowded_out(edit, guilty, beside=found.kept)
        if anew:
            innocent = {subject: innocent[subject] for subject in found.kept} | anew
            found = self._bisected(innocent)
            for subject, guilty in found.culprits.items():
                self._crowded_out(innocent[subject], guilty, beside=found.kept)
        self.verdict = found.verdict
        if not found.kept and self._others_changed():
            # Nothing new is wanted, but something old is to go: that is a change too.
            self.verdict = self.removal()
        return {subject: innocent[subject] for subject in found.kept}

    def _bisected(self, edits: Mapping[str, WeightEdit]) -> Bisected:
        return self.parts.bisect(
            list(edits),
            lambda subjects: self.judged([edits[subject] for subject in subjects]),
            names=lambda subject: edits[subject].facts,
        )

    def _crowded_out(self, edit: WeightEdit, guilty: Verdict, *, beside: Sequence[str]) -> None:
        """Turn an edit away that passes alone and for which there will be no room; else it waits."""
        if not beside or _over_budget(guilty):
            self._blame(edit, f"{FULL}: passes alone, not beside the others: {guilty.reason}")

    def judged(self, edits: Sequence[WeightEdit]) -> Verdict:
        """Tier 1: candidate, serving epoch and base under the same probes."""
        return self._judged(edits, others=self.others, serving=self.serving, live=self.live)

    def removal(self) -> Verdict:
        """Tier 1 on `others` alone, which are fewer than serve now: only what gets worse by that counts.

        The shared budgets were spent by what stays, and taking something out must not be refused for that.
        Nor for a gate that the serving epoch fails under the same probes, unless the gate names culprits.
        """
        return self._judged([], others=self.others, serving=self.serving, live=self.live, removal=True)

    def _standing_alone(self, edit: WeightEdit) -> WeightEdit | None:
        """The edit, or one made anew in its place, that passes alone on the base model; None: blamed."""
        verdict = self._judged([edit], others=(), serving=(), live={})
        if verdict.outcome is Outcome.ACCEPT:
            return edit
        again = self.remake(edit)
        if again is not None and again.digest != edit.digest and self._inspected([again]):
            repaired = self._judged([again], others=(), serving=(), live={})
            if repaired.outcome is Outcome.ACCEPT:
                return again
        self._blame(edit, verdict.reason)
        return None

    def _judged(
        self,
        edits: Sequence[WeightEdit],
        *,
        others: Sequence[WeightEdit],
        serving: Sequence[WeightEdit],
        live: Mapping[FactKey, Fact],
        removal: bool = False,
    ) -> Verdict:
        bench, guard = self.parts.workbench, self.parts.guard
        batch = [self.facts[fact] for edit in edits for fact in edit.facts]
        probes = guard.probes_for(batch, live, seed=self.seed)
        started = self.parts.clock()
        candidate, before, base = (bench.measure(these, probes) for these in ([*others, *edits], serving, ()))
        verdict = guard.judge(candidate=candidate, serving=before, base=base, probes=probes)
        if removal:
            inherited = guard.judge(candidate=before, serving=before, base=base, probes=probes)
            verdict = _excused(
                verdict, BUDGETS | {gate.name for gate in failing(inherited) if not gate.culprits}
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
        """Tier 0: drop edits whose numbers alone convict them; no forward pass.

        Each is looked at alone on the base model: what edits do to each other is for tier 1 to measure.
        """
        if not edits:
            return {}
        bench = self.parts.workbench
        verdict, failing = self.parts.guard.inspect(
            [found for edit in edits for found in bench.inspect([edit], ())],
            capacity_ratio=bench.capacity_ratio([*self.others, *edits]),
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


def failing(verdict: Verdict) -> list[Gate]:
    """The gates that decide and did not pass."""
    return [gate for gate in verdict.gates if gate.outcome is not Outcome.ACCEPT and not gate.shadow]


def _over_budget(verdict: Verdict) -> bool:
    return not BUDGETS.isdisjoint(gate.name for gate in failing(verdict))


def _excused(verdict: Verdict, names: Collection[str]) -> Verdict:
    """The verdict with the gates of these names measured, but not decisive."""
    gates = tuple(replace(gate, shadow=gate.shadow or gate.name in names) for gate in verdict.gates)
    return replace(combine(gates, probe_sha256=verdict.probe_sha256), measured=verdict.measured)
