"""The three standard streams as a process may find them: closed, full, without a reader, not UTF-8.

Knows file descriptors and nothing of commands.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from typing import BinaryIO, TextIO

from guardedit.cli.terminal import show
from guardedit.core.errors import SourceError

#: As a shell says it of a program that SIGPIPE ended: the reader of the output is gone, nothing went wrong.
READER_GONE = 141

#: Of each stream: a way to open /dev/null in which using it fails as it does when closed. Nobody can be told
#: that stderr is closed, so that one just swallows.
_WAYS = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def prepare() -> None:
    """Make all three streams usable, or fail when used; before any file is opened.

    A descriptor that is closed is taken, else the next file that is opened, perhaps the ledger, gets its
    number and everything that is printed. Letters that the terminal does not know become escapes.
    """
    for number, (name, way, mode) in enumerate(_WAYS):
        if getattr(sys, name) is None:
            _occupy(number, way)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # put in place by a program that runs us
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def finish(code: int) -> int:
    """Write what still waits; the exit code after that."""
    try:
        sys.stdout.flush()
    except OSError as error:
        gone = isinstance(error, BrokenPipeError)
        if not code and not gone:
            show.complain(show.unwritten(error))
        code = code or (READER_GONE if gone else 1)
        _abandon(sys.stdout)
    try:
        sys.stderr.flush()
    except OSError:
        _abandon(sys.stderr)
    return code


def _abandon(stream: TextIO) -> None:
    """Else the interpreter writes the rest once more at its end, and fails for it with a code of its own."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises:
        SourceError: it is closed, or open for writing only.
    """
    with contextlib.suppress(OSError):  # no file at all, such as a buffer of a program that runs us
        if fcntl.fcntl(sys.stdin.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            raise SourceError("standard input is closed: name a file, or pipe the lines into it")
    return sys.stdin.buffer


def _occupy(number: int, way: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        handle = os.open(os.devnull, way)
        if handle != number:
            os.dup2(handle, number)
            os.close(handle)
