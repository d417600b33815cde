"""Opening the SQLite file: to write, or only to read.

Reading needs no writing. Where a writer is at work the file is opened read-only beside it. Otherwise it is
read from a private copy: SQLite would leave its index beside the database even for a reader, and cannot read
at all where it may not make one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from guardedit.core.errors import LedgerBusy, LedgerCorrupt, LedgerError, UsageError
from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.database import BUSY_S, FORMAT, Database, schema, translated
from guardedit.ledger.storage.durable import sync_folder
from guardedit.ledger.storage.heads import Heads
from guardedit.ledger.storage.lock import Presence
from guardedit.ledger.storage.migrating import MIGRATIONS, format_of, migrate

NAME = "ledger.db"

_SMALLEST_BYTES = 512  # one page
_ATTEMPTS = 50


def writable(folder: Path, *, key: bytes = b"", keeper: bool = False, compare: bool = True) -> Database:
    """The database in `folder`, made when missing. A `keeper` keeps `ledger.head` short.

    Without `compare` what `ledger.head` says is not asked: only for who writes it anew.

    Raises:
        LedgerCorrupt: the file is damaged, gone beside what belonged to it, or ends before `ledger.head`.
        LedgerError: it cannot be opened, another version wrote it, or its heads are signed and `key` is
            missing.
    """
    path = folder / NAME
    with contextlib.ExitStack() as undo, translated(path):
        _make(folder)
        _bring_up_to_date(folder, path)
        presence = Presence.shared(folder)
        undo.callback(presence.release)
        heads = Heads(folder, key, keeper=keeper)
        # Before the database, which may grow meanwhile.
        noted = heads.frozen() if compare else Heads(folder, seen=())
        noted.refuse_unsigned()
        if _refuse_cut(path):
            _refuse_lost(path, noted)
        connection = _connect(str(path))
        undo.callback(connection.close)
        if format_of(connection) == 0:
            _refuse_lost(path, noted)
        _prepare(connection, path)
        sync_folder(folder)
        database = Database(path, connection, heads, presence.release)
        if compare:
            _compare(database, noted)
            if not noted.read() and not database.last()[0]:
                heads.begin()
        undo.pop_all()
    return database


def readable(folder: Path, *, key: bytes = b"") -> Database:
    """The database in `folder`, which is left as it is, to the last file beside it.

    Where no writer is at work, it stays as it was when it was opened.

    Raises:
        UsageError: there is no ledger.
        LedgerCorrupt, LedgerError: as for `writable`.
    """
    path = folder / NAME
    with contextlib.ExitStack() as undo, translated(path):
        noted = Heads(folder, key).frozen()
        if _refuse_cut(path):
            _refuse_lost(path, noted)
        if not path.is_file():
            raise UsageError(
                f"there is no ledger in {folder}: the first `guardedit submit` or `run` makes it"
            )
        connection, done = _beside_a_writer(folder) or _from_a_copy(folder)
        undo.callback(done)
        if format_of(connection) == 0:
            _refuse_lost(path, noted)
        _check_format(connection, path)
        database = Database(path, connection, noted, done)
        _compare(database, noted)
        undo.pop_all()
    return database


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def _bring_up_to_date(folder: Path, path: Path) -> None:
    """Migrate a database of an earlier version; LedgerBusy while another process has it open."""
    if not path.is_file() or _refuse_cut(path):
        return
    with contextlib.closing(_connect(str(path))) as connection:
        version = format_of(connection)
        if version not in MIGRATIONS:
            return
        alone = Presence.alone(folder)
        if alone is None:
            raise LedgerBusy(
                f"{path} has format {version} and is open in another process: end that one, "
                f"then the next command brings the ledger to format {FORMAT}"
            )
        try:
            migrate(connection)
        finally:
            alone.release()


def _refuse_cut(path: Path) -> bool:
    """Whether there is no database yet; LedgerCorrupt for less than a page of one."""
    size = path.stat().st_size if path.exists() else 0
    if 0 < size < _SMALLEST_BYTES:
        # SQLite would take it for an empty database and write over it.
        raise LedgerCorrupt(f"{path} is damaged: it was cut off; restore the folder from a backup")
    return size == 0


def _refuse_lost(path: Path, noted: Heads) -> None:
    """LedgerCorrupt for a database without tables where what belonged to it lies beside it."""
    last = max((head.seq for head in noted.read()), default=0)
    if last or Blobs(path.parent / "objects").any():
        what = f"{noted.path.name} names event {last}" if last else "blobs lie beside it"
        raise LedgerCorrupt(
            f"{path} is missing or empty but {what}, so the database was lost: "
            "restore the folder from a backup"
        )


def _compare(database: Database, noted: Heads) -> None:
    """LedgerCorrupt where the database does not reach to what was noted."""
    for said in noted_problems(database, noted):
        raise LedgerCorrupt(said)


def noted_problems(database: Database, noted: Heads) -> Iterator[str]:
    """What is wrong between the database and heads that were read before it, in sentences."""
    numbers = {head.seq for head in noted.read()}
    rows = database.rows(
        "SELECT seq, hash FROM events WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(numbers)),),
    )
    yield from noted.problems(database.last()[0], {int(seq): str(digest) for seq, digest in rows})


def _connect(address: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    # A damaged text must not end a listing; `verify` finds it.
    connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    if format_of(connection) == 0:
        failpoint("ledger.schema.before")
        connection.executescript(f"BEGIN IMMEDIATE; {schema()} PRAGMA user_version = {FORMAT};")
        failpoint("ledger.schema.made")
        connection.execute("COMMIT")
        failpoint("ledger.schema.after")
    _check_format(connection, path)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    version = format_of(connection)
    if version == 0:
        raise UsageError(
            f"{path} was begun and holds nothing yet: `guardedit submit` or `run` goes on with it"
        )
    if version != FORMAT:
        raise LedgerError(
            f"{path} has format {version}, this guardedit reads format {FORMAT}: "
            "use the version that wrote it, or another folder"
        )


def _beside_a_writer(folder: Path) -> tuple[sqlite3.Connection, Callable[[], None]] | None:
    """A read-only connection that follows a writer; None when there is none, or it cannot be had."""
    if presence := Presence.alone(folder):
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
    """A connection to a copy of the database and of what its log still holds."""
    with contextlib.ExitStack() as undo:
        private = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="guardedit-")))
        presence = Presence.alone(folder)
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
    names = (NAME, f"{NAME}-wal")
    for _ in range(_ATTEMPTS):
        before = _stamps(folder, names)
        for name in names:
            (private / name).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(folder / name, private / name)
        if _stamps(folder, names) == before:
            return
    raise LedgerBusy(f"{folder / NAME} changed whenever it was copied: ask again while less is written")


def _stamps(folder: Path, names: tuple[str, ...]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            stat = (folder / name).stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found
