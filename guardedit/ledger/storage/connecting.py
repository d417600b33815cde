"""Opens the SQLite file, for writing or for reading only, and checks it against `ledger.head`.

A reader writes nothing, not even beside the database. While a writer is at work, the reader opens the same
file read-only. Otherwise it reads a private copy, because SQLite creates its index beside the database even
for a reader, and cannot read at all where it may not create one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from guardedit.core.durable import sync_folder
from guardedit.core.errors import LedgerBusy, LedgerCorrupt, LedgerError, NoLedger
from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.database import BUSY_S, FORMAT, Database, schema, translated_errors
from guardedit.ledger.storage.heads import HeadFile
from guardedit.ledger.storage.lock import Presence
from guardedit.ledger.storage.migrating import MIGRATIONS, format_of, migrate

NAME = "ledger.db"

_SMALLEST_BYTES = 512  # one page
_ATTEMPTS = 50


def writable(
    folder: Path, *, key: bytes = b"", compacts_heads: bool = False, check_heads: bool = True
) -> Database:
    """The database in `folder` for writing, created when missing, migrated when older.

    Args:
        folder: created when missing.
        key: signs `ledger.head`; empty for none.
        compacts_heads: this process keeps `ledger.head` short. Only one process may.
        check_heads: compare the database with `ledger.head`. False only in order to rewrite that file.

    Raises:
        LedgerCorrupt: the file is damaged, missing although other files of the ledger exist, or ends before
            `ledger.head` does.
        LedgerError: it cannot be opened, another version wrote it, or its heads are signed and `key` is
            missing.
    """
    path = folder / NAME
    with contextlib.ExitStack() as undo, translated_errors(path):
        _create_folder(folder)
        _migrate_older(folder, path)
        presence = Presence.shared(folder)
        undo.callback(presence.release)
        heads = HeadFile(folder, key, compacts=compacts_heads)
        # Read before the database, which may grow meanwhile.
        recorded = heads.frozen() if check_heads else HeadFile(folder, lines=())
        recorded.refuse_unsigned()
        if _is_absent(path):
            _refuse_lost(path, recorded)
        connection = _connect(str(path))
        undo.callback(connection.close)
        if format_of(connection) == 0:
            _refuse_lost(path, recorded)
        _prepare(connection, path)
        sync_folder(folder)
        database = Database(path, connection, heads, presence.release)
        if check_heads:
            _refuse_contradiction(database, recorded)
            if not recorded.read() and not database.last_event()[0]:
                heads.begin()
        undo.pop_all()
    return database


def readable(folder: Path, *, key: bytes = b"") -> Database:
    """The database in `folder` for reading. No file in the folder is changed or created.

    Where no writer is at work, it shows the state at the time of opening.

    Raises:
        NoLedger: there is none, or it has no tables yet: a writer makes them after the file.
        LedgerCorrupt, LedgerError: as for `writable`.
    """
    path = folder / NAME
    with contextlib.ExitStack() as undo, translated_errors(path):
        recorded = HeadFile(folder, key).frozen()
        if _is_absent(path):
            _refuse_lost(path, recorded)
        if not path.is_file():
            raise NoLedger(f"there is no ledger in {folder}: the first `guardedit submit` or `run` makes it")
        connection, close = _beside_a_writer(folder) or _from_a_copy(folder)
        undo.callback(close)
        if format_of(connection) == 0:
            _refuse_lost(path, recorded)
        _check_format(connection, path)
        database = Database(path, connection, recorded, close)
        _refuse_contradiction(database, recorded)
        undo.pop_all()
    return database


def head_problems(database: Database, recorded: HeadFile) -> Iterator[str]:
    """One sentence for each contradiction between the database and heads that were read before it."""
    numbers = {head.seq for head in recorded.read()}
    rows = database.rows(
        "SELECT seq, hash FROM events WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(numbers)),),
    )
    hashes = {int(seq): str(digest) for seq, digest in rows}
    yield from recorded.problems(database.last_event()[0], hashes)


def _create_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def _migrate_older(folder: Path, path: Path) -> None:
    """Migrate a database of an earlier version; LedgerBusy while another process has it open."""
    if not path.is_file() or _is_absent(path):
        return
    with contextlib.closing(_connect(str(path))) as connection:
        version = format_of(connection)
        if version not in MIGRATIONS:
            return
        presence = Presence.exclusive(folder)
        if presence is None:
            raise LedgerBusy(
                f"{path} has format {version} and is open in another process: end that one, "
                f"then the next command migrates the ledger to format {FORMAT}"
            )
        try:
            migrate(connection)
        finally:
            presence.release()


def _is_absent(path: Path) -> bool:
    """Whether the database is missing or empty; LedgerCorrupt for less than one page of it."""
    size = path.stat().st_size if path.exists() else 0
    if 0 < size < _SMALLEST_BYTES:
        # SQLite would treat it as an empty database and overwrite it.
        raise LedgerCorrupt(f"{path} is damaged: it was cut off; restore the folder from a backup")
    return size == 0


def _refuse_lost(path: Path, recorded: HeadFile) -> None:
    """Raise LedgerCorrupt for a database without tables when other files of a ledger exist beside it."""
    last = max((head.seq for head in recorded.read()), default=0)
    if last or Blobs(path.parent / "objects").any():
        evidence = f"{recorded.path.name} names event {last}" if last else "blobs lie beside it"
        raise LedgerCorrupt(
            f"{path} is missing or empty but {evidence}, so the database was lost: "
            "restore the folder from a backup"
        )


def _refuse_contradiction(database: Database, recorded: HeadFile) -> None:
    """Raise LedgerCorrupt where the database contradicts the recorded heads."""
    for problem in head_problems(database, recorded):
        raise LedgerCorrupt(problem)


def _connect(address: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    # A damaged text must not make a whole listing fail; `verify` reports it.
    connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set the connection up for durable writing, and create the tables where there are none."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    _use_wal(connection)
    if format_of(connection) == 0:
        failpoint("ledger.schema.before")
        connection.executescript(f"BEGIN IMMEDIATE; {schema()} PRAGMA user_version = {FORMAT};")
        failpoint("ledger.schema.made")
        connection.execute("COMMIT")
        failpoint("ledger.schema.after")
    _check_format(connection, path)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log.

    SQLite does not wait here as it does elsewhere: when several processes open a new ledger at once, the
    switch of one fails at once while another has the file.
    """
    ends_s = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() >= ends_s:
                raise
            time.sleep(0.05)
        else:
            return


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    version = format_of(connection)
    if version == 0:
        raise NoLedger(f"{path} has no tables yet: `guardedit submit` or `run` creates them")
    if version != FORMAT:
        raise LedgerError(
            f"{path} has format {version}, this guardedit reads format {FORMAT}: "
            "use the version that wrote it, or another folder"
        )


def _beside_a_writer(folder: Path) -> tuple[sqlite3.Connection, Callable[[], None]] | None:
    """A read-only connection that follows a writer; None when there is no writer or it fails."""
    if presence := Presence.exclusive(folder):
        presence.release()
        return None
    with contextlib.ExitStack() as undo:
        undo.callback(Presence.reading(folder).release)
        connection = _connect(f"file:{quote(str((folder / NAME).resolve()))}?mode=ro", uri=True)
        undo.callback(connection.close)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            return None
        return connection, undo.pop_all().close


def _from_a_copy(folder: Path) -> tuple[sqlite3.Connection, Callable[[], None]]:
    """A connection to a private, migrated copy of the database and its write-ahead log."""
    with contextlib.ExitStack() as undo:
        private = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="guardedit-")))
        presence = Presence.exclusive(folder)
        try:
            _copy(folder, private)
        finally:
            if presence:
                presence.release()
        connection = _connect(str(private / NAME))
        undo.callback(connection.close)
        migrate(connection)
        return connection, undo.pop_all().close


def _copy(folder: Path, private: Path) -> None:
    """Copy database and log; repeat until neither changed during the copy."""
    names = (NAME, f"{NAME}-wal")
    for _ in range(_ATTEMPTS):
        before = _stamps(folder, names)
        for name in names:
            (private / name).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(folder / name, private / name)
        if _stamps(folder, names) == before:
            return
    raise LedgerBusy(f"{folder / NAME} changed during every copy: try again while less is written")


def _stamps(folder: Path, names: tuple[str, ...]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            stat = (folder / name).stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found
