"""The SQLite file: how it is opened, what a transaction is, and what its errors are called here.

Knows no table. A commit that returned is on the disk: WAL with `synchronous=FULL`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
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

#: How long a transaction waits for another process that writes, in seconds.
BUSY_S = 30.0
#: `PRAGMA user_version` of the files written here.
FORMAT = 2

_SMALLEST_BYTES = 512  # one page
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_FAILED_SYNC = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class Database:
    """One connection, with one lock around it: threads take turns, a transaction is never shared.

    Raises:
        LedgerCorrupt: the file is not a database, or a page of it is damaged.
        LedgerError: it cannot be opened, or another version of guardedit wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._failed_sync = False
        with translated(path):
            if path.exists() and 0 < path.stat().st_size < _SMALLEST_BYTES:
                # SQLite would take it for an empty database and write over it.
                raise LedgerCorrupt(f"{path} is damaged: it was cut off; restore the folder from a backup")
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        with translated(self.path):
            execute = self._connection.execute
            # A damaged text must not end a listing; `verify` finds it.
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            execute("PRAGMA synchronous = FULL")
            execute("PRAGMA foreign_keys = ON")
            execute("PRAGMA journal_mode = WAL")
            if (version := execute("PRAGMA user_version").fetchone()[0]) == 0:
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {schema()} PRAGMA user_version = {FORMAT}; COMMIT;"
                )
            elif version != FORMAT:
                raise LedgerError(
                    f"{self.path} has format {version}, this guardedit reads format {FORMAT}: "
                    "use the version that wrote it, or another folder"
                )

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
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                failpoint(f"{step}.before")
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._failed_sync = getattr(error, "sqlite_errorcode", None) in _FAILED_SYNC
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            failpoint(f"{step}.after")

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
    return files("guardedit.ledger").joinpath("schema.sql").read_text("utf-8")


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
