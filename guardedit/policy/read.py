"""YAML 1.2 text to plain data, with the place of every key and value.

Reads the parser's events instead of composing a document, so that what a policy has no use for (anchors,
aliases, tags, directives, repeated keys) is refused where it stands, before anything is expanded. Plain
scalars follow the core schema of YAML 1.2.2, section 10.3.2: `no` is a text, `1e-3` a number, `0777` is
777. Knows nothing of policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

#: A policy is five levels deep; far beyond that the text is an attack or an accident.
MAX_DEPTH = 16

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong, where, and what to do about it."""

    place: Place
    path: Path
    message: str


@dataclass(slots=True)
class Reading:
    """Plain data and where its parts stand: `keys` where a key is written, `values` where its value is."""

    data: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _TooDeep(Exception):
    """Ends the reading; its problem is already noted."""


_INTEGERS: Final[tuple[tuple[re.Pattern[str], int], ...]] = (
    (re.compile(r"[-+]?[0-9]{1,18}"), 10),
    (re.compile(r"0o[0-7]{1,20}"), 8),
    (re.compile(r"0x[0-9a-fA-F]{1,15}"), 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")


def read_yaml(text: str) -> Reading:
    """Read one document. Problems are gathered, never raised; after a syntax error the data is None."""
    reading = Reading()
    try:
        _Builder(reading, iter(YAML(typ="safe", pure=True).parse(text))).document()
    except _TooDeep:
        reading.data = None
    except (YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode
        reading.data = None
        reading.problems.append(_syntax_problem(error))
    return reading


def _syntax_problem(error: Exception) -> Problem:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        return Problem(Place(mark.line + 1, mark.column + 1), (), f"not YAML: {said}")
    return Problem(Place(1, 1), (), f"not YAML: {str(error).splitlines()[0]}")


class _Builder:
    """One pass over the events."""

    def __init__(self, reading: Reading, events: Iterator[Any]) -> None:
        self.reading = reading
        self.events = events

    def document(self) -> None:
        documents = 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                self._directives(event)
                if documents > 1:
                    self._refuse(event, (), "a second document: a policy is one file with one document")
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent, ScalarEvent, AliasEvent)):
                value = self._value(event, ())
                if documents == 1:
                    self.reading.data = value
            elif not isinstance(event, (StreamStartEvent, StreamEndEvent)):
                continue

    def _directives(self, event: Any) -> None:
        if event.tags or (event.version and tuple(event.version) != (1, 2)):
            self._refuse(event, (), "directives are not read: a policy is YAML 1.2 without %YAML or %TAG")

    def _value(self, event: Any, path: Path) -> Any:
        self.reading.values.setdefault(path, _place(event))
        if len(path) > MAX_DEPTH:
            self._refuse(event, path[:2], f"nested deeper than {MAX_DEPTH} levels: a policy needs five")
            raise _TooDeep
        if isinstance(event, AliasEvent):
            self._refuse(event, path, f"alias *{event.anchor}: write the value out")
            return None
        if event.anchor:
            self._refuse(event, path, f"anchor &{event.anchor}: aliases are refused, so remove it")
        if event.tag:
            self._refuse(event, path, f"tag {event.tag}: values are read as they stand, so remove it")
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event, path)

    def _mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self._key(event, path)
            inner = (*path, key)
            again = key in found
            if again:
                first = self.reading.keys[inner]
                self._refuse(
                    event, inner, f"'{key}' is already given in line {first.line}: keep one of the two"
                )
            else:
                self.reading.keys[inner] = _place(event)
            value = self._value(next(self.events), inner)
            if not again:
                found[key] = value
        return found

    def _key(self, event: Any, path: Path) -> str:
        if isinstance(event, ScalarEvent):
            if event.anchor or event.tag:
                self._refuse(event, path, "a key with an anchor or a tag: remove it")
            return str(self._text(event, path))
        # Reading the odd key keeps the events in step; its content does not matter.
        self._value(event, path)
        self._refuse(event, path, "a key that is not a text: write `name: value`")
        return "?"

    def _sequence(self, path: Path) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return found

    def _scalar(self, event: Any, path: Path) -> Any:
        text = self._text(event, path)
        return text if event.style in ("'", '"', "|", ">") else _resolve(text)

    def _text(self, event: Any, path: Path) -> str:
        text: str = event.value
        for character in text:
            if 0xD800 <= ord(character) <= 0xDFFF or (ord(character) < 32 and character not in "\n\t"):
                self._refuse(event, path, f"holds the character U+{ord(character):04X}: remove it")
                return ""
        return text

    def _refuse(self, event: Any, path: Path, message: str) -> None:
        self.reading.problems.append(Problem(_place(event), path, message))


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str) -> Any:
    """A plain scalar's value; what fits no number stays a text."""
    words: dict[str, Any] = {
        "": None,
        "~": None,
        **dict.fromkeys(("null", "Null", "NULL")),
        **dict.fromkeys(("true", "True", "TRUE"), True),
        **dict.fromkeys(("false", "False", "FALSE"), False),
        **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    }
    if text in words:
        return words[text]
    for pattern, radix in _INTEGERS:
        if pattern.fullmatch(text):
            return int(text, radix)
    if found := _INFINITY.fullmatch(text):
        return float(f"{found[1]}inf")
    return float(text) if _FLOAT.fullmatch(text) else text
