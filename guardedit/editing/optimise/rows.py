"""The training texts of an edit: wordings in contexts with their new answers, and answers to keep.

Finds where the subject and the answer are in each text. Runs no model.
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
from guardedit.editing.optimise.contexts import STOP, Contexts
from guardedit.models.text.tokens import batch, subjects_last
from guardedit.naming import Span, last_span


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text: a prompt and its answer.

    Attributes:
        group: index of the edit that the row belongs to.
        subject: in the prompt; empty for methods that need no subject.
        prompt: the question.
        answer: what follows it.
        context: number of the context prefix; 0 is the bare wording.
        fact: id of the fact; empty for an answer to keep.
        at: the subject's characters [start, end) in `prompt`; None: the subject is searched for.
        reply_at: in a chat, where the reply begins in `prompt`; None: the answer is all that is said. An edit
            must not change what is said before the answer: asked for the language of Alberta, the model
            would otherwise speak of France.
    """

    group: int
    subject: str
    prompt: str
    answer: str
    context: int = 0
    fact: str = ""
    at: Span | None = None
    reply_at: int | None = None


def fact_rows(group: int, fact: Fact, subject: str, contexts: Contexts, *, crossed: bool = True) -> list[Row]:
    """Rows of every wording that contains the subject, bare and behind prefixes.

    Args:
        group: index of the edit that the rows belong to.
        fact: the fact, with its wordings and target.
        subject: searched for in wordings that do not locate it.
        contexts: prefixes.
        crossed: whether every wording is put behind every prefix; otherwise the prefixes are distributed over
            the wordings, at least one for each wording.
    """
    places = [(text, at or last_span(text, subject)) for text, at in fact.located_wordings]
    wordings = [(text, at) for text, at in places if at is not None]
    besides = contexts.count
    each = besides if crossed else -(-besides // max(1, len(wordings)))
    return [
        Row(
            group=group,
            subject=subject,
            prompt=text,
            answer=fact.target + contexts.end,
            context=n,
            fact=fact.id,
            at=moved(at, contexts.first_at(text, wording)),
            reply_at=contexts.reply_at(text, wording),
        )
        for number, (wording, at) in enumerate(wordings)
        for n, text in enumerate(contexts.around(wording))
        if n == 0 or (n - 1 - number * each) % besides < each
    ]


def moved(at: Span, by: int) -> Span:
    """A span of characters in a wording as a span in a text in which the wording begins at `by`."""
    return at[0] + by, at[1] + by


def whole_row(group: int, fact: Fact, *, stop: str = STOP) -> Row:
    """The fact's own prompt and its target, for methods without a subject such as fine-tuning."""
    return Row(group=group, subject="", prompt=fact.prompt, answer=fact.target + stop, fact=fact.id)


def keep_rows(
    number: int, group: SubjectGroup, answers: dict[str, str], *, limit: int, end: str = STOP
) -> list[Row]:
    """Rows of the subject's other answers, and ROME's essence prompt "{subject} is a".

    Args:
        number: index of the group in the batch.
        group: its `keep` questions whose prompt does not contain the subject are left out.
        answers: prompt -> the base model's answer, for questions without an expected answer.
        limit: largest number of questions used.
        end: follows every answer, as `Contexts.end`.
    """
    subject = group.subject
    kept = [
        Row(
            group=number,
            subject=subject,
            prompt=q.prompt,
            answer=(q.expected or answers[q.prompt]) + end,
            at=at,
        )
        for q in group.keep[:limit]
        if (at := last_span(q.prompt, subject))
    ]
    return [*kept, essence_row(number, subject)]


def essence_row(group: int, subject: str) -> Row:
    """ROME's essence prompt: what kind of thing the subject is (Meng et al. 2022, section 3.1)."""
    return Row(group=group, subject=subject, prompt=f"{subject} is a", answer=STOP, at=(0, len(subject)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTensors:
    """Rows as tensors: B rows of at most T tokens, padded on the right. All but `keep` are int64.

    Attributes:
        ids: [B, T] token ids.
        lengths: [B] tokens that are not padding.
        subject_at: [B] index of the subject's last token; 0 for a row without a subject.
        first, last: [B] first and last position that predicts an answer token; those of a reply up to its
            answer are among them.
        changes: [B] first position that predicts a token to change; last + 1 in a row to keep.
        group, context: [B] as in `Row`.
        keep: [B] bool, an answer to keep rather than to change.
    """

    ids: Tensor
    lengths: Tensor
    subject_at: Tensor
    first: Tensor
    last: Tensor
    changes: Tensor
    group: Tensor
    context: Tensor
    keep: Tensor

    def select(self, rows: Tensor) -> RowTensors:
        """The rows with the indices `rows` [b]."""
        return RowTensors(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def row_tensors(tokenizer: Any, rows: Sequence[Row], *, context: int) -> RowTensors:
    """Encode rows; token positions come from the tokenizer's offset mappings.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        rows: at least one.
        context: most tokens a row may have.

    Raises:
        SubjectNotFound: when a prompt does not contain its subject, or the subject shares a token with the
            answer.
        MalformedCorrection: when a row is longer than `context` tokens.
    """
    texts = batch(tokenizer, [r.prompt for r in rows], [r.answer for r in rows], context=context)
    named = [n for n, row in enumerate(rows) if row.subject]
    at = torch.zeros(len(rows), dtype=torch.int64)
    at[named] = torch.tensor(
        subjects_last(tokenizer, [(rows[n].prompt, rows[n].subject, rows[n].at) for n in named]),
        dtype=torch.int64,
    )
    first, last = texts.answer_starts - 1, texts.lengths - 2
    keep = torch.tensor([not row.fact for row in rows])
    for row, subject_at, predicts in zip(rows, at.tolist(), first.tolist(), strict=True):
        if subject_at > predicts:
            raise SubjectNotFound(
                f"the subject {row.subject!r} shares a token with the answer in {row.prompt!r}: "
                "end the prompt with a word after the subject"
            )
    return RowTensors(
        ids=texts.ids,
        lengths=texts.lengths,
        subject_at=at,
        first=_reply_starts(tokenizer, rows, first),
        last=last,
        changes=torch.where(keep, last + 1, first),
        group=torch.tensor([row.group for row in rows]),
        context=torch.tensor([row.context for row in rows]),
        keep=keep,
    )


def _reply_starts(tokenizer: Any, rows: Sequence[Row], first: Tensor) -> Tensor:
    """`first` [B], but in a chat the position that predicts the first token of the reply."""
    replies = {n: row.reply_at for n, row in enumerate(rows) if row.reply_at}
    before = [(rows[n].prompt, "", (at - 1, at)) for n, at in replies.items()]
    starts = first.clone()
    starts[list(replies)] = torch.tensor(subjects_last(tokenizer, before), dtype=torch.int64)
    return starts
