"""Writes that make a new epoch: settlements, fact changes and commits of weight edits, each one transaction.

Two writers may do this at the same time, in one process or in two. Each builds on the epoch that serves
when its transaction begins. It reads the other writer's commits as changes, not as a whole state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sqlite3 import Connection

from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.fact import FactKey
from guardedit.core.messages import Fate, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock
from guardedit.core.verdict import Verdict
from guardedit.ledger import history
from guardedit.ledger.epochs import LAST_GOOD, SERVING
from guardedit.ledger.events.projection import record
from guardedit.ledger.events.records import EditRecord
from guardedit.ledger.inbox_writer import InboxWriter, requested_changes, settle_row, settled_event
from guardedit.ledger.next_epoch import NextEpoch, RequestedChange, check_verdict, successor
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.database import Database
from guardedit.ledger.storage.lock import CONSOLIDATE, CoordinatorLock

_DECIDED_BY_FACTS = frozenset({Fate.ACCEPTED, Fate.UNCHANGED, Fate.SUPERSEDED})


class EpochWriter(InboxWriter):
    """What only a coordinator may write: everything that makes a new epoch.

    Args:
        database: the ledger's database.
        blobs: the ledger's blobs.
        clock: seconds since 1970, UTC.
        policy_sha256: recorded with new epochs; None: that of the serving epoch.
        lock: the coordinator's lock; None for a process that may only write to the inbox.
    """

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

    def use_policy(self, sha256: str) -> None:
        """Record another policy with the epochs from now on."""
        self._policy_sha256 = sha256

    def settle(
        self, settlements: Sequence[Settlement], *, kind: str = "remember", seen: int | None = None
    ) -> Epoch:
        """Record decisions, fates and fact changes; a new epoch when any fact changed.

        Weights and weight edits stay as they are. Dead letters carry `code: message` as their reason.
        `seen` is the epoch that the decisions are based on.

        Returns:
            The epoch that serves afterwards.

        Raises:
            ConflictError: a row is not waiting, an id would be decided twice, or the live fact of one of
                these keys is no longer that of epoch `seen`. Nothing was kept.
            Unrecordable: one of the settlements cannot be written; the error names it. Nothing was kept.
        """
        self._require_coordinator()
        events = [settled_event(settlement) for settlement in settlements]
        changes = [requested for one in settlements for requested in requested_changes(one)]
        following, at_s = None, self._clock()
        with self._database.transaction("ledger.settle") as connection:
            if seen is not None:
                self._refuse_outdated(_keys_decided_on(settlements), seen)
            if changes:
                reason = f"{len(changes)} corrections"
                following = self._write_next(connection, changes, kind=kind, reason=reason)
            for settlement, event in zip(settlements, events, strict=True):
                made = following.epoch.number if following and requested_changes(settlement) else None
                settle_row(connection, event, epoch=made, at_s=at_s)
        return self._serve(following)

    def change_facts(
        self, changes: Sequence[Change], *, kind: str, reason: str, expected: int | None = None
    ) -> Epoch:
        """A new epoch on top of the serving one in which only facts change; weights and edits stay.

        Without any change no epoch is made. Returns the epoch that serves afterwards.

        Raises:
            ConflictError: another epoch than `expected` is serving; nothing was kept.
        """
        self._require_coordinator()
        if not changes:
            return self.epoch()
        with self._database.transaction("ledger.facts") as connection:
            self._require_serving(expected)
            requested = map(RequestedChange.of_fact, changes)
            following = self._write_next(connection, requested, kind=kind, reason=reason)
        return self._serve(following)

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
        last_good: int | None = None,
    ) -> Epoch:
        """A new serving epoch on top of epoch `expected`, with exactly these weight edits.

        Args:
            changes: changed facts, in order.
            kind: the kind of the epoch.
            reason: for people. That of a `rollback` begins with its trigger and a colon: `drift: ...` or
                `manual: ...`; without one it counts as `manual`.
            edits: all weight edits of the new epoch.
            weights_sha256: digest of the folded matrices.
            expected: the epoch that must be serving.
            verdict: the trial's verdict, recorded with the epoch.
            last_good: where `last-good` moves in the same transaction: the new epoch or an earlier one.
                None: it follows when it points to the serving epoch and the edits stay the same.

        Raises:
            ConflictError: another epoch is serving; nothing was kept.
            UsageError: the verdict is not `accept`, or `last_good` does not exist.
        """
        self._require_coordinator()
        check_verdict(verdict)
        records = [EditRecord.of(edit) for edit in edits]
        self._put_blobs(edits, records)
        with self._database.transaction("ledger.commit") as connection:
            self._require_serving(expected)
            following = self._write_next(
                connection,
                map(RequestedChange.of_fact, changes),
                kind=kind,
                reason=reason,
                edits=records,
                weights_sha256=weights_sha256,
                verdict=verdict,
                last_good=last_good,
            )
        return self._serve(following)

    def _require_serving(self, expected: int | None) -> None:
        if expected is not None and (serving := self.ref(SERVING)) != expected:
            raise ConflictError(f"epoch {serving} is serving, not {expected}: read again and retry")

    def _refuse_outdated(self, keys: Iterable[FactKey], seen: int) -> None:
        """Raise ConflictError when the live fact of one of these keys is no longer that of epoch `seen`."""
        if changed := history.other_facts(self._database, keys, since=seen):
            raise ConflictError(
                f"the fact of {changed[0]} has changed since epoch {seen}: read it again and decide again"
            )

    def _write_next(
        self,
        connection: Connection,
        changes: Iterable[RequestedChange],
        *,
        kind: str,
        reason: str,
        edits: Sequence[EditRecord] | None = None,
        weights_sha256: str | None = None,
        verdict: Verdict | None = None,
        last_good: int | None = None,
    ) -> NextEpoch:
        """Write the next epoch. Where edits or weights are None, it keeps those of the serving epoch."""
        serving, at_s = self.epoch(), self._clock()
        following = successor(
            serving,
            self._serving_state(),
            previous_good=self.ref(LAST_GOOD),
            kind=kind,
            reason=reason,
            changes=list(changes),
            edits=edits,
            weights_sha256=serving.weights_sha256 if weights_sha256 is None else weights_sha256,
            policy_sha256=serving.policy_sha256 if self._policy_sha256 is None else self._policy_sha256,
            at_s=at_s,
            verdict=verdict,
            last_good=last_good,
        )
        record(connection, following.event, at_s=at_s)
        return following

    def _serve(self, following: NextEpoch | None) -> Epoch:
        """Cache the state of the epoch that serves after the transaction, and return that epoch."""
        if following is None:
            return self.epoch()
        self._serving = following.state
        return following.epoch

    def _put_blobs(self, edits: Sequence[WeightEdit], records: Sequence[EditRecord]) -> None:
        # A digest that a committed row names is on the disk already.
        new = [
            edit.payload
            for edit, written in zip(edits, records, strict=True)
            if not self._database.row("SELECT 1 FROM edits WHERE digest = ?", (written.digest,))
        ]
        if new and self._lock is not None and not self._lock.may(CONSOLIDATE):
            # Two processes that write blobs would sweep up each other's unfinished ones.
            raise UsageError("the live cycle makes no new weight edits: open the ledger in role consolidate")
        self._blobs.put(new)

    def _require_coordinator(self) -> None:
        if self._lock is None:
            raise UsageError(
                f"{self._database.path} was opened for reading: open it as a coordinator, or leave this "
                "to the one that runs"
            )


def _keys_decided_on(settlements: Sequence[Settlement]) -> list[FactKey]:
    """Keys whose live facts the decisions depend on: those that are changed, and those compared with."""
    changed = [requested.change.key for one in settlements for requested in requested_changes(one)]
    compared = [s.correction.key for s in settlements if s.correction and s.fate in _DECIDED_BY_FACTS]
    return [*changed, *compared]
