"""Step 6: take waiting facts from the memory into the weights, in a batch, under the guard.

Nothing is lost here: whatever is refused, found guilty or too much for the layer stays live in memory. The
ledger may move while a trial runs; what was superseded or retracted meanwhile is left out, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from guardedit.agent.kept import FULL, REFUSED, Kept
from guardedit.agent.parts import Parts
from guardedit.agent.proposing import Proposed, edits_for, group_by_subject, stale
from guardedit.agent.reversal import change_facts, moves_of
from guardedit.agent.target import COMMITS
from guardedit.agent.trial import Trial
from guardedit.core.epoch import Epoch
from guardedit.core.errors import ConflictError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.failpoints import failpoint
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.core.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What came of one attempt."""

    epoch: Epoch | None = None
    promoted: tuple[Fact, ...] = ()
    waiting: bool = False  # a batch is filling, or is to be tried again
    kept: Mapping[str, Kept] = field(default_factory=dict)  # fact id -> why it stays in memory


def waiting(live: Mapping[FactKey, Fact], kept: Mapping[str, Kept]) -> list[Fact]:
    """Facts that the policy wants in the weights and nothing keeps in memory, oldest message first.

    Only the default tenant: all tenants read the same weights.
    """
    return [
        fact
        for fact in live.values()
        if fact.placement is Placement.MEMORY
        and fact.method
        and fact.key.tenant == "default"
        and fact.valid_until_s is None
        and (fact.id not in kept or kept[fact.id].waits)
    ]


def choose(candidates: Sequence[Fact], *, subjects: int) -> list[Fact]:
    """The candidates of the first `subjects` subjects, all of the first candidate's method."""
    chosen: dict[str, list[Fact]] = {}
    for fact in candidates:
        if fact.method != candidates[0].method:
            continue
        if fact.key.subject in chosen or len(chosen) < subjects:
            chosen.setdefault(fact.key.subject, []).append(fact)
    return [fact for facts in chosen.values() for fact in facts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one trial is about: what served when it began, and what is to be made of it."""

    live: Mapping[FactKey, Fact]
    edits: tuple[WeightEdit, ...]  # that served
    new: frozenset[str]  # ids of the facts that come from memory
    groups: tuple[SubjectGroup, ...]  # new facts and those of the same subjects already inside
    effort: int  # of the probes

    @property
    def facts(self) -> dict[str, Fact]:
        """Every fact on trial by id."""
        return {fact.id: fact for group in self.groups for fact in group.facts}


def promote(parts: Parts, kept: Mapping[str, Kept]) -> Promotion:
    """1 Choose. 2 Propose. 3 Try. 4 Commit. A crash before 4 leaves no trace but notes."""
    # 1. Choose: the next subjects, and those whose edit no longer says what it should.
    found = parts.ledger.snapshot()
    live = {fact.key: fact for fact in found.facts}
    queue = waiting(live, kept)
    free = room(parts, found.edits)
    candidates = choose(_of_one_effort(queue, kept), subjects=min(parts.limits.batch, free))
    placed = [fact for fact in live.values() if fact.placement is Placement.WEIGHTS]
    worn = set(stale(found.edits, placed))
    subjects = {fact.key.subject for fact in candidates} | worn
    if not subjects:
        return Promotion(kept=_no_room(parts, queue) if free == 0 else {})
    settled = [fact for fact in placed if fact.key.subject in subjects]
    batch = Batch(
        live=live,
        edits=found.edits,
        new=frozenset(fact.id for fact in candidates),
        groups=tuple(group_by_subject(parts, [*candidates, *settled])),
        effort=max((_effort(fact, kept) for fact in candidates), default=1),
    )
    # 2. Propose: the model keeps its bytes. Nothing is made on top of the old edits, which give way.
    others = [edit for edit in found.edits if edit.subject not in subjects]
    proposed = edits_for(parts, batch.groups, others)
    failpoint("promote.proposed")
    # 3. Try: inspect, measure, bisect, make anew what does not stand alone.
    trial = _trial(parts, batch, others)
    passed = trial.run(proposed.edits)
    away = _away(batch, proposed, trial, kept)
    failpoint("promote.tried")
    # 4. Commit: placements, edits and verdict in one transaction, on top of what serves by now.
    if parts.limits.shadow:
        return Promotion(kept=away)
    if trial.verdict is None:
        return Promotion(kept=away, waiting=trial.again)
    if trial.verdict.outcome is not Outcome.ACCEPT:
        # Old edits have to go, and the rest does not pass as it is: what their absence disturbs goes too.
        epoch = change_facts(parts, [], kind="demote", reason="stale edits removed", worn=sorted(subjects))
        return Promotion(epoch=epoch, kept=away)
    return replace(commit(parts, batch, trial, passed, subjects=subjects), kept=away)


def commit(
    parts: Parts, batch: Batch, trial: Trial, passed: Mapping[str, WeightEdit], *, subjects: Collection[str]
) -> Promotion:
    """A new epoch of what passed and is still live, on top of the epoch that serves by now.

    A set that loses an edit is measured once more: only what was itself measured is ever served.
    """
    verdict, edits = trial.verdict, dict(passed)
    for _ in range(COMMITS):
        now = parts.ledger.snapshot()
        if {edit.digest for edit in now.edits} != {edit.digest for edit in batch.edits}:
            return Promotion(waiting=True)  # an operator changed the weights: everything is tried again
        live = {fact.key: fact for fact in now.facts}
        gone = [fact.id for fact in batch.facts.values() if not _stands(fact, live)]
        remaining = {subject: e for subject, e in edits.items() if not set(e.facts) & set(gone)}
        if len(remaining) < len(edits):
            edits, verdict = remaining, _measured_again(trial, remaining, live)
            continue
        if verdict is None or verdict.outcome is not Outcome.ACCEPT:
            return Promotion(waiting=True)
        inside = {fact for edit in edits.values() for fact in edit.facts}
        moves = moves_of((live[f.key] for f in batch.facts.values() if f.id not in gone), inside)
        chosen = [*trial.others, *edits.values()]
        turned = len(subjects) - len(edits)
        try:
            epoch = parts.ledger.commit(
                moves,
                kind="promote",
                reason=f"{len(edits)} subjects accepted, {turned} turned away",
                edits=chosen,
                weights_sha256=parts.worker.weights_sha256(chosen),
                expected=now.epoch.number,
                verdict=verdict,
            )
        except ConflictError:
            continue  # the live cycle was faster: look again
        promoted = tuple(m.fact for m in moves if m.fact and m.fact.placement is Placement.WEIGHTS)
        return Promotion(epoch=epoch, promoted=promoted)
    return Promotion(waiting=True)


def room(parts: Parts, edits: Sequence[WeightEdit]) -> int:
    """How many more subjects the edited layer may take before the policy's capacity limit."""
    if not edits or math.isinf(parts.limits.capacity_ratio):  # without a guard there is no limit
        return parts.limits.batch
    used = parts.worker.capacity_ratio(edits)
    each = used / len(edits)
    return max(0, int((parts.limits.capacity_ratio - used) / each)) if each > 0 else parts.limits.batch


def _trial(parts: Parts, batch: Batch, others: Sequence[WeightEdit]) -> Trial:
    by_subject = {group.subject: group for group in batch.groups}

    def remake(edit: WeightEdit) -> WeightEdit | None:
        return edits_for(parts, [by_subject[edit.subject]], (), anew=True).edits.get(edit.subject)

    return Trial(
        parts,
        serving=batch.edits,
        others=others,
        facts=batch.facts,
        live=batch.live,
        seed=parts.limits.trial_seed,
        effort=batch.effort,
        remake=remake,
    )


def _measured_again(
    trial: Trial, edits: Mapping[str, WeightEdit], live: Mapping[FactKey, Fact]
) -> Verdict | None:
    """The verdict on fewer edits; None where none is left, since then there is nothing to commit."""
    trial.live = live
    return trial.judged([edits[subject] for subject in sorted(edits)]) if edits else None


def _stands(fact: Fact, live: Mapping[FactKey, Fact]) -> bool:
    """Whether the fact is still live, wherever it is placed."""
    now = live.get(fact.key)
    return now is not None and now.id == fact.id


def _away(batch: Batch, proposed: Proposed, trial: Trial, kept: Mapping[str, Kept]) -> dict[str, Kept]:
    """Why the new facts of the batch that did not pass stay in memory.

    What was in the weights before is not on trial: at worst it waits in memory for the next batch.
    """
    refused = {fact: Kept(code=REFUSED, reason=why) for fact, why in proposed.refused.items()}
    undecided = {
        fact: replace(why, tries=kept[fact].tries + 1 if fact in kept else 1)
        for fact, why in trial.undecided.items()
    }
    everything = {**refused, **trial.guilty, **undecided}
    return {fact: why for fact, why in everything.items() if fact in batch.new}


def _no_room(parts: Parts, queue: Iterable[Fact]) -> dict[str, Kept]:
    reason = f"the layer is full: capacity_ratio has reached {parts.limits.capacity_ratio:.4g}"
    return {fact.id: Kept(code=FULL, reason=reason) for fact in queue}


def _of_one_effort(queue: Sequence[Fact], kept: Mapping[str, Kept]) -> list[Fact]:
    """The new ones first; where there are none, those that are tried again, with more probes."""
    fresh = [fact for fact in queue if fact.id not in kept]
    return fresh or list(queue)


def _effort(fact: Fact, kept: Mapping[str, Kept]) -> int:
    """Twice the probes for each trial that could not decide."""
    return 2 ** kept[fact.id].tries if fact.id in kept else 1
