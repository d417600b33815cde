"""Writes one structured log line per event to a stream, with the id of the correction.

Text from messages is shortened and escaped, so that it can neither forge a second line nor control a
terminal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from guardedit.core.protocols import Clock, Event
from guardedit.core.verdict import Verdict

#: Longest text in a line, in characters.
MAX_TEXT = 500
#: Most items of a list in a line.
MAX_ITEMS = 50

#: Kinds that are logged as warnings.
WARNINGS = frozenset({"dead_lettered", "rolled_back", "breach"})
#: Kinds that are logged at level debug: they occur with every question or turn, not with every correction.
DETAILS = frozenset({"memory_lookup", "lag", "capacity", "stage"})

#: Keys of every line. A field with one of these names gets a trailing underscore.
_RESERVED = ("time", "level", "event", "correction")


def configure_logging(
    json: bool,  # noqa: FBT001 - the only switch, passed by name
    stream: TextIO,
    *,
    verbose: bool = False,
    clock: Clock = time.time,
) -> None:
    """Send structlog's lines to `stream`, as JSON objects or as aligned text.

    Call it once, when the process starts. Without `verbose`, lines of level debug are dropped.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _Timestamp(clock),
            _plain_values,
            *_tail(json=json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("debug" if verbose else "info"),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


class LogObserver:
    """An `Observer` that writes one line per event, to the stream of `configure_logging`."""

    def __call__(self, event: Event) -> None:
        """Write the line."""
        log = structlog.get_logger("guardedit")
        if event.correction_id:
            log = log.bind(correction=event.correction_id)
        fields = {f"{name}_" if name in _RESERVED else name: value for name, value in event.fields.items()}
        getattr(log, level(event.kind))(event.kind, **fields)


def level(kind: str) -> str:
    """The log level of an event kind.

    >>> level("breach"), level("settled"), level("memory_lookup"), level("error")
    ('warning', 'info', 'debug', 'error')
    """
    if kind == "error":
        return "error"
    if kind in WARNINGS:
        return "warning"
    return "debug" if kind in DETAILS else "info"


def plain(value: Any) -> Any:
    """The value as bools, finite numbers, short strings, and lists and mappings of these.

    NaN and infinity become None: JSON does not have them, and readers drop such a line.

    >>> plain({"ratio": float("nan"), "facts": ("a", "b")})
    {'ratio': None, 'facts': ['a', 'b']}
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return _plain_collection(value)


def _plain_collection(value: Any) -> Any:
    if isinstance(value, Verdict):
        value = {"outcome": value.outcome, "reason": value.reason, "gates": value.gates}
    if isinstance(value, Mapping):
        return {_cut(str(key)): plain(item) for key, item in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        items = [plain(item) for item in list(value)[:MAX_ITEMS]]
        return items if len(value) <= MAX_ITEMS else [*items, f"and {len(value) - MAX_ITEMS} more"]
    return _cut(str(value))  # a Gate becomes `name value > limit`


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def printable(value: Any) -> Any:
    r"""The value with control, bidi and other unprintable characters of texts as escape sequences.

    >>> print(printable("red \x1b[31m"))
    red \x1b[31m
    """
    if isinstance(value, str):
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    if isinstance(value, Mapping):
        return {printable(name): printable(item) for name, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def _tail(*, json: bool) -> list[Processor]:
    if json:
        # json.dumps escapes every character that is not ASCII.
        return [structlog.processors.JSONRenderer()]
    return [
        lambda _logger, _method, line: printable(line),
        structlog.dev.ConsoleRenderer(colors=False, timestamp_key="time", sort_keys=False),
    ]


def _plain_values(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    ordered = {name: line[name] for name in _RESERVED if name in line} | dict(line)
    return {name: plain(value) for name, value in ordered.items()}


@dataclass(frozen=True, slots=True)
class _Timestamp:
    clock: Clock

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        now = datetime.fromtimestamp(self.clock(), tz=UTC)
        line["time"] = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return line
