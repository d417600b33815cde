"""Tries a batch: finds which of its edits can be served together, and why the others cannot.

    1. Tier 0 (`guard.inspect`) drops edits whose numbers alone exceed a limit.
    2. Tier 1 (`judging`) measures the rest together. If they fail, bisection accepts a set that passes and
       names the harmful edits.
    3. Each harmful edit is tried alone on the base model, which depends on no other edit. An edit that was
       made together with others may need them. So if it fails, it is remade for the base model and tried
       again. If that is rejected as well, its facts are kept in memory as `harm`.
    4. Remade edits that pass are tried together with the accepted ones.
    5. An edit that passes alone but not together with the others waits for the next batch. If a budget
       against the base model is used up, its facts are kept in memory as `full`.

Only a rejecting verdict makes an edit harmful. Facts about which no verdict could decide are `undecided` and
are tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.agent.judging import (
    BUDGETS,
    Judgement,
    TrialSetup,
    failing,
    judge_alone,
    judge_candidate,
    judge_removal,
    shows_budgets,
)
from guardedit.agent.kept import FULL, HARM, UNDECIDED, Kept
from guardedit.agent.parts import Bisected, Parts
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Outcome, Verdict

#: Remakes an edit for the base model alone; returns None if that fails.
Remake = Callable[[WeightEdit], WeightEdit | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The result of one trial.

    Attributes:
        edits: the accepted edits by subject, measured together as they are.
        kept: fact id -> why the fact stays in memory: `full`, `harm` or `undecided`. A fact that is neither
            here nor in `edits` waits for the next batch.
        verdict: verdict on `edits` together with the staying edits. None if there is nothing to commit.
    """

    edits: Mapping[str, WeightEdit] = field(default_factory=dict)
    kept: Mapping[str, Kept] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def accepted(self) -> bool:
        """Whether the edits, and the staying ones with them, may be served."""
        return self.verdict is not None and self.verdict.outcome is Outcome.ACCEPT

    @property
    def repeat(self) -> bool:
        """Whether there is nothing to commit now, but there may be after another trial."""
        return self.verdict is None and any(why.code == UNDECIDED for why in self.kept.values())


def try_batch(
    parts: Parts,
    setup: TrialSetup,
    edits: Mapping[str, WeightEdit],
    *,
    remake: Remake = lambda _: None,
) -> TrialResult:
    """Try the proposed edits (by subject) on top of the staying edits. Commits nothing."""
    search = _Search(parts, setup, remake)
    candidates = search.inspect([edits[subject] for subject in sorted(edits)])
    try:
        accepted, verdict = search.run(candidates)
    except _CannotMeasure as error:
        search.leave_undecided(candidates.values(), str(error))
        accepted, verdict = {}, None
    # For a fact in both maps, one of its edit and the remade edit failed and the other was undecided. The
    # fact is tried again.
    return TrialResult(edits=accepted, kept={**search.failed, **search.undecided}, verdict=verdict)


class _CannotMeasure(Exception):
    """Raised to end a search in which nothing can be measured. Always caught in this file."""


@dataclass
class _Search:
    """One trial while it runs, with the reasons found so far."""

    parts: Parts
    setup: TrialSetup
    remake: Remake
    failed: dict[str, Kept] = field(default_factory=dict)
    undecided: dict[str, Kept] = field(default_factory=dict)

    def inspect(self, edits: Sequence[WeightEdit]) -> dict[str, WeightEdit]:
        """Tier 0: the edits within their limits, by subject. No forward pass.

        Each edit is inspected alone on the base model: tier 1 measures what edits do to each other.
        """
        if not edits:
            return {}
        worker = self.parts.worker
        verdict, failures = self.parts.guard.inspect(
            [found for edit in edits for found in worker.inspect([edit], ())],
            capacity_ratio=worker.capacity_ratio([*self.setup.staying, *edits]),
        )
        passed: dict[str, WeightEdit] = {}
        for edit in edits:
            gates = [gate for fact in edit.facts for gate in failures.get(fact, ())]
            why = "; ".join(dict.fromkeys(gate.detail or str(gate) for gate in gates))
            if not gates:
                passed[edit.subject] = edit
            elif any(gate.outcome is Outcome.REJECT for gate in gates):
                full = {gate.name for gate in gates} == {"capacity_ratio"}
                self._fail(edit, FULL if full else HARM, why)
            else:
                self._doubt(edit, why)
        if failures:
            self.parts.ledger.note("trial", {"edits": [], "verdict": verdict.to_json()})
        fields = {"edits": len(edits), "failed": len(edits) - len(passed)}
        self.parts.observe(Event(kind="inspected", fields=fields))
        return passed

    def run(self, edits: dict[str, WeightEdit]) -> tuple[dict[str, WeightEdit], Verdict | None]:
        """Tier 1: the accepted edits by subject, and the verdict on exactly these."""
        found, remade = self._bisected(edits), dict[str, WeightEdit]()
        for subject, verdict in found.harmful.items():
            edit = self._passing_alone(edits[subject])
            if edit is not None and edit.digest != edits[subject].digest:
                remade[subject] = edit
            elif edit is not None:
                self._no_room(edit, verdict, beside=[edits[other] for other in found.accepted])
        if remade:
            edits = {subject: edits[subject] for subject in found.accepted} | remade
            found = self._bisected(edits)
            for subject, verdict in found.harmful.items():
                self._no_room(edits[subject], verdict, beside=[edits[other] for other in found.accepted])
        accepted = {subject: edits[subject] for subject in found.accepted}
        if not accepted and self._removes():
            # No new edit can be committed, but old ones are to be removed, which is a change too.
            return {}, self._measurable(judge_removal(self.parts, self.setup))
        return accepted, found.verdict

    def leave_undecided(self, edits: Iterable[WeightEdit], why: str) -> None:
        """Nothing can be measured: all edits that have not failed already are undecided."""
        for edit in edits:
            if self.failed.keys().isdisjoint(edit.facts):
                self._doubt(edit, why)

    def _bisected(self, edits: Mapping[str, WeightEdit]) -> Bisected:
        def trial(subjects: Sequence[str]) -> Verdict:
            chosen = [edits[subject] for subject in subjects]
            return self._measurable(judge_candidate(self.parts, self.setup, chosen))

        return self.parts.bisect(list(edits), trial, names=lambda subject: edits[subject].facts)

    def _passing_alone(self, edit: WeightEdit) -> WeightEdit | None:
        """The edit, or one remade in its place, that passes alone on the base model; None: it has failed."""
        verdict = self._alone(edit)
        if verdict.outcome is Outcome.ACCEPT:
            return edit
        again = self.remake(edit)
        if again is not None and again.digest != edit.digest and self.inspect([again]):
            verdict = self._alone(again)
            if verdict.outcome is Outcome.ACCEPT:
                return again
        if verdict.outcome is Outcome.REJECT:
            self._fail(edit, HARM, verdict.reason)
        else:
            self._doubt(edit, verdict.reason)
        return None

    def _alone(self, edit: WeightEdit) -> Verdict:
        return self._measurable(judge_alone(self.parts, self.setup, edit))

    def _no_room(self, edit: WeightEdit, verdict: Verdict, *, beside: Sequence[WeightEdit]) -> None:
        """Record why an edit that passes alone fails together with other edits."""
        others = len(beside) + len(self.setup.staying)
        if others and not shows_budgets(verdict):
            both = [*beside, edit]
            verdict = self._measurable(judge_candidate(self.parts, self.setup, both, in_full=True))
        if others and not BUDGETS.isdisjoint(gate.name for gate in failing(verdict)):
            self._fail(edit, FULL, f"passes alone, but not with the other {others} edits: {verdict.reason}")
        elif beside:
            return  # the other edits of the batch may be the reason: it waits for the next batch
        elif others:
            # It was made for its batch. The next edit is made on top of the edits that serve now.
            reason = f"passes alone, but not with the {others} serving edits: {verdict.reason}"
            self._doubt(edit, reason)
        elif verdict.outcome is Outcome.REJECT:
            self._fail(edit, HARM, verdict.reason)  # it harms facts in memory
        else:
            self._doubt(edit, verdict.reason)

    def _measurable(self, judgement: Judgement) -> Verdict:
        """The verdict. Leaves the search if the serving epoch cannot be measured either."""
        if judgement.unmeasurable is not None:
            raise _CannotMeasure(judgement.unmeasurable.reason)
        return judgement.verdict

    def _removes(self) -> bool:
        staying = {edit.digest for edit in self.setup.staying}
        return staying != {edit.digest for edit in self.setup.serving}

    def _fail(self, edit: WeightEdit, code: str, reason: str) -> None:
        self.failed |= {fact: Kept(code=code, reason=reason) for fact in edit.facts}

    def _doubt(self, edit: WeightEdit, reason: str) -> None:
        self.undecided |= {fact: Kept(code=UNDECIDED, reason=reason) for fact in edit.facts}
