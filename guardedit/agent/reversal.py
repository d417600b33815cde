"""Does rollback, undo and redo. Each makes a new epoch by folding its edits; nothing is ever subtracted.

Each request becomes changes of the live facts. The facts determine the edits, byte for byte, because an
optimised edit is stored under the hash of everything it was made from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from guardedit.agent.parts import Parts
from guardedit.agent.plan import EpochPlan, changed, commit_plan, moves_of
from guardedit.agent.proposing import edits_for, group_by_subject
from guardedit.agent.reduction import reduced
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Verdict
from guardedit.naming import identity, key_name


class Operator:
    """The operator's changes of the serving epoch. Each makes a new epoch, which the live cycle publishes."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again; facts promoted since then return to memory and stay there."""
        return roll_back(self.parts, to, trigger="manual", facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        """Take back one fact, whichever facts came after it."""
        return change_facts(self.parts, *undo_of(self.parts, fact_id), kind="undo")

    def undo_source(self, source: str, key: str = "") -> Epoch:
        """Take back what a source wrote, or with `key` what this key signed."""
        return change_facts(self.parts, *undo_of_source(self.parts, source, key), kind="undo")

    def redo(self, fact_id: str) -> Epoch:
        """Bring back a fact that was undone."""
        return redo(self.parts, _find(self.parts, fact_id))


def roll_back(parts: Parts, to: int, *, trigger: str, facts_too: bool = False, detail: str = "") -> Epoch:
    """Serve the weights of epoch `to` again; with `facts_too` also its facts, except those expired since.

    Without `facts_too`, facts accepted since then stay live. Those whose edit is removed answer from memory,
    and after an operator's rollback they are quarantined (`kept`). The epoch passed its gates when it was
    made, so there is no trial. `last-good` never stays at an epoch that was rolled back.

    Raises:
        UsageError: there is no epoch `to`.
    """
    serving = parts.ledger.epoch()
    if not 0 <= to <= serving.number:
        raise UsageError(f"epoch {to} does not exist: epochs list shows 0 to {serving.number}")
    plan = _whole_epoch(parts, serving.number, to) if facts_too else _weights_only(parts, serving.number, to)
    reason = f"{trigger}: back to epoch {to}{f', {detail}' if detail else ''}"
    last_good = _newest_with_reading(parts, at_most=min(parts.ledger.ref("last-good"), to))
    epoch = commit_plan(parts, plan, kind="rollback", reason=reason, verdict=None, last_good=last_good)
    fields = {"trigger": trigger, "from_epoch": serving.number, "to_epoch": to}
    parts.observe(Event(kind="rolled_back", fields=fields))
    return epoch


class Undo(NamedTuple):
    """The changes of facts that an undo asks for, and its reason."""

    changes: Sequence[Change]
    reason: str


def undo_of(parts: Parts, fact_id: str) -> Undo:
    """Takes back one version of a fact, in any order; the previous version becomes live again.

    Raises:
        UsageError: there is no such fact, or it is not live.
    """
    fact = _find(parts, fact_id)
    if parts.ledger.live().get(fact.key) != fact:
        raise UsageError(f"fact {fact.id} ({fact.key}) is not live: only a live version can be undone")
    previous = _previous_version(parts, fact)
    # It returns to memory; promotion may take it to the weights again.
    change = Change(fact.key, previous.placed(Placement.MEMORY) if previous else None)
    return Undo([change], f"undo of fact {fact.id}")


class Origins(Protocol):
    """The part of the ledger that tells where facts came from."""

    def corrections_from(self, source: str, key: str = "") -> frozenset[str]:
        """Ids of the accepted corrections of a source; with `key` only those that this key signed."""

    def keys_changed_by(self, corrections: Collection[str]) -> Sequence[FactKey]:
        """The keys that one of these corrections changed."""

    def history(self, key: FactKey) -> Sequence[tuple[int, Fact | None, str]]:
        """(epoch, fact, correction id) for each change of a key, oldest first."""

    def epochs(self) -> Sequence[Epoch]:
        """All epochs."""

    def live(self) -> Mapping[FactKey, Fact]:
        """The live facts."""


class _State(NamedTuple):
    """What a key said from an epoch on, and the id of the correction that said so; "" for an operator."""

    epoch: int
    fact: Fact | None
    asked: str


def changes_against(ledger: Origins, source: str, key: str = "", *, now_s: float) -> list[Change]:
    """The changes that take back what a source wrote, or with `key` what this key signed.

    They are about the keys whose latest change came from there. Each gets its latest earlier fact that did
    not come from there and has not expired, or none. So a fact that the source retracted comes back too. What
    an operator took back does not, nor a fact to whose question another fact answers by now.
    """
    written = ledger.corrections_from(source, key)
    expiries = {epoch.number for epoch in ledger.epochs() if epoch.kind == "expire"}
    back: dict[FactKey, _State] = {}
    for name in ledger.keys_changed_by(written):
        states = _states(ledger.history(name), expiries)
        if states[-1].asked in written:
            nothing = _State(0, None, "")
            back[name] = next((one for one in reversed(states) if one.asked not in written), nothing)
    live = ledger.live()
    after = {name: fact for name, fact in live.items() if name not in back}
    for name, state in sorted(back.items(), key=lambda one: -one[1].epoch):  # the newest answer comes first
        fact = state.fact
        if fact and not fact.expired(now_s) and not any(_same_question(fact, one) for one in after.values()):
            after[name] = fact.placed(Placement.MEMORY)
    return [Change(name, after.get(name)) for name in back if name in after or name in live]


def _states(history: Sequence[tuple[int, Fact | None, str]], expiries: Collection[int]) -> list[_State]:
    """The states of a key without those that were taken back later, oldest first."""
    states: list[_State] = []
    for epoch, fact, asked in history:
        if fact is not None:
            first = next((n for n, one in enumerate(states) if one.fact and one.fact.id == fact.id), None)
            # It moved, or an undo or a rollback made it live again: what came after it was taken back.
            states = [*states[:first], _State(epoch, fact, fact.correction_id)]
        else:
            ended = epoch in expiries and states  # who wrote a fact also said when it ends
            states.append(_State(epoch, None, states[-1].asked if ended else asked))
    return states


def _same_question(one: Fact, other: Fact) -> bool:
    """Whether two facts would be two answers to one question, as for a new correction (`deciding`)."""
    if one.key.tenant != other.key.tenant or identity(one.key.subject) != identity(other.key.subject):
        return False
    if one.key.target or other.key.target:  # a many-valued relation: its question has many answers
        return key_name(one.key) == key_name(other.key)
    return not _questions(one).isdisjoint(_questions(other))


def _questions(fact: Fact) -> set[str]:
    """The question of a fact, and that of its relation where a prompt is in its place."""
    filled = fact.key.relation.replace("{}", fact.key.subject)
    return {identity(fact.prompt), *([identity(filled)] if filled != fact.key.relation else [])}


def undo_of_source(parts: Parts, source: str, key: str = "") -> Undo:
    """Takes back what a source wrote, in one epoch; see `changes_against`.

    Raises:
        UsageError: nothing that is live or retracted now came from there.
    """
    changes = changes_against(parts.ledger, source, key, now_s=parts.clock())
    origin = f"source {source!r}" + (f", key {key!r}" if key else "")
    if not changes:
        raise UsageError(
            f"no present fact was written or retracted by {origin}: `guardedit explain FACT` says where it "
            "came from"
        )
    return Undo(changes, f"undo of {origin}: {len(changes)} facts")


def redo(parts: Parts, fact: Fact) -> Epoch:
    """Bring back an undone version in its old placement, with the facts that its undo moved to memory.

    The other facts come along only if the resulting set of edits was served before.

    Raises:
        UsageError: the fact is live.
    """
    if parts.ledger.live().get(fact.key) == fact:
        raise UsageError(f"fact {fact.id} ({fact.key}) is live: there is nothing to redo")
    change = Change(fact.key, fact)
    together = [change, *_moved_by_undo(parts, change)]
    served = _served_before(parts, _plan(parts, together).edits)
    changes = together if served else [change]
    return change_facts(parts, changes, f"redo of fact {fact.id}", kind="redo")


def change_facts(
    parts: Parts, changes: Sequence[Change], reason: str, *, kind: str, stale: Collection[str] = ()
) -> Epoch:
    """A new epoch with these facts changed, and the edits of the facts that are then in the weights.

    The plan is tried, unless the same set of edits was served before and so has already passed. Facts whose
    edits no longer pass move to memory. `stale` names further subjects whose edit must be remade.
    """
    plan = _plan(parts, changes, stale)
    verdict: Verdict | None = None
    if plan.edits and not _served_before(parts, plan.edits):
        plan, verdict = reduced(parts, plan)
    return commit_plan(parts, plan, kind=kind, reason=reason, verdict=verdict)


def _plan(parts: Parts, changes: Sequence[Change], stale: Collection[str] = ()) -> EpochPlan:
    """The edits of all changed and stale subjects are remade, the others stay."""
    seen = parts.ledger.epoch().number
    live = changed(parts.ledger.live(seen), changes)
    subjects = {*stale, *(change.key.subject for change in changes)}
    in_weights = [f for f in live.values() if f.placement is Placement.WEIGHTS and f.key.subject in subjects]
    staying = [edit for edit in parts.ledger.edits() if edit.subject not in subjects]
    proposed = edits_for(parts, group_by_subject(in_weights, parts.known_questions), staying)
    # A fact that can no longer be edited stays live in memory.
    demoted = [
        Change(fact.key, fact.placed(Placement.MEMORY))
        for fact in live.values()
        if fact.id in proposed.refused
    ]
    return EpochPlan(
        seen=seen,
        changes=(*changes, *demoted),
        edits=(*staying, *proposed.edits.values()),
        live=changed(live, demoted),
    )


def _weights_only(parts: Parts, seen: int, to: int) -> EpochPlan:
    """The edits of epoch `to`, with the facts of now."""
    live = parts.ledger.live(seen)
    alive = {fact.id for fact in live.values()}
    # An edit with a superseded or retracted fact is left out: it would still answer with that fact.
    edits = tuple(edit for edit in parts.ledger.edits(to) if set(edit.facts) <= alive)
    moves = moves_of(live.values(), {fact for edit in edits for fact in edit.facts})
    return EpochPlan(seen=seen, changes=moves, edits=edits, live=changed(live, moves))


def _whole_epoch(parts: Parts, seen: int, to: int) -> EpochPlan:
    """The edits and facts of epoch `to`, without facts that have expired since."""
    now_s = parts.clock()
    live = parts.ledger.live(seen)
    wanted = {key: fact for key, fact in parts.ledger.live(to).items() if not fact.expired(now_s)}
    removed = [Change(key, None) for key in live if key not in wanted]
    restored = [Change(key, fact) for key, fact in wanted.items() if live.get(key) != fact]
    return EpochPlan(seen=seen, changes=(*removed, *restored), edits=parts.ledger.edits(to), live=wanted)


def _moved_by_undo(parts: Parts, back: Change) -> list[Change]:
    """Facts that were in the weights before the latest run of undos and redos and are in memory now."""
    epochs = parts.ledger.epochs()
    before = next((e for e in reversed(epochs) if e.kind not in {"undo", "redo"}), epochs[0])
    live = changed(parts.ledger.live(), [back])
    return [
        Change(key, fact)
        for key, fact in parts.ledger.live(before.number).items()
        if fact.placement is Placement.WEIGHTS and live.get(key) == fact.placed(Placement.MEMORY)
    ]


def _find(parts: Parts, fact_id: str) -> Fact:
    found = parts.ledger.find_fact(fact_id)
    if len(found) != 1:
        count = "no fact" if not found else f"{len(found)} facts"
        raise UsageError(
            f"{count} found for {fact_id!r}: give the id of one, `guardedit facts list` shows them"
        )
    return found[0]


def _previous_version(parts: Parts, fact: Fact) -> Fact | None:
    versions = [old for _, old, _ in parts.ledger.history(fact.key) if old and old.version < fact.version]
    return max(versions, key=lambda old: old.version, default=None)


def _served_before(parts: Parts, edits: Sequence[WeightEdit]) -> bool:
    wanted = tuple(sorted(edit.digest for edit in edits))
    return any(epoch.edits == wanted for epoch in parts.ledger.epochs())


def _newest_with_reading(parts: Parts, *, at_most: int) -> int:
    """The newest epoch up to `at_most` whose weights have a reading, else 0: the base model needs none."""
    read = {body.get("weights_sha256") for _, _, body in parts.ledger.events(kinds=("reading",))}
    older = [epoch for epoch in parts.ledger.epochs() if epoch.number <= at_most]
    return next((epoch.number for epoch in reversed(older) if epoch.weights_sha256 in read), 0)
