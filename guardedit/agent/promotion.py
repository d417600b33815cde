"""Step 4: take waiting facts from the memory into the weights, in a batch, under the guard.

Nothing is lost here: whatever is refused, found guilty or too much for the layer stays live in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.agent.parts import Parts
from guardedit.agent.proposing import edits_for, group_by_subject, stale
from guardedit.agent.reversal import change_facts
from guardedit.agent.trial import Trial
from guardedit.agent.turned_away import FULL
from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What came of one attempt."""

    epoch: Epoch | None = None
    promoted: tuple[Fact, ...] = ()
    waiting: bool = False  # a batch is filling
    turned_away: Mapping[str, str] = field(default_factory=dict)  # fact id -> reason


def waiting(live: Mapping[FactKey, Fact], turned_away: Mapping[str, str]) -> list[Fact]:
    """Facts that the policy wants in the weights and nobody turned away, oldest message first.

    Only the default scope: all tenants read the same weights.
    """
    return [
        fact
        for fact in live.values()
        if fact.placement is Placement.MEMORY
        and fact.method
        and fact.key.scope == "default"
        and fact.valid_until_s is None
        and fact.id not in turned_away
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


def promote(parts: Parts, turned_away: Mapping[str, str]) -> Promotion:
    """1 Choose. 2 Propose. 3 Try. 4 Commit. A crash before 4 leaves no trace but notes."""
    serving, live, edits = parts.journal.epoch(), parts.journal.live(), parts.journal.edits()
    placed = [fact for fact in live.values() if fact.placement is Placement.WEIGHTS]
    # 1. Choose: the next subjects, and those whose edit no longer says what it should.
    free = room(parts, edits)
    queue = waiting(live, turned_away)
    candidates = choose(queue, subjects=min(parts.limits.batch, free))
    subjects = {fact.key.subject for fact in candidates} | set(stale(edits, placed))
    if not subjects:
        return Promotion(turned_away={fact.id: FULL for fact in queue} if free == 0 else {})
    settled = [fact for fact in placed if fact.key.subject in subjects]
    groups = group_by_subject(parts, [*candidates, *settled])
    # 2. Propose: the model keeps its bytes. Nothing is made on top of the old edits, which give way.
    others = [edit for edit in edits if edit.subject not in subjects]
    proposed = edits_for(parts, groups, others)
    by_subject = {group.subject: group for group in groups}

    def remake(edit: WeightEdit) -> WeightEdit | None:
        return edits_for(parts, [by_subject[edit.subject]], (), anew=True).edits.get(edit.subject)

    # 3. Try: inspect, measure, bisect, make anew what does not stand alone.
    facts = {fact.id: fact for group in groups for fact in group.facts}
    trial = Trial(
        parts,
        serving=edits,
        others=others,
        facts=facts,
        live=live,
        seed=parts.limits.trial_seed,
        remake=remake,
    )
    kept = trial.run(proposed.edits)
    new = {fact.id for fact in candidates}
    # What was in the weights before is not on trial: at worst it waits in memory for the next batch.
    away = {f: why for f, why in {**proposed.refused, **trial.reasons}.items() if f in new}
    # 4. Commit: placements, edits and verdict in one transaction, on top of the epoch that was tried.
    if trial.verdict is None or parts.limits.shadow:
        return Promotion(turned_away=away)
    if trial.verdict.outcome is not Outcome.ACCEPT:
        # Old edits have to go, and the rest does not pass as it is: what their absence disturbs goes too.
        epoch = change_facts(parts, [], kind="demote", reason="stale edits removed", worn=sorted(subjects))
        return Promotion(epoch=epoch, turned_away=away)
    moves = _moves(facts.values(), {fact for edit in kept.values() for fact in edit.facts})
    chosen = [*trial.others, *kept.values()]
    epoch = parts.journal.commit(
        moves,
        kind="promote",
        reason=f"{len(kept)} subjects accepted, {len(subjects) - len(kept)} turned away",
        edits=chosen,
        weights_sha256=parts.workbench.weights_sha256(chosen),
        expected=serving.number,
        verdict=trial.verdict,
    )
    promoted = tuple(m.fact for m in moves if m.fact and m.fact.placement is Placement.WEIGHTS)
    return Promotion(epoch=epoch, promoted=promoted, turned_away=away)


def _moves(facts: Iterable[Fact], inside: set[str]) -> list[Change]:
    """Who changes place when exactly the facts `inside` are in the weights."""
    return [
        Change(fact.key, fact.placed(Placement.WEIGHTS if fact.id in inside else Placement.MEMORY))
        for fact in facts
        if (fact.placement is Placement.WEIGHTS) != (fact.id in inside)
    ]


def room(parts: Parts, edits: Sequence[WeightEdit]) -> int:
    """How many more subjects the edited layer may take before the policy's capacity limit."""
    if not edits:
        return parts.limits.batch
    used = parts.workbench.capacity_ratio(edits)
    each = used / len(edits)
    return max(0, int((parts.limits.capacity_ratio - used) / each)) if each > 0 else parts.limits.batch
