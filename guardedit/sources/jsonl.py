"""Reads JSON Lines from a file or standard input: one delivery per line, with its bytes unchanged.

A line that is not JSON, not UTF-8 or far too long is delivered like any other, so that it becomes a dead
letter with its original bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from guardedit.core.errors import SourceError
from guardedit.core.messages import Delivery
from guardedit.core.wire import split_messages
from guardedit.sources.list import ListSource
from guardedit.sources.position import numbered_position, positioned_messages

#: A longer line is cut to this length. Corrections are far shorter, so only invalid lines are ever cut.
MAX_LINE_BYTES = 1 << 20
#: A JSON array is read whole up to this size, on one line or on many.
MAX_ARRAY_BYTES = 1 << 26

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(stream: BinaryIO, *, name: str, submission: str, source: str = "submit") -> Iterator[Delivery]:
    r"""Yield one delivery for each line that is not blank, without its `\n`, while the stream is being read.

    A JSON array is read as its elements: an array on one line, and an array on many lines that is the whole
    stream. A byte-order mark at the beginning is skipped.

    The position is `name:line#tag`, for elements of an array `name:line[n]#tag`; lines and elements count
    from 1. The tag (see `numbered_position`) covers the submission and the message's bytes. So a file that is
    submitted twice on purpose is processed twice, an interrupted submission can be repeated under its old
    name and continues, and an edited line under the old name is new. Because each line is hashed by itself,
    lines of standard input are delivered before it ends.

    Args:
        stream: opened for reading bytes.
        name: name of the file, for messages; `-` for standard input.
        submission: any text that no other submission used, such as a UUID.
        source: recorded as the delivery's source.

    Raises:
        SourceError: the stream cannot be read. Content never raises.
    """
    number = 0
    try:
        for number, raw, size_bytes in _lines(stream):
            note = f" (first {len(raw)} of {size_bytes} bytes)" if size_bytes > len(raw) else ""
            for place, message in positioned_messages(f"{name}:{number}", raw):
                position = numbered_position(place, message, submission=submission) + note
                yield Delivery(raw=message, source=source, position=position)
    except OSError as error:
        raise SourceError(
            f"reading {name} stopped at line {number + 1}: {error}; repair the file and submit it again"
        ) from error


def open_file(url: str) -> ListSource:
    """A source with the lines of the file `file:path` or `file:///path`, which is read whole.

    Opening the file again counts as the same submission: after a restart the lines are redeliveries.

    Raises:
        SourceError: the file cannot be read.
    """
    path = Path(unquote(url.removeprefix("file:").removeprefix("//localhost").removeprefix("//")))
    try:
        with path.open("rb") as stream:
            return ListSource(read_lines(stream, name=str(path), submission="", source="file"), name="file")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; give a readable JSON Lines file") from error


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """(number, bytes, size) of each line, or of the array that is the whole stream."""
    numbered = _numbered(stream)
    for number, raw, size_bytes in numbered:
        if size_bytes == len(raw) and _opens_array(raw):
            yield from _array(stream, number, raw)
        else:
            yield number, raw, size_bytes
        break  # only an array that starts on the first line can be the whole stream
    yield from numbered


def _numbered(stream: BinaryIO, first: int = 1) -> Iterator[tuple[int, bytes, int]]:
    """(number, bytes, size) of lines that are not blank, without line ends; the size is before a cut."""
    for number in count(first):
        line = stream.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        raw, cut_bytes = _rest(stream, line)
        mark = len(_BYTE_ORDER_MARK) if number == 1 and raw.startswith(_BYTE_ORDER_MARK) else 0
        if raw[mark:].strip():
            yield number, raw[mark:], len(raw) - mark + cut_bytes


def _array(stream: BinaryIO, number: int, raw: bytes) -> Iterator[tuple[int, bytes, int]]:
    whole = raw + b"\n" + stream.read(MAX_ARRAY_BYTES)
    if split_messages(whole) != [whole]:
        yield number, whole, len(whole)
    else:  # not an array after all
        yield from _numbered(io.BytesIO(whole), number)


def _opens_array(raw: bytes) -> bool:
    """Whether the line starts an array that does not end on it."""
    if not raw.lstrip().startswith(b"["):
        return False
    try:
        json.loads(raw, parse_int=str)
    except (ValueError, RecursionError):
        return True
    return False


def _rest(stream: BinaryIO, line: bytes) -> tuple[bytes, int]:
    """The whole line without its end, cut if it is too long, and the number of bytes that were cut off."""
    if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
        return line.removesuffix(b"\n"), 0
    if line.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"["):
        line += stream.readline(MAX_ARRAY_BYTES)
        if split_messages(line) != [line]:
            return line, 0
        if line.endswith(b"\n"):
            return line[:MAX_LINE_BYTES], len(line) - 1 - MAX_LINE_BYTES
    return line[:MAX_LINE_BYTES], len(line) - MAX_LINE_BYTES + _skipped(stream)


def _skipped(stream: BinaryIO) -> int:
    """Read to the end of the line; returns the number of bytes before it."""
    size_bytes, part = 0, b""
    while not part.endswith(b"\n"):
        part = stream.readline(MAX_LINE_BYTES)
        if not part:
            return size_bytes
        size_bytes += len(part)
    return size_bytes - 1
