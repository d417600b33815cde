"""One file replaced by another: who reads it, also after a crash, finds the old one or the new one.

Knows no format. Blobs of the ledger have their own way, since many are made durable together.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from guardedit.core.errors import StorageFull
from guardedit.core.failpoints import failpoint


def replace_file(path: Path, body: bytes, *, step: str) -> None:
    """Write aside, sync, rename, sync the folder; folders are made where they are missing.

    Args:
        path: the file.
        body: all of it.
        step: names the failpoints: `STEP.write-half`, `STEP.fsync`, `STEP.rename`, `STEP.dirsync`.

    Raises:
        StorageFull: when the disk refuses; the old file is still there.
    """
    # One name a process: two that make the same file at once do not write into each other's.
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(aside, body, step=step)
            failpoint(f"{step}.rename")
            aside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        failpoint(f"{step}.dirsync")
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageFull(f"cannot write {path}: {error}; free some space or name another folder") from error


def _write(aside: Path, body: bytes, *, step: str) -> None:
    half = len(body) // 2
    with aside.open("wb") as file:
        file.write(body[:half])
        file.flush()
        failpoint(f"{step}.write-half")
        file.write(body[half:])
        file.flush()
        failpoint(f"{step}.fsync")
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A rename is durable only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
