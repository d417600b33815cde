"""Transactions and snapshots of the SQLite file; converts SQLite's errors to those of `core.errors`.

The only table that this file knows is `events`. A commit is on the disk when it returns: WAL with
`synchronous=FULL`, and its last event in `ledger.head`.
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
from guardedit.ledger.storage.heads import HeadFile

#: How long a transaction waits for another process that writes, in seconds.
BUSY_S = 30.0
#: `PRAGMA user_version` of the files written by this version.
FORMAT = 5

_LAST_EVENT = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_FAILED_SYNC = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class Database:
    """One SQLite connection behind one lock: threads take turns and never share a transaction.

    Made by `storage.connecting`. `on_close` is called after the connection is closed.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, heads: HeadFile, on_close: Callable[[], None]
    ) -> None:
        self.path = path
        self.heads = heads
        self._connection = connection
        self._on_close = on_close
        self._lock = threading.RLock()
        self._failed_sync = False
        self._written_head: tuple[int, str] | None = None
        self._unwritten_head: tuple[int, str] | None = None

    def integrity_problems(self) -> list[str]:
        """The findings of `PRAGMA integrity_check`; empty for a sound file."""
        findings = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        return [] if findings == ["ok"] else findings

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        storable = [utf8(value) if isinstance(value, str) else value for value in parameters]
        with self._lock, translated_errors(self.path):
            return self._connection.execute(sql, storable).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def transaction(self, step: str) -> Iterator[sqlite3.Connection]:
        """Commit all writes of the block durably, or none of them. `step` names the failpoints at the commit.

        Raises:
            StorageFull: the disk is full or failed; nothing was kept.
            LedgerBusy: another process wrote for longer than `BUSY_S`.
        """
        with self._lock, translated_errors(self.path):
            if self._failed_sync:
                # The kernel may have dropped the pages that it could not write. A second fsync would then
                # succeed and prove nothing. Only reading the file again shows what it contains.
                raise StorageFull(f"an earlier fsync of {self.path} failed: open the ledger again")
            self._write_head()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._unwritten_head = self._connection.execute(_LAST_EVENT).fetchone()
                failpoint(f"{step}.before")
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._unwritten_head = None
                self._failed_sync = getattr(error, "sqlite_errorcode", None) in _FAILED_SYNC
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            failpoint(f"{step}.after")
            # The commit is valid even if its head cannot be written now. Then the next transaction tries
            # again first, and is refused if it fails as well.
            with contextlib.suppress(OSError):
                self._write_head()

    def last_event(self) -> tuple[int, str]:
        """Number and hash of the last event; (0, "") for none."""
        row = self.row(_LAST_EVENT)
        return (int(row[0]), str(row[1])) if row else (0, "")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads in the block see the same state."""
        with self._lock, translated_errors(self.path):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def version(self) -> int:
        """A number that changes with every commit of another connection."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
            self._on_close()

    def _write_head(self) -> None:
        """Append the last commit to `ledger.head`, unless it is there."""
        # Order of fsync: blob, its folder, write-ahead log (the commit), ledger.head. A crash
        #   before the commit           leaves a blob that no row names: swept up or written again;
        #   before the line is written  leaves the database ahead of the file, until the next line is written;
        #   within the line             leaves a torn line: ignored, and the next one starts on a new line.
        # The file is never ahead of the database, unless data that the disk had confirmed was lost.
        if self._unwritten_head is not None and self._unwritten_head != self._written_head:
            self.heads.append(*self._unwritten_head)
            self._written_head = self._unwritten_head
        self._unwritten_head = None


def utf8(text: str) -> str:
    """The text as SQLite can store it: a lone surrogate, as in file names that are not UTF-8, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_json(text: str) -> Any:
    """Decode recorded JSON.

    Raises:
        LedgerCorrupt: the text is not JSON.
    """
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
def translated_errors(path: Path) -> Iterator[None]:
    """Raise the errors of SQLite and of the operating system in the block as errors of `core.errors`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(error, path) from error
    except UnicodeDecodeError as error:  # in SQLite's message about a damaged schema
        raise LedgerCorrupt(f"{path} is damaged: {error}; restore the folder from a backup") from error
    except OverflowError as error:
        raise UsageError("a number is too large for the ledger, so nothing has that number") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"cannot write {path}: {error.strerror}; free space and try again, nothing was kept"
            ) from error
        raise LedgerError(
            f"cannot use {path}: {error.strerror or error}; check the folder and its permissions"
        ) from error


def _from_sqlite(error: sqlite3.Error, path: Path) -> Exception:
    # The low byte is the kind of error, the rest of the code says where it happened.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return StorageFull(
                f"cannot write {path}: {error}; free space or check the disk, nothing was kept"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerBusy(
                f"{path} was locked for more than {BUSY_S:g} s: find out which process writes to it"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LedgerCorrupt(f"{path} is damaged: {error}; restore the folder from a backup")
        case sqlite3.SQLITE_CONSTRAINT:
            return ConflictError(f"{path} refuses the step: {error}; nothing was kept")
        case _:
            return LedgerError(f"cannot use {path}: {error}; check the folder and its permissions")
