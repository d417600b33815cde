"""Handles standard streams that are closed, full, without a reader, or not UTF-8."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from typing import BinaryIO, TextIO

from guardedit.cli.terminal import show
from guardedit.core.errors import SourceError

#: Exit code when the reader of the output has gone: what a shell reports for a program ended by SIGPIPE.
READER_GONE = 141

#: For each stream: flags to open /dev/null with, and the file mode. stdin and stdout are opened the wrong way
#: round, so that using them fails as on a closed stream. A closed stderr cannot be reported, so writes to it
#: succeed.
_REPLACEMENTS = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def prepare() -> None:
    """Make all three streams usable, or let them fail when used. Call it before any file is opened.

    The descriptor of a closed stream is occupied. Otherwise the next file that is opened, perhaps the ledger,
    would get that descriptor, and everything printed would be written into the file. Characters that the
    terminal does not support become escapes.
    """
    for number, (name, flags, mode) in enumerate(_REPLACEMENTS):
        if getattr(sys, name) is None:
            _occupy(number, flags)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # replaced by a program that calls us
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def finish(code: int) -> int:
    """Flush both outputs; returns the exit code after that."""
    try:
        sys.stdout.flush()
    except OSError as error:
        gone = isinstance(error, BrokenPipeError)
        if not code and not gone:
            show.error(show.output_failed(error))
        code = code or (READER_GONE if gone else 1)
        _abandon(sys.stdout)
    try:
        sys.stderr.flush()
    except OSError:
        _abandon(sys.stderr)
    return code


def _abandon(stream: TextIO) -> None:
    """Discard the buffer: the interpreter would write it again at its end, and exit with its own code."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises:
        SourceError: it is closed, or open only for writing.
    """
    with contextlib.suppress(OSError):  # not a file, such as a buffer of a program that calls us
        if fcntl.fcntl(sys.stdin.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            raise SourceError("standard input is closed: name a file, or pipe lines into the command")
    return sys.stdin.buffer


def _occupy(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        handle = os.open(os.devnull, flags)
        if handle != number:
            os.dup2(handle, number)
            os.close(handle)
