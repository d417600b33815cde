"""The right to be the coordinator of a folder: one process at a time, given back when it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from guardedit.core.errors import LedgerBusy
from guardedit.ledger.database import translated


class CoordinatorLock:
    """Holds an flock on `coordinator.lock`, which says for people who has it.

    The kernel drops the lock with the process, so nothing has to be cleaned up after a crash.

    Raises:
        LedgerBusy: somebody else holds it; names the process.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "coordinator.lock"
        with translated(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(self._handle)
                raise LedgerBusy(
                    f"{folder} already has a coordinator, process {owner}: "
                    "stop that one, or give this one another folder"
                ) from None
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one have it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
