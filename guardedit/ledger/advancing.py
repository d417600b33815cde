"""The next epoch: decisions settled, facts changed, edits committed. Each is one transaction.

Two writers may be at it at once, in one process or in two. Each builds on the epoch that serves when its
transaction begins, and what the other one committed in between is read as changes, never as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.fact import FactKey
from guardedit.core.messages import Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock
from guardedit.core.receipt import Fate
from guardedit.core.verdict import Verdict
from guardedit.ledger import epochs, history, intake, projection
from guardedit.ledger.epochs import LAST_GOOD, SERVING, Asked, Step
from guardedit.ledger.intake import InboxWriter
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.database import Database
from guardedit.ledger.storage.lock import CONSOLIDATE, CoordinatorLock

_DECIDED_BY_FACTS = frozenset({Fate.ACCEPTED, Fate.UNCHANGED, Fate.SUPERSEDED})


class EpochWriter(InboxWriter):
    """What only a coordinator may write: everything that makes a new epoch."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        *,
        clock: Clock,
        policy_sha256: str | None = None,
        lock: CoordinatorLock | None = None,
    ) -> None:
        super().__init__(database, blobs, clock)
        self._policy_sha256 = policy_sha256
        self._lock = lock

    def settle(
        self, settlements: Sequence[Settlement], *, kind: str = "remember", seen: int | None = None
    ) -> Epoch:
        """Record decisions, fates and fact changes; a new epoch when anything changed.

        Weights and weight edits stay as they are. Dead letters carry `code: message` as their reason.
        `seen` is the epoch that was decided on.

        Raises:
            ConflictError: a row is not waiting, an id would be decided twice, or the fact of one of these
                keys is another one than in epoch `seen`.
            Unrecordable: one of the settlements cannot be written down; names it.
            In both cases nothing was kept.
        """
        self._write_or_refuse()
        bodies = [intake.described(settlement) for settlement in settlements]
        changes = [asked for settlement in settlements for asked in intake.asked(settlement)]
        step, at_s = None, self._clock()
        with self._database.transaction("ledger.settle") as connection:
            if seen is not None:
                self._compare(_decided_keys(settlements), seen)
            if changes:
                step = self._advance(connection, changes, kind=kind, reason=f"{len(changes)} corrections")
            for settlement, body in zip(settlements, bodies, strict=True):
                number = step.epoch.number if step and intake.asked(settlement) else None
                intake.settle(connection, body, epoch=number, at_s=at_s)
        return self._now(step)

    def change_facts(self, changes: Sequence[Change], *, kind: str, reason: str) -> Epoch:
        """A new epoch in which only facts change, on top of whatever serves; weights and edits stay.

        Without any change the serving epoch stays.
        """
        self._write_or_refuse()
        if not changes:
            return self.epoch()
        with self._database.transaction("ledger.facts") as connection:
            step = self._advance(connection, map(Asked.by_fact, changes), kind=kind, reason=reason)
        return self._now(step)

    def commit(
        self,
        changes: Sequence[Change],
        *,
        kind: str,
        reason: str,
        edits: Sequence[WeightEdit],
        weights_sha256: str,
        expected: int,
        verdict: Verdict | None = None,
        good: int | None = None,
    ) -> Epoch:
        """A new serving epoch on top of epoch `expected`, with exactly these weight edits.

        `good` moves `last-good` in the same transaction, to the new epoch or to an earlier one. Without it
        `last-good` follows when it stood on the serving epoch and the edits stay the same. The reason of a
        `rollback` begins with its trigger and a colon: `drift: ...`, `recovery: ...`, `gate: ...`; without
        one it counts as `manual`.

        Raises:
            ConflictError: another epoch is serving; nothing was kept.
            UsageError: the verdict is not `accept`, or `good` is no epoch yet.
        """
        self._write_or_refuse()
        epochs.check_verdict(verdict)
        described = [epochs.described(edit) for edit in edits]
        self._put_blobs(edits, described)
        with self._database.transaction("ledger.commit") as connection:
            if (serving := self.ref(SERVING)) != expected:
                raise ConflictError(f"epoch {serving} is serving, not {expected}: look again and try again")
            step = self._advance(
                connection,
                map(Asked.by_fact, changes),
                kind=kind,
                reason=reason,
                edits=described,
                weights_sha256=weights_sha256,
                verdict=verdict,
                good=good,
            )
        return self._now(step)

    def _compare(self, keys: Iterable[FactKey], seen: int) -> None:
        if other := history.other_facts(self._database, keys, since=seen):
            raise ConflictError(
                f"the fact of {other[0]} is another one than in epoch {seen}: read it again and decide again"
            )

    def _advance(
        self,
        connection: Connection,
        changes: Iterable[Asked],
        *,
        kind: str,
        reason: str,
        edits: Sequence[Mapping[str, Any]] | None = None,
        weights_sha256: str | None = None,
        verdict: Verdict | None = None,
        good: int | None = None,
    ) -> Step:
        serving, at_s = self.epoch(), self._clock()
        step = epochs.successor(
            serving,
            self._serving_state(),
            last_good=self.ref(LAST_GOOD),
            kind=kind,
            reason=reason,
            changes=list(changes),
            edits=edits,
            weights_sha256=serving.weights_sha256 if weights_sha256 is None else weights_sha256,
            policy_sha256=serving.policy_sha256 if self._policy_sha256 is None else self._policy_sha256,
            at_s=at_s,
            verdict=verdict,
            good=good,
        )
        projection.record(connection, at_s=at_s, kind=projection.EPOCH, body=step.body)
        return step

    def _now(self, step: Step | None) -> Epoch:
        """What serves after the transaction; kept, so that the next one need not read it."""
        if step is None:
            return self.epoch()
        self._serving = step.state
        return step.epoch

    def _put_blobs(self, edits: Sequence[WeightEdit], described: Sequence[Mapping[str, Any]]) -> None:
        # A digest that a committed row names is on the disk already.
        new = [
            edit.payload
            for edit, description in zip(edits, described, strict=True)
            if not self._database.row("SELECT 1 FROM edits WHERE digest = ?", (description["digest"],))
        ]
        if new and self._lock is not None and not self._lock.may(CONSOLIDATE):
            # Two that write blobs would sweep up each other's unfinished ones.
            raise UsageError("the live cycle makes no new weight edits: open the ledger in role consolidate")
        self._blobs.put(new)

    def _write_or_refuse(self) -> None:
        if self._lock is None:
            raise UsageError(
                f"{self._database.path} was opened for reading: only the coordinator may do this, ask it"
            )


def _decided_keys(settlements: Sequence[Settlement]) -> list[FactKey]:
    """Keys whose facts the decisions depend on: what they change, and what they found to say so already."""
    changed = [asked.change.key for settlement in settlements for asked in intake.asked(settlement)]
    looked = [s.correction.key for s in settlements if s.correction and s.fate in _DECIDED_BY_FACTS]
    return [*changed, *looked]
