"""What the next epoch shall be, and its commit on top of a ledger that the live cycle moves on meanwhile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from guardedit.agent.parts import Parts
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit
from guardedit.core.verdict import Verdict

#: How often a commit is tried on top of a ledger that moves.
COMMITS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """What the next epoch shall be: changes to facts, and the edits of the facts then in the weights.

    `seen` is the epoch that it was worked out on; the ledger may have moved on by the time it is committed.
    """

    seen: int
    changes: tuple[Change, ...]
    edits: tuple[WeightEdit, ...]


def commit(
    parts: Parts, target: Target, *, kind: str, reason: str, verdict: Verdict | None, good: int | None = None
) -> Epoch:
    """On top of what serves by now: the live cycle may have brought facts since the target was worked out."""
    weights_sha256 = parts.worker.weights_sha256(target.edits)
    for _ in range(COMMITS):
        now = parts.ledger.epoch()
        changes = rebased(parts, target, now.number)
        with contextlib.suppress(ConflictError):
            return parts.ledger.commit(
                changes,
                kind=kind,
                reason=reason,
                edits=target.edits,
                weights_sha256=weights_sha256,
                expected=now.number,
                verdict=verdict,
                good=good,
            )
    raise ConflictError(f"the ledger moved {COMMITS} times while {reason!r} was committed: try again")


def rebased(parts: Parts, target: Target, now: int) -> list[Change]:
    """The target's changes as they fit epoch `now`.

    A fact that was only to change its place and has another version by now keeps that version.

    Raises:
        ConflictError: a fact that was to go or to come back was corrected meanwhile.
    """
    if now == target.seen:
        return list(target.changes)
    then, live = parts.ledger.live(target.seen), parts.ledger.live(now)
    fits = []
    for change in target.changes:
        before, current = then.get(change.key), live.get(change.key)
        if before == current:
            fits.append(change)
        elif not _only_moves(before, change):
            raise ConflictError(f"{change.key} was corrected meanwhile: look again and try again")
    return fits


def _only_moves(before: Fact | None, change: Change) -> bool:
    return before is not None and change.fact is not None and before.id == change.fact.id
