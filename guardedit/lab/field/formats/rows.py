"""Reads the rows of a data set file, and their fields with errors that name file, row and field.

Does not know which fields a data set has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardedit.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class DataRow:
    """One object of a file, or one inside of it.

    Attributes:
        place: file and row, and the path of fields to an inner object.
        body: its fields.
    """

    place: str
    body: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that is a text with something in it.

        Raises:
            UsageError: it is missing or anything else.
        """
        value = self._value(name)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.place}: {name} must be a text, got {_shown(value)}")
        return value

    def optional_text(self, name: str) -> str:
        """A text, or "" where the field is missing, null or blank.

        Raises:
            UsageError: it is anything else.
        """
        value = self.body.get(name)
        return "" if value is None or value == "" else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of texts; empty where it is missing.

        Raises:
            UsageError: it is anything else.
        """
        value = self.body.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise UsageError(f"{self.place}: {name} must be a list of texts, got {_shown(value)}")
        return tuple(value)

    def inner(self, name: str) -> DataRow:
        """A field that is an object.

        Raises:
            UsageError: it is missing or anything else.
        """
        value = self._value(name)
        if not isinstance(value, dict):
            raise UsageError(f"{self.place}: {name} must be an object, got {_shown(value)}")
        return DataRow(f"{self.place}: {name}", value)

    def inner_rows(self, name: str) -> tuple[DataRow, ...]:
        """A field that is a list of objects.

        Raises:
            UsageError: it is missing or anything else.
        """
        value = self._value(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise UsageError(f"{self.place}: {name} must be a list of objects, got {_shown(value)}")
        return tuple(DataRow(f"{self.place}: {name} {n}", item) for n, item in enumerate(value, start=1))

    def name(self, number: int, *fields: str) -> str:
        """The first of these fields that the row has, as a name; else the row's number."""
        found = (self.body[field] for field in fields if self.body.get(field) is not None)
        return str(next(found, number))

    def _value(self, name: str) -> Any:
        if name not in self.body:
            raise UsageError(
                f"{self.place}: {name} is missing; the row has {', '.join(self.body) or 'no field'}"
            )
        return self.body[name]


def read_rows(path: Path) -> list[DataRow]:
    """The rows of a JSON list, or of JSON Lines.

    Raises:
        UsageError: the file cannot be read, has no rows, or a row is no object; names the row.
    """
    try:
        body = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; give a JSON list or JSON Lines") from error
    found = list(_list(path, body) if body.lstrip().startswith("[") else _lines(path, body))
    if not found:
        raise UsageError(f"{path} has no rows: give a JSON list or JSON Lines")
    return found


def _list(path: Path, body: str) -> Iterator[DataRow]:
    for number, value in enumerate(_parsed(str(path), body), start=1):
        yield _row(f"{path}: row {number}", value)


def _lines(path: Path, body: str) -> Iterator[DataRow]:
    # Split on "\n" only: `splitlines` also splits at U+2028, which JSON allows inside a text.
    for number, line in enumerate(body.split("\n"), start=1):
        if line.strip():
            yield _row(f"{path}: row {number}", _parsed(f"{path}: row {number}", line))


def _row(place: str, value: object) -> DataRow:
    if not isinstance(value, dict):
        raise UsageError(f"{place} must be an object, got {_shown(value)}")
    return DataRow(place, value)


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON: {error}") from error


def _shown(value: object) -> str:
    return f"{value!r:.80}"
