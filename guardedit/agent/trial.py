"""A trial: a candidate epoch under the guard, before anything is committed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from guardedit.agent.kept import FULL, HARM, UNDECIDED, Kept
from guardedit.agent.parts import Bisected, Parts
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, Verdict, combine

#: Gates of budgets that all edits share: once they are spent the layer is full.
BUDGETS = frozenset({"perplexity_ratio_to_base", "other_subject_to_base"})
#: What a removal is not refused for, since what stays has spent it.
SPENT = BUDGETS | {"remembered"}


class _CannotJudge(Exception):
    """Raised to leave a search in which nothing can be measured; never leaves this file."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@dataclass
class Trial:
    """Tries sets of edits on top of `others`, the edits that stay.

    A set that was not itself measured is never called accepted: `verdict` belongs to what `run` returned.

    Two questions are kept apart when a set fails. Is an edit harmful? The culprits are tried alone on the
    base model, which depends on nothing else. An edit that was made beside others may lean on them: where
    it fails it is made once more for the base model (`remake`), and is guilty if that one is rejected too.
    Is there room? An edit that passes alone but not beside others waits for the next batch; where the budgets
    against the base model are spent, the layer is full.

    Only a reject makes guilty. Facts about which no trial could decide are `undecided` and are tried again.
    """

    parts: Parts
    serving: Sequence[WeightEdit]  # of the serving epoch
    others: Sequence[WeightEdit]
    facts: Mapping[str, Fact]  # by id: the facts of the edits on trial
    live: Mapping[FactKey, Fact]
    seed: int
    effort: int = 1  # how many times the usual number of sampled questions
    remake: Callable[[WeightEdit], WeightEdit | None] = lambda _: None
    guilty: dict[str, Kept] = field(default_factory=dict)  # fact id -> why it was turned away
    undecided: dict[str, Kept] = field(default_factory=dict)
    verdict: Verdict | None = None
    unmeasurable: Verdict | None = None  # what serves, where it could not be measured either

    @property
    def again(self) -> bool:
        """Whether nothing came of it, but may next time."""
        return self.verdict is None and bool(self.undecided)

    def run(self, edits: Mapping[str, WeightEdit]) -> dict[str, WeightEdit]:
        """Tier 0, then tier 1, by bisection where a batch fails; the accepted edits by subject."""
        innocent = self._inspected([edits[subject] for subject in sorted(edits)])
        try:
            return self._tried(innocent)
        except _CannotJudge as error:
            for edit in innocent.values():
                if not self._known_guilty(edit):
                    self._doubt(edit, error.verdict.reason)
            self.verdict = None
            return {}

    def _tried(self, innocent: dict[str, WeightEdit]) -> dict[str, WeightEdit]:
        found, anew = self._bisected(innocent), dict[str, WeightEdit]()
        for subject, failed in found.culprits.items():
            edit = self._standing_alone(innocent[subject])
            if edit is not None and edit.digest != innocent[subject].digest:
                anew[subject] = edit
            elif edit is not None:
                self._crowded_out(edit, failed, beside=found.kept)
        if anew:
            innocent = {subject: innocent[subject] for subject in found.kept} | anew
            found = self._bisected(innocent)
            for subject, failed in found.culprits.items():
                self._crowded_out(innocent[subject], failed, beside=found.kept)
        self.verdict = found.verdict
        if not found.kept and self._others_changed():
            # Nothing new is wanted, but something old is to go: that is a change too.
            self.verdict = self._searching(self.removal())
        return {subject: innocent[subject] for subject in found.kept}

    def _bisected(self, edits: Mapping[str, WeightEdit]) -> Bisected:
        return self.parts.bisect(
            list(edits),
            lambda subjects: self._searching(self.judged([edits[subject] for subject in subjects])),
            names=lambda subject: edits[subject].facts,
        )

    def _searching(self, verdict: Verdict) -> Verdict:
        """The verdict, unless not even what serves can be measured: then no edit is to blame."""
        if self.unmeasurable is not None:
            raise _CannotJudge(self.unmeasurable)
        return verdict

    def _crowded_out(self, edit: WeightEdit, failed: Verdict, *, beside: Sequence[str]) -> None:
        """An edit that passes alone: there is no room for it, or it waits for other company."""
        company = len(beside) + len(self.others)
        if company and _over_budget(failed):
            self._blame(edit, FULL, f"passes alone, not with the {company} edits beside it: {failed.reason}")
        elif beside:
            return  # the others of the batch may be to blame: it waits for the next one
        elif company:
            # Made for its batch, it does not hold beside what serves: next time it is made for just that.
            self._doubt(edit, f"passes alone, not beside the {company} edits that serve: {failed.reason}")
        elif failed.outcome is Outcome.REJECT:
            self._blame(edit, HARM, failed.reason)  # what it harms is in the memory
        else:
            self._doubt(edit, failed.reason)

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
        verdict = self._alone(edit)
        if verdict.outcome is Outcome.ACCEPT:
            return edit
        again = self.remake(edit)
        if again is not None and again.digest != edit.digest and self._inspected([again]):
            repaired = self._alone(again)
            if repaired.outcome is Outcome.ACCEPT:
                return again
            verdict = repaired
        if verdict.outcome is Outcome.REJECT:
            self._blame(edit, HARM, verdict.reason)
        else:
            self._doubt(edit, verdict.reason)
        return None

    def _alone(self, edit: WeightEdit) -> Verdict:
        return self._searching(self._judged([edit], others=(), serving=(), live={}))

    def _judged(
        self,
        edits: Sequence[WeightEdit],
        *,
        others: Sequence[WeightEdit],
        serving: Sequence[WeightEdit],
        live: Mapping[FactKey, Fact],
        removal: bool = False,
    ) -> Verdict:
        bench, guard = self.parts.worker, self.parts.guard
        batch = [self.facts[fact] for edit in edits for fact in edit.facts]
        probes = guard.probes_for(batch, live, seed=self.seed, effort=self.effort)
        started = self.parts.clock()
        candidate, before, base = (bench.measure(these, probes) for these in ([*others, *edits], serving, ()))
        verdict = guard.judge(candidate=candidate, serving=before, base=base, probes=probes)
        inherited = guard.judge(candidate=before, serving=before, base=base, probes=probes)
        if removal:
            verdict = _excused(
                verdict, SPENT | {gate.name for gate in failing(inherited) if not gate.culprits}
            )
        seconds = self.parts.clock() - started
        self.parts.observe(
            Event(kind="judged", fields={"verdict": verdict, "facts": len(batch), "seconds": seconds})
        )
        if verdict.outcome is not Outcome.ACCEPT:  # an accepting one is recorded with its epoch
            digests = sorted(edit.digest for edit in edits)
            self.parts.ledger.note("trial", {"edits": digests, "verdict": verdict.to_json()})
        self.unmeasurable = inherited if inherited.outcome is Outcome.ERROR else None
        return verdict

    def _inspected(self, edits: Sequence[WeightEdit]) -> dict[str, WeightEdit]:
        """Tier 0: drop edits whose numbers alone convict them; no forward pass.

        Each is looked at alone on the base model: what edits do to each other is for tier 1 to measure.
        """
        if not edits:
            return {}
        bench = self.parts.worker
        verdict, failing = self.parts.guard.inspect(
            [found for edit in edits for found in bench.inspect([edit], ())],
            capacity_ratio=bench.capacity_ratio([*self.others, *edits]),
        )
        innocent: dict[str, WeightEdit] = {}
        for edit in edits:
            gates = [gate for fact in edit.facts for gate in failing.get(fact, ())]
            why = "; ".join(dict.fromkeys(gate.detail or str(gate) for gate in gates))
            if not gates:
                innocent[edit.subject] = edit
            elif any(gate.outcome is Outcome.REJECT for gate in gates):
                full = {gate.name for gate in gates} == {"capacity_ratio"}
                self._blame(edit, FULL if full else HARM, why)
            else:
                self._doubt(edit, why)
        if failing:
            self.parts.ledger.note("trial", {"edits": [], "verdict": verdict.to_json()})
        self.parts.observe(
            Event(kind="inspected", fields={"edits": len(edits), "failed": len(edits) - len(innocent)})
        )
        return innocent

    def _others_changed(self) -> bool:
        return {edit.digest for edit in self.others} != {edit.digest for edit in self.serving}

    def _known_guilty(self, edit: WeightEdit) -> bool:
        return any(fact in self.guilty for fact in edit.facts)

    def _blame(self, edit: WeightEdit, code: str, reason: str) -> None:
        for fact in edit.facts:
            self.guilty[fact] = Kept(code=code, reason=reason)

    def _doubt(self, edit: WeightEdit, reason: str) -> None:
        for fact in edit.facts:
            self.undecided[fact] = Kept(code=UNDECIDED, reason=reason)


def failing(verdict: Verdict) -> list[Gate]:
    """The gates that decide and did not pass."""
    return [gate for gate in verdict.gates if gate.outcome is not Outcome.ACCEPT and not gate.shadow]


def _over_budget(verdict: Verdict) -> bool:
    return not BUDGETS.isdisjoint(gate.name for gate in failing(verdict))


def _excused(verdict: Verdict, names: Collection[str]) -> Verdict:
    """The verdict with the gates of these names measured, but not decisive."""
    gates = tuple(replace(gate, shadow=gate.shadow or gate.name in names) for gate in verdict.gates)
    return replace(combine(gates, probe_sha256=verdict.probe_sha256), measured=verdict.measured)
