"""Read the file of a probe set: texts, and questions whose answers the base model knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from guardedit.core.errors import GuardError


@dataclass(frozen=True, slots=True, order=True)
class KnownQuestion:
    """A question that the base model answers correctly.

    Attributes:
        subject: what it is about.
        relation: what it asks about the subject.
        prompt: what a person asks; it names the subject and does not have the answer.
        answer: the answer.
        lead: what the model says before the answer, such as "The capital of France is"; "" where it begins
            with the answer.
    """

    subject: str
    relation: str
    prompt: str
    answer: str
    lead: str = ""


_OPTIONAL = frozenset({"lead"})
_FIELDS = tuple(item.name for item in fields(KnownQuestion) if item.name not in _OPTIONAL)


def read_catalogue(path: Path) -> tuple[tuple[str, ...], tuple[KnownQuestion, ...]]:
    """Texts and questions of a probe set file.

    `.jsonl`: one object per line, `{"text": ...}` or a question with `subject`, `relation`, `prompt`,
    `answer` and maybe `lead`. Any other name: one JSON object `{"texts": [...], "questions": [...]}`.

    Raises:
        GuardError: the file cannot be read, or a row has another form; the message names file and row.
    """
    try:
        body = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GuardError(f"cannot read the probe set {path}: {error}") from error
    rows = _json_lines(path, body) if path.suffix == ".jsonl" else _json_object(path, body)
    texts: list[str] = []
    questions: list[KnownQuestion] = []
    for place, row in rows:
        if isinstance(row, dict) and set(row) == {"text"}:
            texts.append(_text(row["text"], f"{place}: text"))
        else:
            questions.append(_question(row, place))
    _refuse_contradictions(questions, path)
    return tuple(texts), tuple(questions)


def _json_lines(path: Path, body: str) -> Iterator[tuple[str, Any]]:
    # Split on "\n" only: `splitlines` also splits at U+2028, which JSON allows inside a text.
    for number, line in enumerate(body.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", _parse(line, f"{path}:{number}")


def _json_object(path: Path, body: str) -> Iterator[tuple[str, Any]]:
    whole = _parse(body, str(path))
    if not isinstance(whole, dict) or not set(whole) <= {"texts", "questions"}:
        raise GuardError(f'{path}: expected an object with the keys "texts" and "questions"')
    for name in ("texts", "questions"):
        rows = whole.get(name, [])
        if not isinstance(rows, list):
            raise GuardError(f"{path}: {name} must be a list, got {rows!r:.80}")
        for number, row in enumerate(rows, start=1):
            yield f"{path}: {name} {number}", {"text": row} if name == "texts" else row


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GuardError(f"{place}: not JSON: {error}") from error


def _question(row: object, place: str) -> KnownQuestion:
    if not isinstance(row, dict) or set(row) - _OPTIONAL != set(_FIELDS):
        raise GuardError(
            f"{place}: a question has exactly {', '.join(_FIELDS)}, and maybe lead; got {row!r:.120}"
        )
    lead = row.get("lead", "")
    if not isinstance(lead, str):
        raise GuardError(f"{place}: lead must be a text, got {lead!r:.80}")
    return KnownQuestion(**{name: _text(row[name], f"{place}: {name}") for name in _FIELDS}, lead=lead)


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise GuardError(f"{place} must be a non-empty text, got {value!r:.80}")
    return value


def _refuse_contradictions(questions: Iterable[KnownQuestion], path: Path) -> None:
    answers: dict[str, str] = {}
    for question in questions:
        other = answers.setdefault(question.prompt, question.answer)
        if other != question.answer:
            raise GuardError(
                f"{path}: {question.prompt!r} has two answers, {other!r} and {question.answer!r}: keep one"
            )
