"""`SqliteLedger`: the `Ledger` protocol on one SQLite file and a folder of blobs.

A ledger's folder holds `ledger.db`, `ledger.head`, `objects/` and the locks. Every method that writes is one
transaction: the event, the rows that follow from it, and one commit that is on the disk when the method
returns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock
from guardedit.ledger import epochs, opening
from guardedit.ledger.epoch_writer import EpochWriter
from guardedit.ledger.events.kinds import RESERVED, EditsEvent, RefEvent
from guardedit.ledger.events.projection import record_note
from guardedit.ledger.events.records import EditRecord, RememberedEdit
from guardedit.ledger.storage import lock
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.connecting import writable


class SqliteLedger(EpochWriter):
    """The append-only record. Create it with `open`; only one coordinator can have it open at a time.

    Every write may raise StorageFull and LedgerBusy; then nothing of the step was kept.
    """

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
        role: str = lock.BOTH,
        key: bytes = b"",
    ) -> Self:
        """Open the ledger in `folder`, or create it.

        Args:
            folder: where `ledger.db` and `objects/` lie; created when missing. Not on a network disk.
            base_sha256: the loaded base model. Needed for a new ledger; compared in an old one.
            policy_sha256: the policy in force, recorded with each new epoch.
            weights_sha256: digest of the matrices without any edit, for epoch 0 of a new ledger.
            clock: seconds since 1970, UTC.
            writer: open it as a coordinator. Otherwise only queries, `receive`, `release`, `release_fact`,
                `retry` and `drop` work, and they work while a coordinator runs.
            role: the cycles of this coordinator: `live`, `consolidate` or `both`. Each cycle runs at most
                once, in one process or in two. Only `consolidate` makes new weight edits.
            key: signs `ledger.head`; empty for none. All writers need the same one.

        Raises:
            LedgerBusy: another coordinator has the folder in this role.
            WrongBaseModel: the ledger was written for another base model.
            LedgerCorrupt: the file is damaged, its end is missing, or the serving epoch's facts do not have
                its hash.
            LedgerError: the folder cannot be used.
        """
        with contextlib.ExitStack() as undo:
            held = lock.CoordinatorLock(folder, role) if writer else None
            if held is not None:
                undo.callback(held.release)
            compacts = held is not None and held.may(lock.LIVE)
            database = writable(folder, key=key, compacts_heads=compacts)
            undo.callback(database.close)
            blobs = Blobs(folder / "objects")
            ledger = cls(database, blobs, clock=clock, policy_sha256=policy_sha256, lock=held)
            if held is not None:
                opening.begin(
                    database,
                    blobs,
                    base_sha256=base_sha256,
                    policy_sha256=policy_sha256 or "",
                    weights_sha256=weights_sha256,
                    at_s=clock(),
                )
                ledger._serving = opening.trusted_state(database)
                if held.may(lock.CONSOLIDATE):
                    blobs.sweep()
            if base_sha256 is not None and ledger.refs():
                ledger.compare_base(base_sha256)
            undo.pop_all()
        return ledger

    def close(self) -> None:
        """Close the file and release the lock."""
        super().close()
        if self._lock is not None:
            self._lock.release()

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append an event that changes no fact: a rejected trial, a breach, a quarantine.

        `body` is plain JSON data. It may have a `Verdict.to_json()` under the key `verdict`, which then
        counts among trials and gates.

        Raises:
            UsageError: `kind` is one of the ledger's own kinds, or the body is not plain JSON data.
        """
        self._require_coordinator()
        if kind in RESERVED:
            raise UsageError(f"{kind!r} is an event of the ledger's own: note another kind")
        with self._database.transaction("ledger.note") as connection:
            record_note(connection, kind, body, at_s=self._clock())

    def move_ref(self, name: str, *, to: int, expected: int | None) -> None:
        """Compare-and-swap a ref; `expected` None means that it must not exist yet.

        Raises:
            ConflictError: it points elsewhere.
            UsageError: there is no such epoch, the name is invalid, or it is `serving`, which only moves
                with a new epoch.
        """
        self._require_coordinator()
        epochs.check_ref_name(name)
        with self._database.transaction("ref.swap") as connection:
            if (found := self.refs().get(name)) != expected:
                raise ConflictError(f"ref {name} is at {found}, not {expected}: read it again and retry")
            epochs.check_epoch(self._database, to)
            self._record(connection, RefEvent(name=name, moved_from=expected, to=to))

    def remember_edits(self, made: Sequence[tuple[str, str, WeightEdit]]) -> None:
        """Keep (content key, group key, edit) of one proposal, all of them or none.

        The latest edit of a content key counts. An edit is optimised again only where the earlier one failed,
        so undo and redo find the same bytes.
        """
        self._require_coordinator()
        records = [EditRecord.of(edit) for _, _, edit in made]
        self._put_blobs([edit for _, _, edit in made], records)
        remembered = [
            RememberedEdit(content_key, group_key, written)
            for (content_key, group_key, _), written in zip(made, records, strict=True)
        ]
        with self._database.transaction("edit.remember") as connection:
            if new := [one for one in remembered if not self._has(one)]:
                self._record(connection, EditsEvent(made=new))

    def _has(self, remembered: RememberedEdit) -> bool:
        """Whether exactly this edit is the latest one of its content key."""
        latest = self._database.row(
            "SELECT digest, facts, group_key FROM edit_cache WHERE content_key = ?"
            " ORDER BY event_seq DESC, n DESC LIMIT 1",
            (remembered.content_key,),
        )
        return latest == (remembered.edit.digest, remembered.edit.facts_json, remembered.group_key)
