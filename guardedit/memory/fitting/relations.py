"""Relations with hand-written wordings, from which the judge is trained. `relations/*.jsonl`, one a line.

In a text, `{}` stands for the subject and `{value}` for an answer. All sentences were written for this
project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from guardedit.core.errors import MemoryIndexError

#: The relations that come with the package.
FOLDER = Path(__file__).with_name("relations")

SUBJECT, VALUE = "{}", "{value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordedRelation:
    """One relation: how it is stated, asked for, and confused with others.

    Attributes:
        relation: its name, unique.
        kind: what a subject is, such as "company".
        value: what an answer is, such as "person".
        subjects: some subjects.
        values: some answers.
        statements: beginnings of a statement that an answer completes.
        asked: questions that the fact answers.
        search: keyword searches that it answers.
        yes_no: questions that it settles; each has `{value}`.
        continued: unfinished sentences that it completes, unlike the statements.
        translated: language code -> questions that it answers.
        other_time: questions for the relation at another time, which the fact does not answer.
        negated: questions for the opposite or an exception, which it does not answer.
        beside: other questions about the subject, near enough to be confused, which it does not answer.
    """

    relation: str
    kind: str
    value: str
    subjects: tuple[str, ...]
    values: tuple[str, ...]
    statements: tuple[str, ...]
    asked: tuple[str, ...]
    search: tuple[str, ...]
    yes_no: tuple[str, ...]
    continued: tuple[str, ...]
    other_time: tuple[str, ...]
    negated: tuple[str, ...]
    beside: tuple[str, ...]
    translated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def in_scope(self) -> Iterator[tuple[str, str]]:
        """(kind, text) of everything that asks for this relation."""
        for kind in ("asked", "search", "continued", "yes_no", "statements"):
            yield from ((kind, text) for text in getattr(self, kind))
        for texts in self.translated.values():
            yield from (("translated", text) for text in texts)

    def out_of_scope(self) -> Iterator[tuple[str, str]]:
        """(kind, text) of everything that names the subject and asks for something else."""
        for kind in ("other_time", "negated", "beside"):
            yield from ((kind, text) for text in getattr(self, kind))

    def texts(self) -> Iterator[str]:
        """Every text of the relation."""
        yield from (text for _, text in self.in_scope())
        yield from (text for _, text in self.out_of_scope())


def load_relations(folders: Sequence[Path] = (FOLDER,)) -> tuple[WordedRelation, ...]:
    """All relations of the folders' `*.jsonl` files, in the order of the folders, the files' names and lines.

    Raises:
        MemoryIndexError: a folder has no such file, or a line is wrong; the message names file and line.
    """
    found: dict[str, WordedRelation] = {}
    for path in (path for folder in folders for path in _files(folder)):
        for number, line in enumerate(_lines(path), start=1):
            try:
                relation = _relation(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise MemoryIndexError(f"relations {path}:{number}: {error}") from error
            if relation.relation in found:
                raise MemoryIndexError(f"relations {path}:{number}: {relation.relation!r} is there twice")
            found[relation.relation] = relation
    return tuple(found.values())


def _files(folder: Path) -> list[Path]:
    if files := sorted(folder.glob("*.jsonl")):
        return files
    raise MemoryIndexError(f"{folder} has no relations: give a folder of *.jsonl files, one relation a line")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MemoryIndexError(f"relations {path} cannot be read: {error}") from error


def _relation(row: Mapping[str, Any]) -> WordedRelation:
    known = {one.name for one in fields(WordedRelation)}
    if unknown := sorted(set(row) - known):
        raise ValueError(f"unknown field {unknown[0]!r}: the fields are {', '.join(sorted(known))}")
    texts = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    translated = {language: tuple(value) for language, value in row.get("translated", {}).items()}
    relation = WordedRelation(**{**row, **texts, "translated": translated})
    for text in relation.texts():
        if text.count(SUBJECT) != 1:
            raise ValueError(f"{text!r} must have {SUBJECT} exactly once")
    return relation
