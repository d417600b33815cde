"""Opens files named on the command line, and checks output paths before slow work begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from guardedit.cli.terminal.streams import standard_input
from guardedit.core.errors import SourceError, UsageError

#: Stands for standard input in place of a file.
STDIN = "-"


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """A file, or standard input for `-`, for reading bytes.

    Raises:
        SourceError: the file cannot be opened.
    """
    if file == STDIN:
        yield standard_input()
        return
    try:
        stream = open(file, "rb")  # noqa: SIM115, PTH123 - closed below; errors of the block are not ours
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {file}: {reason}; give a readable JSON Lines file, or -") from error
    with stream:
        yield stream


def read_whole(path: Path) -> bytes:
    """The content of a file, or of standard input for `-`.

    Raises:
        SourceError: standard input is closed.
        UsageError: the file cannot be read.
    """
    try:
        return standard_input().read() if str(path) == STDIN else path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; give a readable file") from error


def position_in(stream: BinaryIO) -> tuple[int, int | None]:
    """Bytes read so far and the size in bytes; (0, None) for a stream without a size, such as a pipe."""
    try:
        return stream.tell(), os.fstat(stream.fileno()).st_size or None
    except (OSError, ValueError):
        return 0, None


def check_picture(path: Path | None) -> None:
    """Check that a picture can be written to `path`.

    Raises:
        UsageError: its folder does not exist, it cannot be written, or matplotlib is not installed.
    """
    if path is None:
        return
    from guardedit.plotting import load_pyplot

    load_pyplot()
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the picture: create it first")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the picture cannot be written to {path}: name a file that can be written")


def check_output(option: str, path: Path | None) -> None:
    """Check that a file can be written to `path`, before work that takes long.

    Raises:
        UsageError: its folder does not exist, or it cannot be written.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {path.parent} for {option}: create it first")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"{option} {path} cannot be written: name a file that can be written")


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file") from error


def writable_folder(path: Path) -> Path:
    """The folder, created where it is missing.

    Raises:
        UsageError: it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create the folder {path} ({error.strerror}): name another one") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"the folder {path} cannot be written to: name another one")
    return path
