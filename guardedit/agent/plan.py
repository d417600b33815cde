"""Plans an epoch and commits the plan. The live cycle may commit facts between the two."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from guardedit.agent.parts import Parts
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Verdict

#: How often a commit is tried while the live cycle makes epochs.
COMMITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """The next epoch, before it is committed.

    Attributes:
        seen: the epoch that the plan was made on.
        changes: changes of facts, to be made in this order.
        edits: the weight edits of the facts that are then in the weights.
        live: the facts of epoch `seen` with `changes` made.
    """

    seen: int
    changes: tuple[Change, ...]
    edits: tuple[WeightEdit, ...]
    live: Mapping[FactKey, Fact]

    def without(self, edits: Collection[WeightEdit]) -> EpochPlan:
        """The plan without these edits; their facts move to memory."""
        removed = {fact for edit in edits for fact in edit.facts}
        moves = tuple(
            Change(fact.key, fact.placed(Placement.MEMORY))
            for fact in self.live.values()
            if fact.id in removed
        )
        return replace(
            self,
            changes=(*self.changes, *moves),
            edits=tuple(edit for edit in self.edits if edit not in edits),
            live=changed(self.live, moves),
        )


def changed(live: Mapping[FactKey, Fact], changes: Iterable[Change]) -> dict[FactKey, Fact]:
    """The live facts once the changes are made."""
    result = dict(live)
    for key, fact in changes:
        if fact is None:
            result.pop(key, None)
        else:
            result[key] = fact
    return result


def moves_of(facts: Iterable[Fact], inside: Collection[str]) -> tuple[Change, ...]:
    """The changes of placement after which exactly the facts with the ids `inside` are in the weights."""
    return tuple(
        Change(fact.key, fact.placed(Placement.WEIGHTS if fact.id in inside else Placement.MEMORY))
        for fact in facts
        if (fact.placement is Placement.WEIGHTS) != (fact.id in inside)
    )


def commit_plan(
    parts: Parts,
    plan: EpochPlan,
    *,
    kind: str,
    reason: str,
    verdict: Verdict | None,
    last_good: int | None = None,
) -> Epoch:
    """Commit the plan on top of the epoch that serves now.

    `last_good` is the epoch that the ref `last-good` will point to; None leaves it to the ledger.

    Raises:
        ConflictError: a fact of the plan was corrected meanwhile, or all `COMMITS` attempts met a new epoch.
    """
    weights_sha256 = parts.worker.weights_sha256(plan.edits)
    for _ in range(COMMITS):
        now = parts.ledger.epoch()
        changes = rebased(parts, plan, now.number)
        with contextlib.suppress(ConflictError):
            return parts.ledger.commit(
                changes,
                kind=kind,
                reason=reason,
                edits=plan.edits,
                weights_sha256=weights_sha256,
                expected=now.number,
                verdict=verdict,
                last_good=last_good,
            )
    raise ConflictError(f"the ledger moved {COMMITS} times during the commit of {reason!r}: try again")


def rebased(parts: Parts, plan: EpochPlan, now: int) -> list[Change]:
    """The changes of the plan that still apply at epoch `now`.

    If the plan only moves a fact and the fact has a newer version now, the newer version stays as it is.

    Raises:
        ConflictError: a fact that the plan removes or brings back was corrected meanwhile.
    """
    if now == plan.seen:
        return list(plan.changes)
    then, live = parts.ledger.live(plan.seen), parts.ledger.live(now)
    applicable = []
    for change in plan.changes:
        planned, current = then.get(change.key), live.get(change.key)
        if planned == current:
            applicable.append(change)
        elif not _only_moves(planned, change):
            raise ConflictError(f"{change.key} was corrected meanwhile: look at it and try again")
    return applicable


def _only_moves(planned: Fact | None, change: Change) -> bool:
    return planned is not None and change.fact is not None and planned.id == change.fact.id
