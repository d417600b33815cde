"""Locks on a ledger's folder: which process may coordinate it, and which processes have the database open.

All of them are flocks. The kernel drops them with the process, so nothing needs cleaning up after a crash.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final, Self

from guardedit.core.errors import LedgerBusy, UsageError
from guardedit.ledger.storage.database import translated_errors

#: The two cycles of a coordinator. Role `both` is a coordinator that runs both of them on one ledger.
LIVE: Final = "live"
CONSOLIDATE: Final = "consolidate"
BOTH: Final = "both"

_OPEN = "open.lock"
_PATIENCE_S = 2.0
#: How long a process that looks who has a lock may have it itself, see `driver_of`.
_LOOK_S = 0.1


class CoordinatorLock:
    """The right to run the cycles of a role: an flock on `live.lock`, on `consolidate.lock`, or on both.

    Each file contains the process id of its holder, for people.

    Raises:
        LedgerBusy: another process holds one of them; names that process.
        UsageError: there is no such role.
    """

    def __init__(self, folder: Path, role: str = BOTH) -> None:
        if role not in (LIVE, CONSOLIDATE, BOTH):
            raise UsageError(f"there is no role {role!r} on a ledger: use live, consolidate or both")
        self._handles: dict[str, int] = {}
        try:
            for cycle in (LIVE, CONSOLIDATE) if role == BOTH else (role,):
                self._handles[cycle] = _exclusive_file(folder, cycle, f"{cycle} cycle")
        except BaseException:
            self.release()
            raise

    def may(self, cycle: str) -> bool:
        """Whether the lock of this one cycle is held."""
        return cycle in self._handles

    def release(self) -> None:
        """Give up all locks."""
        while self._handles:
            os.close(self._handles.popitem()[1])


class DriverLock:
    """The right to start the steps of a folder's cycles: an flock on `driver.lock`.

    The locks of the cycles cannot be used for this, because actors that outlive their driver may hold them.

    Raises:
        LedgerBusy: another process is the driver; names that process.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = _exclusive_file(folder, "driver", "driver")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


class PublisherLock:
    """The right to publish the epochs of a folder: an flock on `publisher.lock`.

    Raises:
        LedgerBusy: another process is the publisher; names that process.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = _exclusive_file(folder, "publisher", "publisher", what="publisher")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def driver_of(folder: Path) -> str | None:
    """The process id of the driver of a folder's cycles; None when there is none.

    Takes the lock for a moment. A process that starts meanwhile waits for that long, see `_exclusive_file`.
    """
    try:
        handle = os.open(folder / "driver.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner(handle)
    finally:
        os.close(handle)
    return None


def _owner(handle: int) -> str:
    return os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"


def _exclusive_file(folder: Path, name: str, role: str, *, what: str = "coordinator") -> int:
    """A handle to `NAME.lock`, locked for this process alone and with its id as content."""
    path = folder / f"{name}.lock"
    with translated_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        until = time.monotonic() + _LOOK_S
        while not _locked(handle):
            if time.monotonic() > until:
                owner = _owner(handle)
                os.close(handle)
                raise LedgerBusy(
                    f"{folder} already has a {what}, process {owner} (its {role}): "
                    "stop that one, or use another folder"
                )
            time.sleep(0.005)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Presence:
    """An flock on `open.lock`: shared while the database is open, exclusive while a process copies the files.

    A writer holds it for as long as the database is open. A process that copies the files holds it alone
    meanwhile, so that the copy shows one moment. SQLite's own locks cannot be used for this: a process loses
    them when it closes any other handle of the same file, as copying does.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def shared(cls, folder: Path) -> Presence:
        """Share the lock; waits while another process copies. Creates the file."""
        with translated_errors(folder / _OPEN):
            handle = os.open(folder / _OPEN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(handle, fcntl.LOCK_SH)
        return cls(handle)

    @classmethod
    def exclusive(cls, folder: Path) -> Presence | None:
        """Hold the lock alone; None when another process has the database open. Creates no file."""
        try:
            handle = os.open(folder / _OPEN, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return cls(-1)  # there was never a writer, or the file is not readable: a copy is checked anyway
        if _try_lock(handle, folder):
            return cls(handle)
        os.close(handle)
        return None

    @classmethod
    def reading(cls, folder: Path) -> Presence:
        """Share the lock as a reader while a writer is at work. Creates no file."""
        with translated_errors(folder / _OPEN):
            handle = os.open(folder / _OPEN, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_SH)
        return cls(handle)

    def release(self) -> None:
        """Give up the lock."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _try_lock(handle: int, folder: Path) -> bool:
    """Try to take the exclusive lock. Waits a little for processes that hold the lock only briefly."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A writer has SQLite's index beside the database. Without one, the holder is copying or starting.
            if (folder / "ledger.db-shm").exists() or time.monotonic() > until:
                return False
            time.sleep(0.005)
        except OSError:
            return True  # a file system without such locks: a copy is checked anyway
        else:
            return True
