"""The ledger itself: the `Ledger` protocol on one SQLite file and a folder of blobs.

A folder holds `ledger.db`, `ledger.head`, `objects/` and the locks. Every method that writes is one
transaction: the event, the rows that follow from it, and one commit that is on the disk when the method
returns.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock
from guardedit.ledger import epochs, opening, projection
from guardedit.ledger.advancing import EpochWriter
from guardedit.ledger.epochs import SERVING
from guardedit.ledger.storage import lock
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.connecting import writable


class SqliteLedger(EpochWriter):
    """The append-only truth. Open it with `open`, for writing by one coordinator at a time.

    Every write may raise StorageFull and LedgerBusy; nothing of the step was kept then.
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
        """Open the ledger in `folder`, or make it.

        Args:
            folder: where `ledger.db` and `objects/` lie; made when missing. Not on a network disk.
            base_sha256: the loaded base model. Needed for a new ledger; compared in an old one.
            policy_sha256: the policy in force, recorded with each new epoch.
            weights_sha256: digest of the matrices without any edit, for epoch 0 of a new ledger.
            clock: seconds since 1970, UTC.
            writer: a coordinator. Without it only reading, `receive`, `release`, `release_fact`, `retry`
                and `drop` work, and they work while a coordinator runs.
            role: `live`, `consolidate` or `both`: the cycles of this writer. There is one of each at a time,
                in one process or in two. Only `consolidate` makes new weight edits.
            key: signs `ledger.head`; empty for none. All who write need the same one.

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
            keeper = held is not None and held.may(lock.LIVE)
            database, blobs = writable(folder, key=key, keeper=keeper), Blobs(folder / "objects")
            undo.callback(database.close)
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
        """Give file and lock back."""
        super().close()
        if self._lock is not None:
            self._lock.release()

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

    def remember_edits(self, made: Sequence[tuple[str, str, WeightEdit]]) -> None:
        """Keep (content key, group key, edit) of one proposal, all of them or none.

        An edit under a content key that is known takes the place of the one before. It is made anew only
        where that one failed, so undo and redo meet the same bytes.
        """
        self._write_or_refuse()
        edits = [edit for _, _, edit in made]
        described = [epochs.described(edit) for edit in edits]
        self._put_blobs(edits, described)
        names = ("content_key", "group_key", "edit")
        rows = [
            dict(zip(names, (content, group, body), strict=True))
            for (content, group, _), body in zip(made, described, strict=True)
        ]
        with self._database.transaction("edit.remember") as connection:
            if new := [row for row in rows if not self._remembers(row)]:
                self._record(connection, projection.EDITS, {"made": new})

    def _remembers(self, row: Mapping[str, Any]) -> bool:
        known = self._database.row(
            "SELECT digest, facts, group_key FROM edit_cache WHERE content_key = ?"
            " ORDER BY event_seq DESC, n DESC LIMIT 1",
            (row["content_key"],),
        )
        return known == (row["edit"]["digest"], json.dumps(row["edit"]["facts"]), row["group_key"])
