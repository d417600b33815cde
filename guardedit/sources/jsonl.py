"""JSON Lines from a file or standard input: one delivery a line, the bytes as they came.

Knows where a line ends and nothing about what it says; a line that is not JSON, not UTF-8 or far too
long is delivered like any other, so that it becomes a dead letter that holds its original bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from guardedit.core.errors import SourceError
from guardedit.core.protocols import Delivery
from guardedit.sources.list import ListSource
from guardedit.sources.position import numbered_position

#: A longer line is cut here. Far above what a correction may have, so only garbage is ever cut.
MAX_LINE_BYTES = 1 << 20


def read_lines(stream: BinaryIO, *, name: str, submission: str, source: str = "submit") -> Iterator[Delivery]:
    r"""One delivery per line that is not blank, without its `\n`, in order, as the stream yields them.

    The position is `name:line#tag`. The tag (see `numbered_position`) covers the submission and the
    line's bytes: a file submitted twice on purpose is heard twice, an interrupted submission repeated
    under its old name continues, and an edited line under the old name is new. Hashing the line and
    not the file lets standard input be delivered before it ends.

    Args:
        stream: opened for reading bytes.
        name: of the file, for people; `-` for standard input.
        submission: any text no other submission used, such as a UUID.
        source: recorded as the delivery's source.

    Raises:
        SourceError: when the stream cannot be read; content never raises.
    """
    for number in count(1):
        try:
            line, size_bytes = _read_line(stream)
        except OSError as error:
            raise SourceError(
                f"reading {name} stopped at line {number}: {error}; repair the file and submit it again"
            ) from error
        if not size_bytes:
            return
        raw = line.removesuffix(b"\n")
        if not raw.strip():
            continue
        position = numbered_position(f"{name}:{number}", raw, submission=submission)
        if size_bytes > len(line):
            position += f" (first {len(raw)} of {size_bytes} bytes)"
        yield Delivery(raw=raw, source=source, position=position)


def open_file(url: str) -> ListSource:
    """The lines of the file named by `file:path` or `file:///path`, read whole, as a source.

    Every opening counts as the same submission: after a restart the lines are redeliveries.

    Raises:
        SourceError: when the file cannot be read.
    """
    path = Path(unquote(url.removeprefix("file:").removeprefix("//localhost").removeprefix("//")))
    try:
        with path.open("rb") as stream:
            return ListSource(read_lines(stream, name=str(path), submission="", source="file"), name="file")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; give a readable JSON Lines file") from error


def _read_line(stream: BinaryIO) -> tuple[bytes, int]:
    """The next line, cut at the limit, and its whole size in bytes; zero at the end of the stream."""
    line = stream.readline(MAX_LINE_BYTES + 1)
    if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
        return line, len(line)
    size_bytes, rest = len(line), line
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(MAX_LINE_BYTES)
        size_bytes += len(rest)
    return line[:MAX_LINE_BYTES], size_bytes - rest.endswith(b"\n")
