"""The ledger itself: the `Ledger` protocol on one SQLite file and a folder of blobs.

A folder holds `ledger.db`, `objects/` and `coordinator.lock`. Every method that writes is one transaction:
the event, the rows that follow from it, and one commit that is on the disk when the method returns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Self

from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock, Settlement
from guardedit.core.verdict import Verdict
from guardedit.ledger import epochs, opening, projection
from guardedit.ledger.blobs import Blobs
from guardedit.ledger.database import Database, translated
from guardedit.ledger.epochs import LAST_GOOD, SERVING, Step
from guardedit.ledger.intake import InboxWriter, settle
from guardedit.ledger.lock import CoordinatorLock


class SqliteLedger(InboxWriter):
    """The append-only truth. Open it with `open`, for writing by one process at a time.

    Every write may raise StorageFull and LedgerBusy; nothing of the step was kept then.
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

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        base_sha256: str | None = None,
        policy_sha256: str | None = None,
        weights_sha256: str = "",
        clock: Clock,
        writer: bool = True,
    ) -> Self:
        """Open the ledger in `folder`, or make it.

        Args:
            folder: where `ledger.db` and `objects/` lie; made when missing. Not on a network disk.
            base_sha256: the loaded base model. Needed for a new ledger; compared in an old one.
            policy_sha256: the policy in force, recorded with each new epoch.
            weights_sha256: digest of the matrices without any edit, for epoch 0 of a new ledger.
            clock: seconds since 1970, UTC.
            writer: the coordinator. Without it only reading, `receive`, `release`, `retry` and `drop`
                work, and they work while a coordinator runs.

        Raises:
            LedgerBusy: another coordinator has the folder.
            WrongBaseModel: the ledger was written for another base model.
            LedgerCorrupt: the file is damaged, or the serving epoch's facts do not have its hash.
            LedgerError: the folder cannot be used.
        """
        with translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            lock = CoordinatorLock(folder) if writer else None
            if lock is not None:
                undo.callback(lock.release)
            database, blobs = Database(folder / "ledger.db"), Blobs(folder / "objects")
            undo.callback(database.close)
            ledger = cls(database, blobs, clock=clock, policy_sha256=policy_sha256, lock=lock)
            if writer:
                opening.begin(
                    database,
                    blobs,
                    base_sha256=base_sha256,
                    policy_sha256=policy_sha256 or "",
                    weights_sha256=weights_sha256,
                    at_s=clock(),
                )
                ledger._serving = opening.trusted_state(database)
                blobs.sweep()
            if base_sha256 is not None and ledger.refs():
                opening.compare_base(database, base_sha256)
            undo.pop_all()
        return ledger

    def close(self) -> None:
        """Give file and lock back."""
        super().close()
        if self._lock is not None:
            self._lock.release()

    def settle(self, settlements: Sequence[Settlement], *, kind: str = "remember") -> Epoch:
        """Record decisions, fates and fact changes; a new epoch when anything changed.

        Weights and weight edits stay as they are. Dead letters carry `code: message` as their reason.

        Raises:
            ConflictError: a row is not waiting, or an id would be decided twice; nothing was kept.
        """
        self._write_or_refuse()
        changes = [
            (s.change, s.correction.id if s.correction else "") for s in settlements if s.change is not None
        ]
        step = None
        with self._database.transaction("ledger.settle") as connection:
            if changes:
                step = self._advance(connection, changes, kind=kind, reason=f"{len(changes)} corrections")
            number, at_s = step.epoch.number if step else None, self._clock()
            for settlement in settlements:
                settle(connection, settlement, epoch=number, at_s=at_s)
        if step is not None:
            self._serving = step.state
        return step.epoch if step else self.epoch()

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
    ) -> Epoch:
        """A new serving epoch on top of epoch `expected`, with exactly these weight edits.

        `last-good` follows when it stood on the serving epoch and the edits stay the same; otherwise
        `move_ref` moves it. The reason of a `rollback` begins with its trigger and a colon: `drift: ...`,
        `recovery: ...`, `gate: ...`; without one it counts as `manual`.

        Raises:
            ConflictError: another epoch is serving; nothing was kept.
            UsageError: the verdict is not `accept`.
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
                [(change, change.fact.correction_id if change.fact else "") for change in changes],
                kind=kind,
                reason=reason,
                edits=described,
                weights_sha256=weights_sha256,
                verdict=verdict,
            )
        self._serving = step.state
        return step.epoch

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append an event that changes no fact: a rejected trial, a breach, a quarantine.

        `body` is plain JSON data. Under `verdict` it may hold a `Verdict.to_json()`, which then counts
        among trials and gates.
        """
        self._write_or_refuse()
        if kind in projection.RESERVED:
            raise UsageError(f"{kind!r} is an event of the ledger's own: note another kind")
        with self._database.transaction("ledger.note") as connection:
            self._record(connection, kind, body)

    def move_ref(self, name: str, *, to: int, expected: int | None) -> None:
        """Compare-and-swap a ref; `expected` None means that it must not exist yet.

        Raises:
            ConflictError: it points elsewhere.
            UsageError: no such epoch, no proper name, or `serving`, which moves with `commit` only.
        """
        self._write_or_refuse()
        epochs.check_ref_name(name)
        with self._database.transaction("ref.swap") as connection:
            if (now := self.refs().get(name)) != expected:
                raise ConflictError(f"ref {name} is at {now}, not {expected}: look again and try again")
            epochs.read_epoch(self._database, to, {})
            self._record(connection, projection.REF, {"name": name, "from": expected, "to": to})

    def tag(self, name: str, epoch: int | None = None) -> None:
        """Give an epoch (default: serving) a name of its own; ConflictError when the name is taken."""
        self.move_ref(name, to=self.ref(SERVING) if epoch is None else epoch, expected=None)

    def remember_edit(self, content_key: str, edit: WeightEdit) -> None:
        """Keep an edit under its content key, in the place of what was there.

        It is made anew only where the one before failed, so undo and redo meet the same bytes.
        """
        self._write_or_refuse()
        described = epochs.described(edit)
        self._put_blobs([edit], [described])
        with self._database.transaction("edit.remember") as connection:
            known = self._database.row("SELECT digest FROM edit_cache WHERE content_key = ?", (content_key,))
            if known is None or known[0] != edit.digest:
                body = {"content_key": content_key, "edit": described}
                self._record(connection, projection.EDIT, body)

    def _advance(
        self,
        connection: Connection,
        changes: Sequence[tuple[Change, str]],
        *,
        kind: str,
        reason: str,
        edits: Sequence[Mapping[str, Any]] | None = None,
        weights_sha256: str | None = None,
        verdict: Verdict | None = None,
    ) -> Step:
        serving, at_s = self.epoch(), self._clock()
        step = epochs.successor(
            serving,
            self._serving_state(),
            last_good=self.ref(LAST_GOOD),
            kind=kind,
            reason=reason,
            changes=changes,
            edits=edits,
            weights_sha256=serving.weights_sha256 if weights_sha256 is None else weights_sha256,
            policy_sha256=serving.policy_sha256 if self._policy_sha256 is None else self._policy_sha256,
            at_s=at_s,
            verdict=verdict,
        )
        projection.record(connection, at_s=at_s, kind=projection.EPOCH, body=step.body)
        return step

    def _put_blobs(self, edits: Sequence[WeightEdit], described: Sequence[Mapping[str, Any]]) -> None:
        # A digest that a committed row names is on the disk already.
        self._blobs.put(
            edit.payload
            for edit, description in zip(edits, described, strict=True)
            if not self._database.row("SELECT 1 FROM edits WHERE digest = ?", (description["digest"],))
        )

    def _write_or_refuse(self) -> None:
        if self._lock is None:
            raise UsageError(
                f"{self._database.path} was opened for reading: only the coordinator may do this, ask it"
            )
