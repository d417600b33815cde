"""Finds the folder of the model that GUARDEDIT_MODEL names. Needs no torch, unless a file is converted."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from guardedit.core.errors import ConflictError, UsageError
from guardedit.models.home.adding import add_model
from guardedit.models.home.downloads import DOWNLOADS
from guardedit.models.home.gguf_files import file_sha256, require_gguf
from guardedit.models.home.names import is_model_name, model_names
from guardedit.models.home.record import read_record

#: Digits of a digest in the name of a converted file.
DIGITS = 12


def find_model(model: str, models: Path) -> Path:
    """The folder of a model: a name in the models' home, else a folder, else a `.gguf` file.

    A file is converted when it is used for the first time, and found again by path, size and time of change.
    A name goes before a folder of the same name in the working folder; write `./NAME` for the folder.

    Raises:
        UsageError: there is no such model; lists the known ones.
    """
    if is_model_name(model) and (models / model).is_dir():
        return models / model
    path = Path(model)
    if path.is_dir():
        return path
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path.resolve(), models)
    if path.suffix == ".gguf" or not is_model_name(model):
        kind = "file" if path.suffix == ".gguf" else "folder"
        raise UsageError(f"{model} is not a model folder: there is no such {kind}{_known(models)}")
    command = f"guardedit model add {model if model in DOWNLOADS else 'smollm2|gemma3|FOLDER|FILE.gguf'}"
    raise UsageError(
        f"{model} is not a model folder: there is no such folder, and no such name{_known(models)}; "
        f"add it with `{command}`"
    )


def _known(models: Path) -> str:
    return f"; known names in {models}: {', '.join(model_names(models)) or 'none'}"


def _converted(file: Path, models: Path) -> Path:
    found = file.stat()
    stamp = (found.st_size, found.st_mtime_ns)
    for name in model_names(models):
        record = read_record(models / name) if name.startswith(file.stem[: _longest()]) else None
        if record and record.source == str(file) and tuple(record.source_stamp) == stamp:
            return models / name
    require_gguf(file)
    name = f"{file.stem[: _longest()]}-{_sha256(file, stamp)[:DIGITS]}"
    if not is_model_name(name):
        raise UsageError(
            f"{file.name} gives no usable name: add it with `guardedit model add {file} --name NAME`"
        )
    try:
        if not (models / name).is_dir():  # else: a copy or a moved file of the same bytes
            add_model(str(file), models, name=name, report=lambda *_: None)
    except ConflictError:  # another process was faster, with the same result
        pass
    return models / name


def _longest() -> int:
    """Most characters of a file's name in the name of its model."""
    return 64 - DIGITS - 1


@lru_cache(maxsize=16)
def _sha256(file: Path, _stamp: tuple[int, ...]) -> str:
    return file_sha256(file)
