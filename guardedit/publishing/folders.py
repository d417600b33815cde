"""Folders that take their name only when they are complete and on the disk, and lose it before they go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guardedit.core.durable import sync_folder
from guardedit.core.errors import PublishError
from guardedit.core.failpoints import failpoint
from guardedit.publishing.bundle import Bundle, read_bundle


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise errors of the operating system in the block as PublishError, also those of safetensors."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise PublishError(f"{what}: {said}; check the path, its rights and space") from error


@contextmanager
def placing(target: Path) -> Iterator[Path]:
    """A folder to write files into. After the block it is synced and takes the place of `target`.

    A reader, also after a crash, finds the folder that was there before, none, or the whole new one. What an
    earlier try left half written is deleted first.
    """
    part = _beside(target, "part")
    with translated(f"cannot write {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    with translated(f"cannot write {target}"):
        yield part
    with translated(f"cannot write {target}"):
        for path in part.iterdir():
            _sync_file(path)
        sync_folder(part)
        failpoint("publish.folder.rename")
        _delete(target)
        part.rename(target)
        sync_folder(target.parent)


def place(bundle: Bundle, target: Path) -> None:
    """Copy a bundle to `target`, unless exactly this bundle is there."""
    with suppress(PublishError):
        if target.is_dir() and read_bundle(target).manifest_sha256 == bundle.manifest_sha256:
            return
    with placing(target) as part, translated(f"cannot copy {bundle.folder} to {target}"):
        for path in sorted(bundle.folder.iterdir()):
            shutil.copyfile(path, part / path.name)
            failpoint("publish.folder.copied")


def discard(target: Path) -> None:
    """Delete a folder and what was left half written of it. Safe to repeat.

    The folder loses its name first, so that no reader finds a part of it.
    """
    with translated(f"cannot delete {target}"):
        shutil.rmtree(_beside(target, "part"), ignore_errors=True)
        _delete(target)


def _delete(target: Path) -> None:
    gone = _beside(target, "gone")
    shutil.rmtree(gone, ignore_errors=True)
    if target.exists():
        target.rename(gone)
        sync_folder(target.parent)
        failpoint("publish.folder.renamed")
        shutil.rmtree(gone)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{ending}")


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
