"""Opens a ledger for reading, checks one that was opened for writing, and creates epoch 0."""

from __future__ import annotations

import contextlib
from pathlib import Path

from guardedit.core.epoch import state_sha256_of
from guardedit.core.errors import LedgerCorrupt, UsageError
from guardedit.core.protocols import Clock
from guardedit.ledger import epochs
from guardedit.ledger.events.projection import record
from guardedit.ledger.next_epoch import genesis
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.state import State, state_at
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.chain import EventRow, broken_links
from guardedit.ledger.storage.connecting import NAME, readable, writable
from guardedit.ledger.storage.database import Database
from guardedit.ledger.storage.lock import CoordinatorLock


def read_only(folder: Path, *, clock: Clock, key: bytes = b"") -> LedgerReader:
    """The ledger in `folder` for reading. No file in the folder is changed or created.

    While a writer is at work, the reader follows its commits. Otherwise it shows the state when opened.

    Raises:
        NoLedger: there is none, or it has no tables yet.
        LedgerCorrupt: the file is damaged, or its end is missing.
        LedgerError: it cannot be read, or another version wrote it.
    """
    return LedgerReader(readable(folder, key=key), Blobs(folder / "objects"), clock)


def anchor(folder: Path, *, key: bytes = b"") -> int:
    """Rewrite `ledger.head` with the present end of the chain; returns the number of its last event.

    The old content of the file does not matter. Use this after a key was set or changed, or when
    `ledger.head` was lost and the database is known to be complete. No coordinator may run.

    Raises:
        LedgerCorrupt: the chain is broken.
        LedgerBusy: a coordinator runs.
        UsageError: there is no ledger.
    """
    if not (folder / NAME).is_file():
        raise UsageError(f"there is no ledger in {folder}: nothing to anchor")
    lock = CoordinatorLock(folder)
    try:
        with contextlib.closing(writable(folder, key=key, check_heads=False)) as database:
            rows = database.rows("SELECT * FROM events ORDER BY seq")
            for problem in broken_links(map(EventRow._make, rows)):
                raise LedgerCorrupt(f"{problem}: restore the folder from a backup")
            seq, digest = database.last_event()
            database.heads.reset(seq, digest)
    finally:
        lock.release()
    return seq


def begin(
    database: Database,
    blobs: Blobs,
    *,
    base_sha256: str | None,
    policy_sha256: str,
    weights_sha256: str,
    at_s: float,
) -> None:
    """Check the file, and write epoch 0 unless it exists.

    Raises:
        LedgerCorrupt: SQLite finds the file damaged, or the database is empty although there are blobs.
        UsageError: the ledger is new and `base_sha256` is missing.
    """
    if findings := database.integrity_problems():
        raise LedgerCorrupt(f"{database.path} is damaged: {findings[0]}; restore the folder from a backup")
    if epochs.refs(database):
        return
    if blobs.any():
        raise LedgerCorrupt(
            f"{database.path} knows no epoch but blobs lie beside it, so the database was lost: "
            "restore the folder from a backup"
        )
    if base_sha256 is None:
        raise UsageError(f"{database.path} is new: give the digest of the base model that it belongs to")
    first = genesis(
        base_sha256=base_sha256, policy_sha256=policy_sha256, weights_sha256=weights_sha256, at_s=at_s
    )
    with database.transaction("ledger.begin") as connection:
        if epochs.refs(database):
            return  # the other cycle's writer was first
        record(connection, first.event, at_s=at_s)


def trusted_state(database: Database) -> State:
    """The state of the serving epoch.

    Raises:
        LedgerCorrupt: it does not have the recorded hash.
    """
    number = epochs.read_ref(database, epochs.SERVING)
    state = state_at(database, number)
    epoch = epochs.read_epoch(database, number, state.edits)
    found = state_sha256_of(epoch.base_sha256, epoch.weights_sha256, state.total)
    if found != epoch.state_sha256:
        raise LedgerCorrupt(
            f"{database.path}: the facts of epoch {number} have state hash {found[:12]}, recorded is "
            f"{epoch.state_sha256[:12]}; run `guardedit verify` and restore the folder from a backup"
        )
    return state
