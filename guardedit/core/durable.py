"""Replaces files so that they survive a crash: the whole content at once, with the name synced to disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from guardedit.core.errors import StorageFull
from guardedit.core.failpoints import failpoint


def replace_file(path: Path, body: bytes, *, step: str) -> None:
    """Replace a file atomically: a reader, also after a crash, finds the old content or the new one.

    Writes a temporary file beside it, syncs, renames, and syncs the folder. Missing folders are created.

    Args:
        path: the file.
        body: its whole content.
        step: names the failpoints: `STEP.write-half`, `STEP.fsync`, `STEP.rename`, `STEP.dirsync`.

    Raises:
        StorageFull: the disk refuses to write; the old file is intact.
    """
    # The process id keeps two processes that write the same file at once from sharing a temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(temporary, body, step=step)
            failpoint(f"{step}.rename")
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        failpoint(f"{step}.dirsync")
        sync_folder(path.parent)
    except OSError as error:
        raise StorageFull(f"cannot write {path}: {error}; free some space or name another folder") from error


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk: a new file or a rename in it is durable only then."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(temporary: Path, body: bytes, *, step: str) -> None:
    half = len(body) // 2
    with temporary.open("wb") as file:
        file.write(body[:half])
        file.flush()
        failpoint(f"{step}.write-half")
        file.write(body[half:])
        file.flush()
        failpoint(f"{step}.fsync")
        os.fsync(file.fileno())
