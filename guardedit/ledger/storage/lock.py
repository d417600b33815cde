"""Who may do what in a folder: the right to be a coordinator, and who has the database open.

The kernel drops these locks with the process, so nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final, Self

from guardedit.core.errors import LedgerBusy, UsageError
from guardedit.ledger.storage.database import translated

#: The two cycles of a coordinator. Role `both` is a coordinator that runs both of them on one ledger.
LIVE: Final = "live"
CONSOLIDATE: Final = "consolidate"
BOTH: Final = "both"

_OPEN = "open.lock"
_PATIENCE_S = 2.0


class CoordinatorLock:
    """Holds an flock for each cycle of the role, on `live.lock` and `consolidate.lock`.

    Each file says for people which process has it.

    Raises:
        LedgerBusy: somebody else holds one of them; names the process.
        UsageError: there is no such role.
    """

    def __init__(self, folder: Path, role: str = BOTH) -> None:
        if role not in (LIVE, CONSOLIDATE, BOTH):
            raise UsageError(f"there is no role {role!r} on a ledger: use live, consolidate or both")
        self._handles: dict[str, int] = {}
        try:
            for one in (LIVE, CONSOLIDATE) if role == BOTH else (role,):
                self._handles[one] = _only_one(folder, one, f"{one} cycle")
        except BaseException:
            self.release()
            raise

    def may(self, role: str) -> bool:
        """Whether the lock of this one cycle is held."""
        return role in self._handles

    def release(self) -> None:
        """Let the next one have it."""
        while self._handles:
            os.close(self._handles.popitem()[1])


class DriverLock:
    """The right to turn a folder's cycles, wherever they run; an flock on `driver.lock`.

    The cycles' own locks may be held by actors that outlive whoever turned them.

    Raises:
        LedgerBusy: somebody else turns them; names the process.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = _only_one(folder, "driver", "driver")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _only_one(folder: Path, name: str, what: str) -> int:
    path = folder / f"{name}.lock"
    with translated(path):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise LedgerBusy(
                f"{folder} already has a coordinator, process {owner} (its {what}): "
                "stop that one, or give this one another folder"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


class Presence:
    """Says that this process has the database open, or that nobody has.

    Whoever may write holds `open.lock` shared for as long as the database is open. Whoever copies the files
    holds it alone meanwhile, so that a copy is of one moment. An flock and not SQLite's own locks: those are
    lost when the process closes any other handle of the same file, as a copy does.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def shared(cls, folder: Path) -> Presence:
        """Be present; waits while somebody copies."""
        with translated(folder / _OPEN):
            handle = os.open(folder / _OPEN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(handle, fcntl.LOCK_SH)
        return cls(handle)

    @classmethod
    def alone(cls, folder: Path) -> Presence | None:
        """Be the only one; None when somebody has the database open. Creates no file."""
        try:
            handle = os.open(folder / _OPEN, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return cls(-1)  # no writer was ever here, or nobody may say so: a copy is checked anyway
        if _taken(handle, folder):
            return cls(handle)
        os.close(handle)
        return None

    @classmethod
    def reading(cls, folder: Path) -> Presence:
        """Be present beside a writer. Creates no file."""
        with translated(folder / _OPEN):
            handle = os.open(folder / _OPEN, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_SH)
        return cls(handle)

    def release(self) -> None:
        """Be gone."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _taken(handle: int, folder: Path) -> bool:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A writer has its index beside the database. Without one, somebody just copies or begins.
            if (folder / "ledger.db-shm").exists() or time.monotonic() > until:
                return False
            time.sleep(0.005)
        except OSError:
            return True  # a file system without such locks: a copy is checked anyway
        else:
            return True
