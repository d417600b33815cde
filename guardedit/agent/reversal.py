"""Rollback, undo, redo: each is a new epoch whose weights are folded anew, never subtracted.

What the system should know is written down as changes to the live facts; the edits follow from the facts,
byte for byte, because an optimised edit is kept under the hash of what it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from guardedit.agent.parts import Parts
from guardedit.agent.proposing import edits_for, group_by_subject
from guardedit.agent.target import Target, commit
from guardedit.agent.trial import Trial, failing
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import GuardError, UsageError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Outcome, Verdict

#: Trials that one removal may cost before everything answers from memory.
LIGHTER = 6


def roll_back(parts: Parts, to: int, *, trigger: str, facts_too: bool = False, detail: str = "") -> Epoch:
    """Serve the weights of epoch `to` again; with `facts_too` everything it knew, and nothing else.

    Facts accepted since stay live: those that lose their place in the weights answer from memory, and are not
    promoted again when an operator decided so (`kept`). An epoch that was served passed its gates, so it is
    not tried again. `last-good` never stays at an epoch that was left.
    """
    serving = parts.ledger.epoch()
    if not 0 <= to <= serving.number:
        raise UsageError(f"epoch {to} does not exist: epochs list shows 0 to {serving.number}")
    target = _everything(parts, serving.number, to) if facts_too else _weights(parts, serving.number, to)
    reason = f"{trigger}: back to epoch {to}{f', {detail}' if detail else ''}"
    good = _newest_read(parts, at_most=min(parts.ledger.ref("last-good"), to))
    epoch = commit(parts, target, kind="rollback", reason=reason, verdict=None, good=good)
    fields = {"trigger": trigger, "from_epoch": serving.number, "to_epoch": to}
    parts.observe(Event(kind="rolled_back", fields=fields))
    return epoch


def undo(parts: Parts, fact: Fact, *, regate: bool = True) -> Epoch:
    """Take back one version of a fact, out of any order; an older version becomes live again."""
    if parts.ledger.live().get(fact.key) != fact:
        raise UsageError(f"fact {fact.id} ({fact.key}) is not live: only a live version can be undone")
    before = _previous(parts, fact)
    # An older version returns to memory; promotion may take it to the weights again.
    change = Change(fact.key, before.placed(Placement.MEMORY) if before else None)
    return change_facts(parts, [change], kind="undo", reason=f"undo of fact {fact.id}", regate=regate)


def redo(parts: Parts, fact: Fact, *, regate: bool = True) -> Epoch:
    """Bring back an undone version, in the placement it had, and with it what its undo displaced.

    The displaced facts return once the weights that they make together were served before.
    """
    if parts.ledger.live().get(fact.key) == fact:
        raise UsageError(f"fact {fact.id} ({fact.key}) is live: there is nothing to redo")
    back = Change(fact.key, fact)
    changes = [back, *_displaced(parts, back)]
    if not _served_before(parts, _with(parts, changes, ()).edits):
        changes = [back]
    return change_facts(parts, changes, kind="redo", reason=f"redo of fact {fact.id}", regate=regate)


def _displaced(parts: Parts, back: Change) -> list[Change]:
    """Facts that were in the weights before the last run of undos and are in memory since."""
    epochs = parts.ledger.epochs()
    before = next((e for e in reversed(epochs) if e.kind not in {"undo", "redo"}), epochs[0])
    live = _after(parts.ledger.live(), [back])
    return [
        Change(key, then)
        for key, then in parts.ledger.live(before.number).items()
        if then.placement is Placement.WEIGHTS and live.get(key) == then.placed(Placement.MEMORY)
    ]


def change_facts(
    parts: Parts,
    changes: Sequence[Change],
    *,
    kind: str,
    reason: str,
    regate: bool = True,
    worn: Collection[str] = (),
) -> Epoch:
    """A new epoch with these facts changed, its edits folded from what is then in the weights.

    `worn` names subjects whose edit has to be made anew besides. The trial is skipped where the same set of
    edits was served before: a hash says it passed. What a removal disturbs moves to memory with it.
    """
    target = _with(parts, changes, worn)
    verdict: Verdict | None = None
    if regate and target.edits and not _served_before(parts, target.edits):
        target, verdict = _lightened(parts, target)
    return commit(parts, target, kind=kind, reason=reason, verdict=verdict)


def _lightened(parts: Parts, target: Target) -> tuple[Target, Verdict | None]:
    """Take edits out until the guard accepts: first those that no longer hold, else the largest.

    Without any edit there is nothing left to try.
    """
    edits = list(target.edits)
    for attempt in range(LIGHTER):
        live = _after(parts.ledger.live(), [*target.changes, *_out(parts, target, edits)])
        trial = Trial(
            parts,
            serving=parts.ledger.edits(),
            others=edits,
            facts={},
            live=live,
            seed=parts.limits.trial_seed + parts.ledger.epoch().number,
        )
        verdict = trial.removal()
        if trial.unmeasurable is not None:
            # Taking more out would not help, and what cannot be measured is not served.
            raise GuardError(f"{trial.unmeasurable.reason}: nothing was changed, mend that and try again")
        if verdict.outcome is Outcome.ACCEPT:
            changes = (*target.changes, *_out(parts, target, edits))
            return Target(target.seen, changes, tuple(edits)), verdict
        # Named by a gate that is sure of it, or by one that only suspects: here doubt is enough.
        victims = {fact for gate in failing(verdict) for fact in gate.culprits}
        fallen = [edit for edit in edits if victims & set(edit.facts)]
        fallen = fallen or sorted(edits, key=_size)[-(2**attempt) :]
        edits = [edit for edit in edits if edit not in fallen]
        if not edits:
            break
    return Target(target.seen, (*target.changes, *_out(parts, target, [])), ()), None


def _out(parts: Parts, target: Target, edits: Sequence[WeightEdit]) -> list[Change]:
    """Facts of the target's edits that answer from memory when only `edits` are in the weights."""
    inside = {fact for edit in edits for fact in edit.facts}
    gone = {fact for edit in target.edits for fact in edit.facts} - inside
    live = _after(parts.ledger.live(), target.changes)
    return [Change(f.key, f.placed(Placement.MEMORY)) for f in live.values() if f.id in gone]


def _size(edit: WeightEdit) -> float:
    return edit.diagnostics.get("change_ratio", math.inf)


def _with(parts: Parts, changes: Sequence[Change], worn: Collection[str]) -> Target:
    seen = parts.ledger.epoch().number
    live = _after(parts.ledger.live(seen), changes)
    touched = {*worn, *(change.key.subject for change in changes)}
    groups = group_by_subject(
        parts,
        [f for f in live.values() if f.placement is Placement.WEIGHTS and f.key.subject in touched],
    )
    others = [edit for edit in parts.ledger.edits() if edit.subject not in touched]
    proposed = edits_for(parts, groups, others)
    # A fact that can no longer be edited stays live in memory.
    demoted = [
        Change(fact.key, fact.placed(Placement.MEMORY))
        for fact in live.values()
        if fact.id in proposed.refused
    ]
    return Target(seen, (*changes, *demoted), (*others, *proposed.edits.values()))


def _weights(parts: Parts, seen: int, to: int) -> Target:
    live = parts.ledger.live(seen)
    alive = {fact.id for fact in live.values()}
    # An edit that also carries a fact superseded or retracted since would answer with it: it is left out.
    edits = tuple(edit for edit in parts.ledger.edits(to) if set(edit.facts) <= alive)
    inside = {fact for edit in edits for fact in edit.facts}
    return Target(seen, moves_of(live.values(), inside), edits)


def _everything(parts: Parts, seen: int, to: int) -> Target:
    now_s = parts.clock()
    now = parts.ledger.live(seen)
    then = {key: fact for key, fact in parts.ledger.live(to).items() if not fact.expired(now_s)}
    gone = [Change(key, None) for key in now if key not in then]
    back = [Change(key, fact) for key, fact in then.items() if now.get(key) != fact]
    return Target(seen, (*gone, *back), parts.ledger.edits(to))


def moves_of(facts: Iterable[Fact], inside: Collection[str]) -> tuple[Change, ...]:
    """Who changes place when exactly the facts `inside` are in the weights."""
    return tuple(
        Change(fact.key, fact.placed(Placement.WEIGHTS if fact.id in inside else Placement.MEMORY))
        for fact in facts
        if (fact.placement is Placement.WEIGHTS) != (fact.id in inside)
    )


def _after(live: Mapping[FactKey, Fact], changes: Sequence[Change]) -> dict[FactKey, Fact]:
    gone = {change.key for change in changes if change.fact is None}
    new = {change.key: change.fact for change in changes if change.fact is not None}
    return {key: fact for key, fact in {**live, **new}.items() if key not in gone}


def _previous(parts: Parts, fact: Fact) -> Fact | None:
    versions = [old for _, old, _ in parts.ledger.history(fact.key) if old and old.version < fact.version]
    return max(versions, key=lambda old: old.version, default=None)


def _served_before(parts: Parts, edits: Sequence[WeightEdit]) -> bool:
    wanted = tuple(sorted(edit.digest for edit in edits))
    return any(epoch.edits == wanted for epoch in parts.ledger.epochs())


def _newest_read(parts: Parts, *, at_most: int) -> int:
    """The newest epoch up to a number whose weights have a reading; the base model needs none."""
    read = {body.get("weights_sha256") for _, _, body in parts.ledger.events(kinds=("reading",))}
    older = [epoch for epoch in parts.ledger.epochs() if epoch.number <= at_most]
    return next((epoch.number for epoch in reversed(older) if epoch.weights_sha256 in read), 0)
