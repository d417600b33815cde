"""The texts an edit is made from: wordings in contexts with their new answers, and answers to keep.

Knows which text belongs to which subject, and where subject and answer stand in it. Runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from guardedit.core.errors import SubjectNotFound
from guardedit.core.fact import Fact
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.optimise.contexts import Contexts
from guardedit.models.text.tokens import batch, subjects_last
from guardedit.naming import Span, last_span

#: Ends every answer, so that free generation stops where the target does.
STOP = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text: question and answer. `context` 0 is bare; `fact` is empty for an answer to keep.

    `subject` is empty where every token counts, as for methods that change whole matrices. `at` is where it
    stands, characters [start, end) of `prompt`; None: it is looked for.
    """

    group: int
    subject: str
    prompt: str
    answer: str
    context: int = 0
    fact: str = ""
    at: Span | None = None


def fact_rows(group: int, fact: Fact, subject: str, contexts: Contexts, *, crossed: bool = True) -> list[Row]:
    """Every wording that holds the subject, bare and behind prefixes.

    Args:
        group: of the rows.
        fact: whose wordings and target.
        subject: looked for in wordings that do not know its place.
        contexts: prefixes.
        crossed: every wording behind every prefix; else the prefixes go round over the wordings, each
            wording behind one at least.
    """
    places = [(text, at or last_span(text, subject)) for text, at in fact.worded]
    wordings = [(text, at) for text, at in places if at is not None]
    prefixes = len(contexts.prefixes)
    each = prefixes if crossed else -(-prefixes // max(1, len(wordings)))
    return [
        Row(
            group=group,
            subject=subject,
            prompt=text,
            answer=fact.target + STOP,
            context=n,
            fact=fact.id,
            at=behind(text, wording, at),
        )
        for number, (wording, at) in enumerate(wordings)
        for n, text in enumerate(contexts.around(wording))
        if n == 0 or (n - 1 - number * each) % prefixes < each
    ]


def behind(text: str, wording: str, at: Span | None) -> Span | None:
    """A place in a wording as a place in the text that ends with it."""
    before = len(text) - len(wording)
    return at and (at[0] + before, at[1] + before)


def whole_row(group: int, fact: Fact, *, stop: str = STOP) -> Row:
    """The fact's own prompt and its target, every token of which counts: what fine-tuning is shown."""
    return Row(group=group, subject="", prompt=fact.prompt, answer=fact.target + stop, fact=fact.id)


def keep_rows(number: int, group: SubjectGroup, answers: dict[str, str], *, limit: int) -> list[Row]:
    """The subject's other answers, and what it is at all ("{subject} is a": the essence of ROME).

    Args:
        number: index of the group in the batch.
        group: its `keep` questions without the subject in the prompt are left out.
        answers: prompt to the base model's own answer, for questions that expect none.
        limit: most questions used.
    """
    subject = group.subject
    kept = [
        Row(
            group=number,
            subject=subject,
            prompt=q.prompt,
            answer=(q.expected or answers[q.prompt]) + STOP,
            at=at,
        )
        for q in group.keep[:limit]
        if (at := last_span(q.prompt, subject))
    ]
    return [*kept, essence_row(number, subject)]


def essence_row(group: int, subject: str) -> Row:
    """What the subject is at all, as ROME asks."""
    return Row(group=group, subject=subject, prompt=f"{subject} is a", answer=STOP, at=(0, len(subject)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTensors:
    """Rows as tensors. B rows, T tokens at most, padded on the right.

    Attributes:
        ids: [B, T] int64.
        lengths: [B], tokens that are not padding.
        subject_at: [B], index of the subject's last token; 0 for a row without a subject.
        first, last: [B], first and last position that predicts an answer token.
        group, context: [B].
        keep: [B] bool, an answer to preserve rather than to change.
    """

    ids: Tensor
    lengths: Tensor
    subject_at: Tensor
    first: Tensor
    last: Tensor
    group: Tensor
    context: Tensor
    keep: Tensor

    def chosen(self, rows: Tensor) -> RowTensors:
        """Some of the rows, by index."""
        return RowTensors(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def row_tensors(tokenizer: Any, rows: Sequence[Row], *, context: int) -> RowTensors:
    """Encode rows; positions come from offset mappings.

    Raises:
        SubjectNotFound: when a subject is not in its prompt, or stands behind the answer's beginning.
        MalformedCorrection: when a row is longer than `context` tokens.
    """
    texts = batch(tokenizer, [r.prompt for r in rows], [r.answer for r in rows], context=context)
    named = [n for n, row in enumerate(rows) if row.subject]
    at = torch.zeros(len(rows), dtype=torch.int64)
    at[named] = torch.tensor(
        subjects_last(tokenizer, [(rows[n].prompt, rows[n].subject, rows[n].at) for n in named]),
        dtype=torch.int64,
    )
    first = texts.answer_starts - 1
    for row, subject_at, predicts in zip(rows, at.tolist(), first.tolist(), strict=True):
        if subject_at > predicts:
            raise SubjectNotFound(f"{row.subject!r} shares a token with the answer in {row.prompt!r}")
    return RowTensors(
        ids=texts.ids,
        lengths=texts.lengths,
        subject_at=at,
        first=first,
        last=texts.lengths - 2,
        group=torch.tensor([row.group for row in rows]),
        context=torch.tensor([row.context for row in rows]),
        keep=torch.tensor([not row.fact for row in rows]),
    )
