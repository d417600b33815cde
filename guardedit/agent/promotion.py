"""Step 6: move a batch of facts from memory into the weights, under the guard.

A fact that is refused, harmful, undecided or without room stays live in memory. The ledger may move while a
trial runs: only facts that were superseded or retracted meanwhile are left out of the commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from guardedit.agent.batch import Batch, choose_batch, no_room, room, waiting
from guardedit.agent.judging import TrialSetup, judge_candidate
from guardedit.agent.kept import REFUSED, UNDECIDED, Kept
from guardedit.agent.parts import Parts
from guardedit.agent.plan import COMMITS, moves_of
from guardedit.agent.proposing import Proposed, edits_for
from guardedit.agent.reversal import change_facts
from guardedit.agent.trial import TrialResult, try_batch
from guardedit.core.epoch import Epoch
from guardedit.core.errors import ConflictError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.failpoints import failpoint
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPromoted:
    """The epoch did not change. `waiting`: a batch is filling, or the trial is to be repeated."""

    waiting: bool = False
    kept: Mapping[str, Kept] = field(default_factory=dict)  # fact id -> why it stays in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A new epoch with the accepted edits and without stale ones. `facts` have moved to the weights."""

    epoch: Epoch
    facts: tuple[Fact, ...]
    kept: Mapping[str, Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demoted:
    """A new epoch without stale edits, and without the edits that no longer pass. No new edit passed."""

    epoch: Epoch
    kept: Mapping[str, Kept] = field(default_factory=dict)


Promotion = NotPromoted | Promoted | Demoted


def promote(parts: Parts, kept: Mapping[str, Kept]) -> Promotion:
    """1 choose, 2 propose, 3 try, 4 commit. A crash before the commit leaves only notes in the ledger.

    `kept` are the facts that currently stay out of the weights, see `KeptFacts`.
    """
    # 1. Choose the next subjects, and those whose edit is stale.
    found = parts.ledger.snapshot()
    queue = waiting({fact.key: fact for fact in found.facts}, kept)
    free = room(parts, found.edits)
    batch = choose_batch(parts, found, queue, kept, free=free)
    if not batch.subjects:
        return NotPromoted(kept=no_room(parts, queue) if free == 0 else {})
    # 2. Propose edits, on top of the edits that stay. The model is not changed.
    proposed = edits_for(parts, batch.groups, batch.staying)
    failpoint("promote.proposed")
    # 3. Try them under the guard.
    setup = _setup(parts, batch)
    result = _try(parts, batch, setup, proposed)
    still_kept = _kept(batch, proposed, result, kept)
    failpoint("promote.tried")
    # 4. Commit facts, edits and verdict in one transaction.
    if parts.limits.shadow:
        return NotPromoted(kept=still_kept)
    if result.accepted:
        return replace(commit(parts, batch, setup, result), kept=still_kept)
    if result.verdict is not None:
        # No new edit passed, and neither did the removal of the stale ones: more edits must be removed.
        return Demoted(epoch=_remove_stale(parts, batch), kept=still_kept)
    return NotPromoted(waiting=result.repeat, kept=still_kept)


def commit(parts: Parts, batch: Batch, setup: TrialSetup, result: TrialResult) -> Promoted | NotPromoted:
    """A new epoch of the accepted edits whose facts are still live, on top of the epoch that serves now.

    If the set has lost an edit, it is measured again, because only measured sets are served.
    """
    edits, verdict = dict(result.edits), result.verdict
    for _ in range(COMMITS):
        now = parts.ledger.snapshot()
        if {edit.digest for edit in now.edits} != {edit.digest for edit in batch.found.edits}:
            return NotPromoted(waiting=True)  # an operator changed the weights: the whole trial is repeated
        live = {fact.key: fact for fact in now.facts}
        gone = {fact.id for fact in batch.facts.values() if not _is_live(fact, live)}
        remaining = {subject: edit for subject, edit in edits.items() if gone.isdisjoint(edit.facts)}
        if len(remaining) < len(edits):
            edits, verdict = remaining, _measured_again(parts, replace(setup, live=live), remaining)
            continue
        if verdict is None or verdict.outcome is not Outcome.ACCEPT:
            return NotPromoted(waiting=True)
        facts = [live[fact.key] for fact in batch.facts.values() if fact.id not in gone]
        moves = moves_of(facts, {fact for edit in edits.values() for fact in edit.facts})
        chosen = [*batch.staying, *edits.values()]
        parts.observe(Event(kind="stage", fields={"name": "committing", "subjects": len(edits)}))
        try:
            epoch = parts.ledger.commit(
                moves,
                kind="promote",
                reason=f"{len(edits)} subjects accepted, {len(batch.subjects) - len(edits)} kept in memory",
                edits=chosen,
                weights_sha256=parts.worker.weights_sha256(chosen),
                expected=now.epoch.number,
                verdict=verdict,
            )
        except ConflictError:
            continue  # the live cycle made an epoch meanwhile: look again
        promoted = tuple(m.fact for m in moves if m.fact and m.fact.placement is Placement.WEIGHTS)
        return Promoted(epoch=epoch, facts=promoted)
    return NotPromoted(waiting=True)


def _setup(parts: Parts, batch: Batch) -> TrialSetup:
    return TrialSetup(
        serving=batch.found.edits,
        staying=batch.staying,
        facts=batch.facts,
        live={fact.key: fact for fact in batch.found.facts},
        seed=parts.limits.trial_seed,
        effort=batch.effort,
    )


def _try(parts: Parts, batch: Batch, setup: TrialSetup, proposed: Proposed) -> TrialResult:
    groups = {group.subject: group for group in batch.groups}

    def remake(edit: WeightEdit) -> WeightEdit | None:
        return edits_for(parts, [groups[edit.subject]], (), remake=True).edits.get(edit.subject)

    return try_batch(parts, setup, proposed.edits, remake=remake)


def _remove_stale(parts: Parts, batch: Batch) -> Epoch:
    subjects = sorted(batch.subjects)
    return change_facts(parts, [], "stale edits removed", kind="demote", stale=subjects)


def _measured_again(parts: Parts, setup: TrialSetup, edits: Mapping[str, WeightEdit]) -> Verdict | None:
    """The verdict on fewer edits; None if none is left, since then there is nothing to commit."""
    if not edits:
        return None
    return judge_candidate(parts, setup, [edits[subject] for subject in sorted(edits)]).verdict


def _is_live(fact: Fact, live: Mapping[FactKey, Fact]) -> bool:
    """Whether the fact is still live, in any placement."""
    now = live.get(fact.key)
    return now is not None and now.id == fact.id


def _kept(batch: Batch, proposed: Proposed, result: TrialResult, kept: Mapping[str, Kept]) -> dict[str, Kept]:
    """Why new facts of the batch stay in memory.

    Facts that were in the weights before are not listed: if their edit failed, they wait for the next batch.
    """
    refused = {fact: Kept(code=REFUSED, reason=why) for fact, why in proposed.refused.items()}
    tried = {fact: _counted(why, kept.get(fact)) for fact, why in result.kept.items()}
    return {fact: why for fact, why in {**refused, **tried}.items() if fact in batch.new}


def _counted(why: Kept, previous: Kept | None) -> Kept:
    """`why` with the number of trials that could not decide."""
    if why.code != UNDECIDED:
        return why
    return replace(why, tries=previous.tries + 1 if previous else 1)
