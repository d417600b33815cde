"""The models' home: one folder for each model, under the model's name. Needs no torch.

Names that begin with a full stop are folders that are being made, or were left by a process that was killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guardedit.core.durable import sync_folder
from guardedit.core.errors import ConflictError, StorageFull, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.[^.]+\.part")
#: Ending of the file beside an unfinished folder that is locked by the process that fills it.
_LOCK = ".lock"


def is_model_name(text: str) -> bool:
    """Whether a text can be the name of a model: no path, and nothing that a shell or a URL would read.

    >>> is_model_name("smollm2"), is_model_name("../x"), is_model_name(".hidden"), is_model_name("a b")
    (True, False, False, False)
    """
    return _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """The text, if it can be the name of a model; else UsageError."""
    if not is_model_name(text):
        raise UsageError(
            f"{text!r} cannot be the name of a model: use up to 64 letters, digits and . _ -, "
            "beginning with a letter or digit, and name it with --name"
        )
    return text


def model_names(models: Path) -> list[str]:
    """Names of the models in the models' home, sorted."""
    try:
        return sorted(path.name for path in models.iterdir() if path.is_dir() and is_model_name(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def new_model(models: Path, name: str) -> Iterator[Path]:
    """An empty folder, which gets the model's name at the end of the block.

    If the block fails, or the process is killed, there is no folder of that name.

    Raises:
        UsageError: there is a model of this name.
        ConflictError: another process has added one meanwhile.
        StorageFull: the folder cannot be written.
    """
    final = models / checked_name(name)
    refuse_taken(models, name)
    building = models / f".{name}.{uuid.uuid4().hex}.part"
    try:
        models.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(models, name)
        building.mkdir()
        lock = _try_lock(building)
    except OSError as error:
        raise StorageFull(
            f"cannot write to the models' home {models}: {error}; name another in GUARDEDIT_MODELS"
        ) from error
    try:
        yield building
        try:
            building.rename(final)
        except OSError as error:
            raise ConflictError(f"another process has added {final} meanwhile; use that one") from error
        sync_folder(models)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if lock is not None:
            _unlock(building, lock)


def refuse_taken(models: Path, name: str) -> None:
    """Raise UsageError if there is a model of this name. Call this before any slow work."""
    if (models / name).exists():
        raise UsageError(
            f"there is a model {name!r} in {models}: use it, name another with --name, or remove that folder"
        )


def _remove_unfinished(models: Path, name: str) -> None:
    """Remove what killed processes have left of a model of this name."""
    for path in models.glob(f".{name}.*.part"):
        found = _UNFINISHED.fullmatch(path.name)
        if found and found["name"] == name and (lock := _try_lock(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            _unlock(path, lock)


def _try_lock(folder: Path) -> int | None:
    """A handle that locks an unfinished folder; None while another process has it.

    A lock, and not the number of the process: containers that share a models' home have equal numbers.
    """
    try:
        handle = os.open(folder.with_suffix(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _unlock(folder: Path, handle: int) -> None:
    folder.with_suffix(_LOCK).unlink(missing_ok=True)
    os.close(handle)
