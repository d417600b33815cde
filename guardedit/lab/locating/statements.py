"""Reads and tokenizes the facts to trace, and checks whether the model answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from guardedit.core.errors import MalformedCorrection, UsageError
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import IGNORED, batch, subject_tokens
from guardedit.naming import Span, last_span


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A fact that a model may know.

    Attributes:
        prompt: contains the subject and ends where the answer begins.
        subject: as it is written in the prompt.
        answer: the answer, without a leading space.
        at: characters [start, end) of the subject in `prompt`; None: searched for.
    """

    prompt: str
    subject: str
    answer: str
    at: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedStatement:
    """A statement as the model reads it.

    Attributes:
        statement: the texts.
        ids: tokens of the prompt.
        subject: indices of the subject's tokens among them.
        target: the first token of the answer. The trace measures its probability at the end of the prompt.
        answer: all tokens of the answer.
    """

    statement: Statement
    ids: tuple[int, ...]
    subject: range
    target: int
    answer: tuple[int, ...]


def read_statements(path: Path) -> tuple[Statement, ...]:
    """Read a JSON Lines file of objects with `prompt`, `subject` and `answer`. Other keys are ignored.

    A prompt contains the subject, or `{}` in its place.

    Raises:
        UsageError: when the file cannot be read, is empty, or a line is not such an object; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the facts in {path}: {error}; give a JSON Lines file") from error
    found = tuple(
        _statement(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()
    )
    if not found:
        raise UsageError(
            f'{path} contains no facts: write one object {{"prompt", "subject", "answer"}} per line'
        )
    return found


def tokenize(host: ModelHost, statements: Sequence[Statement]) -> list[TokenizedStatement]:
    """Tokenize each prompt together with its answer.

    Raises:
        MalformedCorrection: when a text is longer than the context, or an answer has no token of its own.
        SubjectNotFound: when a prompt's tokens do not contain the subject.
    """
    if not statements:
        return []
    read = batch(
        host.tokenizer, [s.prompt for s in statements], [s.answer for s in statements], context=host.context
    )
    found = []
    for statement, row, length, start in zip(
        statements, read.ids.tolist(), read.lengths.tolist(), read.answer_starts.tolist(), strict=True
    ):
        subject = subject_tokens(host.tokenizer, statement.prompt, statement.subject, statement.at)
        if subject[-1] >= start:
            raise MalformedCorrection(
                f"the tokenizer joins the answer {statement.answer!r} to the subject in "
                f"{statement.prompt!r:.200}: put words between them"
            )
        found.append(
            TokenizedStatement(
                statement=statement,
                ids=tuple(row[:start]),
                subject=subject,
                target=row[start],
                answer=tuple(row[start:length]),
            )
        )
    return found


def answered(host: ModelHost, tokenized: Sequence[TokenizedStatement]) -> Iterator[bool]:
    """For each statement, whether every token of the answer is the model's most probable one.

    Lazy: the model runs on `host.batch_rows` statements when the first of them is requested.
    """
    for start in range(0, len(tokenized), host.batch_rows):
        part = tokenized[start : start + host.batch_rows]
        read = batch(
            host.tokenizer,
            [one.statement.prompt for one in part],
            [one.statement.answer for one in part],
            context=host.context,
            device=host.device,
        )
        with host.lock, torch.inference_mode():
            predicted = host.model(input_ids=read.ids, use_cache=False).logits.argmax(dim=-1)  # [B, T]
        right = (predicted == read.targets) | (read.targets == IGNORED)
        yield from right.all(dim=1).tolist()


def _statement(line: str, place: str) -> Statement:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UsageError(f"{place}: expected an object with prompt, subject and answer, got {line!r:.80}")
    prompt, subject, answer = (_text(body, name, place) for name in ("prompt", "subject", "answer"))
    start = prompt.find("{}")
    prompt = prompt.replace("{}", subject)
    at = (start, start + len(subject)) if start >= 0 else None
    if at is None and last_span(prompt, subject) is None:
        raise UsageError(
            f"{place}: the prompt {prompt!r:.120} does not contain the subject {subject!r:.80}: "
            "write the subject, or {}, in the prompt"
        )
    return Statement(prompt=prompt, subject=subject, answer=answer, at=at)


def _text(body: dict[str, Any], name: str, place: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{place}: {name} must be a non-empty text, got {value!r:.80}")
    return value
