"""Parses YAML 1.2 text to plain data, with line and column of every key and value.

Works on the parser's events instead of a composed document, so that anchors, aliases, tags, directives and
repeated keys, which a policy does not need, are refused at their place before anything is expanded. Plain
scalars follow the core schema of YAML 1.2.2, section 10.3.2: `no` is a text, `1e-3` a number, `0777` is
777.
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

#: A policy is five levels deep. A text that is much deeper is an attack or a mistake.
MAX_DEPTH = 16

#: Keys and indices from the root of a document: `("rules", 2, "why")`.
KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """A mistake: where it is, and a message with the remedy."""

    place: Place
    path: KeyPath
    message: str


@dataclass(slots=True)
class ParsedYaml:
    """Plain data, with the places of its keys and of its values, and the problems found."""

    data: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _TooDeep(Exception):
    """Ends the parsing; its problem is already recorded."""


_INTEGERS: Final[tuple[tuple[re.Pattern[str], int], ...]] = (
    (re.compile(r"[-+]?[0-9]{1,18}"), 10),
    (re.compile(r"0o[0-7]{1,20}"), 8),
    (re.compile(r"0x[0-9a-fA-F]{1,15}"), 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")


def read_yaml(text: str) -> ParsedYaml:
    """Parse one document. Problems are collected, never raised; after a syntax error the data is None."""
    parsed = ParsedYaml()
    try:
        _Builder(parsed, iter(YAML(typ="safe", pure=True).parse(text))).document()
    except _TooDeep:
        parsed.data = None
    except (YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode
        parsed.data = None
        parsed.problems.append(_syntax_problem(error))
    return parsed


def _syntax_problem(error: Exception) -> Problem:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        return Problem(Place(mark.line + 1, mark.column + 1), (), f"not YAML: {message}")
    return Problem(Place(1, 1), (), f"not YAML: {str(error).splitlines()[0]}")


class _Builder:
    """Builds plain data in one pass over the parser's events."""

    def __init__(self, parsed: ParsedYaml, events: Iterator[Any]) -> None:
        self.parsed = parsed
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
                    self.parsed.data = value
            elif not isinstance(event, (StreamStartEvent, StreamEndEvent)):
                continue

    def _directives(self, event: Any) -> None:
        if event.tags or (event.version and tuple(event.version) != (1, 2)):
            self._refuse(event, (), "directives are not supported: remove %YAML and %TAG")

    def _value(self, event: Any, path: KeyPath) -> Any:
        self.parsed.values.setdefault(path, _place(event))
        if len(path) > MAX_DEPTH:
            self._refuse(event, path[:2], f"nested deeper than {MAX_DEPTH} levels: a policy needs five")
            raise _TooDeep
        if isinstance(event, AliasEvent):
            self._refuse(event, path, f"alias *{event.anchor}: write the value itself")
            return None
        if event.anchor:
            self._refuse(event, path, f"anchor &{event.anchor}: aliases are not supported, so remove it")
        if event.tag:
            self._refuse(event, path, f"tag {event.tag}: tags are not supported, so remove it")
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event, path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self._key(event, path)
            inner = (*path, key)
            repeated = key in found
            if repeated:
                first = self.parsed.keys[inner]
                self._refuse(
                    event, inner, f"'{key}' is already given in line {first.line}: keep one of the two"
                )
            else:
                self.parsed.keys[inner] = _place(event)
            value = self._value(next(self.events), inner)
            if not repeated:
                found[key] = value
        return found

    def _key(self, event: Any, path: KeyPath) -> str:
        if isinstance(event, ScalarEvent):
            if event.anchor or event.tag:
                self._refuse(event, path, "a key with an anchor or a tag: remove it")
            return str(self._text(event, path))
        # The events of the key have to be consumed; its content does not matter.
        self._value(event, path)
        self._refuse(event, path, "a key that is not a text: write `name: value`")
        return "?"

    def _sequence(self, path: KeyPath) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return found

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text = self._text(event, path)
        return text if event.style in ("'", '"', "|", ">") else _resolve(text)

    def _text(self, event: Any, path: KeyPath) -> str:
        text: str = event.value
        for character in text:
            if 0xD800 <= ord(character) <= 0xDFFF or (ord(character) < 32 and character not in "\n\t"):
                self._refuse(event, path, f"contains the character U+{ord(character):04X}: remove it")
                return ""
        return text

    def _refuse(self, event: Any, path: KeyPath, message: str) -> None:
        self.parsed.problems.append(Problem(_place(event), path, message))


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str) -> Any:
    """The value of a plain scalar; a text when it is no other type."""
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
