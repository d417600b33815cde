"""Prints results: tables on a terminal, plain columns in a pipe, JSON for programs.

Texts from messages can contain any character. They are escaped here, so that they can neither move a
terminal's cursor nor look like a second line.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, TextIO

from guardedit.core.errors import GuardeditError

Row = Mapping[str, Any]
#: Zero-width non-joiner and joiner. Persian, Hindi, Sinhala and emoji need them, and they do no harm.
_JOINERS = frozenset("\u200c\u200d")


class OutputError(GuardeditError):
    """Raised when standard output cannot be written."""


class Output(StrEnum):
    """Values of `--output`."""

    TABLE = "table"
    JSON = "json"


def rows(items: Sequence[Row], columns: Sequence[str], output: Output, *, empty: str) -> None:
    """Print a list: as JSON every field of the items, as a table the named columns, or `empty`."""
    if output is Output.JSON:
        _print(_json(list(items), indent=2))
    elif not items:
        _print(empty)
    elif sys.stdout.isatty():
        _rich_table(items, columns)
    else:
        _print(_aligned(items, columns))


def record(fields: Row, output: Output) -> None:
    """Print one object: a line for each field. A field that is a list of rows is a table below its name."""
    _print(_json(fields, indent=2) if output is Output.JSON else as_text(fields))


def line(fields: Row, output: Output, text: str) -> None:
    """Print one line: the fields as JSON, or the text."""
    _print(_json(fields) if output is Output.JSON else printable(text))


def page(text: str) -> None:
    """Print a text with line breaks of its own."""
    _print(text.removesuffix("\n"))


def raw(content: bytes) -> None:
    """Print bytes unchanged."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(output_failed(error)) from error


def document(value: Any) -> str:
    """The content of a JSON file."""
    return _json(value, indent=2) + "\n"


def error(text: str) -> None:
    """Print an error on stderr. The lines of a longer message are kept."""
    _print_stderr("error: " + "\n".join(shortened(printable(line)) for line in text.splitlines() or [""]))


def warn(text: str) -> None:
    """Print a line on stderr."""
    _print_stderr(shortened(printable(text)))


def output_failed(error: OSError) -> str:
    """The message for an output that cannot be written."""
    return f"cannot write the output: {error.strerror or error}; redirect it elsewhere, or free space"


def shortened(text: str, most: int = 2_000) -> str:
    """A long line without its middle: a message keeps the problem at its start and the remedy at its end.

    >>> shortened("a" * 50 + " remedy", 20)
    'aaaaaaaaaa ... aaa remedy'
    """
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 2) :]}"


def moment(at_s: float | None) -> str | None:
    """Seconds since 1970 as RFC 3339 in UTC; the number itself outside the years 1 to 9999.

    >>> moment(0.0), moment(4e11)
    ('1970-01-01T00:00:00Z', '400000000000')
    """
    if at_s is None or not math.isfinite(at_s):
        return None
    try:
        at = datetime.fromtimestamp(at_s, tz=UTC)
    except (ValueError, OverflowError, OSError):  # outside the years 1 to 9999
        return f"{at_s:.15g}"
    return at.fromtimestamp(at_s, tz=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def printable(text: str) -> str:
    r"""The text with control, bidirectional and other unprintable characters as escapes.

    >>> print(printable("red \x1b[31m"))
    red \x1b[31m
    """
    return "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def as_text(fields: Row) -> str:
    """Aligned `name  value` lines. Values that are lists of mappings follow as tables."""
    tables = {name: value for name, value in fields.items() if _is_table(value)}
    plain = {name: value for name, value in fields.items() if name not in tables}
    width = max((len(name) for name in plain), default=0)
    lines = [f"{name:<{width}}  {cell(value)}".rstrip() for name, value in plain.items()]
    for name, items in tables.items():
        inner = _aligned(items, list(items[0]))
        lines += [name, *(f"  {text}" for text in inner.splitlines())]
    return "\n".join(lines)


def _aligned(items: Sequence[Row], columns: Sequence[str]) -> str:
    cells = [list(columns), *([cell(item.get(name)) for name in columns] for item in items)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _rich_table(items: Sequence[Row], columns: Sequence[str]) -> None:
    # Imported here: importing rich takes longer than a short command.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for item in items:
        table.add_row(*(Text(cell(item.get(name))) for name in columns))
    Console().print(table)


def cell(value: Any) -> str:
    """One value in a table: `-` for None or NaN, four digits of a number, a text made printable."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(str(name))} {cell(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return "; ".join(map(cell, value)) or "-"
    return printable(str(value))


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    """The value in types of JSON; NaN and infinities become null, bytes become text."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _print(text: str) -> None:
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(output_failed(error)) from error


def _print_stderr(text: str) -> None:
    with contextlib.suppress(OSError):  # a full or closed stderr leaves nowhere to report it
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    # File names may hold bytes that are not text, and a terminal may not support every character.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
