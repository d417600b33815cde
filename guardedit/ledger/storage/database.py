"""The SQLite file: what a transaction is, and what its errors are called here.

Knows of the tables only where their last event stands. A commit that returned is on the disk: WAL with
`synchronous=FULL`, and its event noted in `ledger.head`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from guardedit.core.errors import (
    ConflictError,
    LedgerBusy,
    LedgerCorrupt,
    LedgerError,
    StorageFull,
    UsageError,
)
from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.heads import Heads

#: How long a transaction waits for another process that writes, in seconds.
BUSY_S = 30.0
#: `PRAGMA user_version` of the files written here.
FORMAT = 3

_LAST = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_FAILED_SYNC = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class Database:
    """One connection, with one lock around it: threads take turns, a transaction is never shared.

    `done` gives back what else was taken to open it. `connecting` makes one.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, heads: Heads, done: Callable[[], None]
    ) -> None:
        self.path = path
        self.heads = heads
        self._connection = connection
        self._done = done
        self._lock = threading.RLock()
        self._failed_sync = False
        self._noted: tuple[int, str] | None = None
        self._owed: tuple[int, str] | None = None

    def check(self) -> list[str]:
        """What `PRAGMA integrity_check` complains about; empty for a sound file."""
        said = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        return [] if said == ["ok"] else said

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        given = [utf8(value) if isinstance(value, str) else value for value in parameters]
        with self._lock, translated(self.path):
            return self._connection.execute(sql, given).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def transaction(self, step: str) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing of it, durably. `step` names the failpoints around the commit.

        Raises:
            StorageFull: the disk is full or failed; nothing was kept.
            LedgerBusy: another process wrote for longer than `BUSY_S`.
        """
        with self._lock, translated(self.path):
            if self._failed_sync:
                # The kernel may have dropped the pages that it could not write: a second fsync
                # would succeed and mean nothing. Only reading the file again tells what is there.
                raise StorageFull(f"an earlier fsync of {self.path} failed: open the ledger again")
            self._note()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._owed = self._connection.execute(_LAST).fetchone()
                failpoint(f"{step}.before")
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._owed = None
                self._failed_sync = getattr(error, "sqlite_errorcode", None) in _FAILED_SYNC
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            failpoint(f"{step}.after")
            # The commit stands, whatever becomes of the note: it is owed until the next transaction,
            # which is refused when it cannot be made even then.
            with contextlib.suppress(OSError):
                self._note()

    def last(self) -> tuple[int, str]:
        """Number and hash of the last event; (0, "") for none."""
        row = self.row(_LAST)
        return (int(row[0]), str(row[1])) if row else (0, "")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several reads of one and the same moment."""
        with self._lock, translated(self.path):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def version(self) -> int:
        """A number that is another one after every commit of another connection."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()
            self._done()

    def _note(self) -> None:
        """Append to `ledger.head` what was committed last."""
        # Order of fsync: blob, its folder, write-ahead log (the commit), ledger.head. Whoever dies
        #   before the commit      leaves a blob that no row names: swept up or made again;
        #   before the head's line leaves a database that is ahead of the file: the next line mends that;
        #   within the line        leaves a torn one: skipped, and the next begins on a line of its own.
        # Never is the file ahead of the database, unless what the disk had confirmed was lost.
        if self._owed is not None and self._owed != self._noted:
            self.heads.append(*self._owed)
            self._noted = self._owed
        self._owed = None


def utf8(text: str) -> str:
    """The text as SQLite takes it: a lone surrogate, as in file names that are no text, is written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_json(text: str) -> Any:
    """A recorded JSON value; LedgerCorrupt when the text is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise LedgerCorrupt(
            f"a recorded row cannot be read ({error}): {text[:120]!r}; run `guardedit verify` and "
            "restore the folder from a backup"
        ) from error


def schema() -> str:
    """The text of schema.sql."""
    return files("guardedit.ledger.storage").joinpath("schema.sql").read_text("utf-8")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Say SQLite's and the operating system's errors in the words of `core.errors`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(error, path) from error
    except UnicodeDecodeError as error:  # in what SQLite says of a damaged schema
        raise LedgerCorrupt(f"{path} is damaged: {error}; restore the folder from a backup") from error
    except OverflowError as error:
        raise UsageError(
            "a number is larger than any that the ledger holds: it names nothing here"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"cannot write {path}: {error.strerror}; free space and try again, nothing was kept"
            ) from error
        raise LedgerError(
            f"cannot use {path}: {error.strerror or error}; check the folder and its rights"
        ) from error


def _from_sqlite(error: sqlite3.Error, path: Path) -> Exception:
    # The low byte is the kind, the rest of the number says where it happened.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return StorageFull(
                f"cannot write {path}: {error}; free space or check the disk, nothing was kept"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerBusy(f"{path} was locked for more than {BUSY_S:g} s: see who else writes to it")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LedgerCorrupt(f"{path} is damaged: {error}; restore the folder from a backup")
        case sqlite3.SQLITE_CONSTRAINT:
            return ConflictError(f"{path} refuses the step: {error}; nothing was kept")
        case _:
            return LedgerError(f"cannot use {path}: {error}; check the folder and its rights")
