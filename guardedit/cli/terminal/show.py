"""How results look: tables for people, JSON for programs, and plain columns where nobody looks.

Texts that came with a message can hold anything; here they can neither move a terminal's cursor nor forge a
second line. Knows no command and no record.
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
#: Zero-width non-joiner and joiner: text in Persian, Hindi, Sinhala and emoji, and harmless anywhere.
_JOINERS = frozenset("\u200c\u200d")


class OutputError(GuardeditError):
    """Raised when standard output takes nothing any more."""


class Output(StrEnum):
    """What `--output` may be."""

    TABLE = "table"
    JSON = "json"


def rows(items: Sequence[Row], columns: Sequence[str], output: Output, *, empty: str) -> None:
    """A list. JSON holds every field of the items, a table the named columns."""
    if output is Output.JSON:
        _print(_json(list(items), indent=2))
    elif not items:
        _print(empty)
    elif sys.stdout.isatty():
        _rich_table(items, columns)
    else:
        _print(_aligned(items, columns))


def record(fields: Row, output: Output) -> None:
    """One thing: a line for each field; a field that is a list of rows is a table below its name."""
    _print(_json(fields, indent=2) if output is Output.JSON else as_text(fields))


def line(fields: Row, output: Output, text: str) -> None:
    """One line of news: the fields for programs, the text for people."""
    _print(_json(fields) if output is Output.JSON else printable(text))


def page(text: str) -> None:
    """A text that has its own line ends."""
    _print(text.removesuffix("\n"))


def raw(content: bytes) -> None:
    """Bytes as they came."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(unwritten(error)) from error


def document(value: Any) -> str:
    """A whole JSON file."""
    return _json(value, indent=2) + "\n"


def complain(text: str) -> None:
    """The error line. A message of several lines keeps them."""
    _say("error: " + "\n".join(shortened(printable(line)) for line in text.splitlines() or [""]))


def warn(text: str) -> None:
    """A line that is no result, on stderr."""
    _say(shortened(printable(text)))


def unwritten(error: OSError) -> str:
    """The sentence for an output that takes nothing any more."""
    return f"the output cannot be written: {error.strerror or error}; give it another place, or free space"


def shortened(text: str, most: int = 2_000) -> str:
    """A long line without its middle: what is wrong stands in front, the remedy at the end.

    >>> shortened("a" * 50 + " remedy", 20)
    'aaaaaaaaaa ... aaa remedy'
    """
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 2) :]}"


def moment(at_s: float | None) -> str | None:
    """Seconds since 1970 as RFC 3339 in UTC; as the number where no calendar has it.

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
    r"""Control, bidi and other unprintable characters as escapes.

    >>> print(printable("red \x1b[31m"))
    red \x1b[31m
    """
    return "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def as_text(fields: Row) -> str:
    """Aligned `name  value` lines; tables, whose rows are mappings, come last."""
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
    # Only here: importing rich costs more than a short command.
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
    """One value in a table: `-` where there is none, numbers short, texts safe to print."""
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
    """What JSON can say: no NaN, no infinity, no bytes."""
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
        raise OutputError(unwritten(error)) from error


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a full or closed stderr: there is nobody else to tell
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    # Names of files may hold bytes that are no text; a terminal may not know every letter.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
