"""Encode texts as token ids, find subject and answer tokens, and refuse texts longer than the context.

Tokens are located only by the tokenizer's offset mapping. The model is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from guardedit.core.errors import MalformedCorrection, SubjectNotFound
from guardedit.naming import Span, last_span

#: Target of positions without a loss, as in torch.nn.functional.cross_entropy.
IGNORED = -100
_OPENERS = frozenset("([{<\u2018\u201c\u201a\u201e\u00ab\u2039\u00a1\u00bf")
_STRAIGHT_QUOTES = frozenset("\"'`")
_LINKS = frozenset("-\u2010\u2011/")


class _Encoding(NamedTuple):
    """Token ids and, for each, its character span in the text; special tokens have an empty span."""

    ids: list[int]
    spans: list[tuple[int, int]]


def encode(tokenizer: Any, text: str, *, context: int | None = None, answer: int = 0) -> list[int]:
    """Token ids of a text: with a leading BOS if the tokenizer adds one, never with a trailing EOS.

    Args:
        tokenizer: a fast tokenizer.
        text: one prompt or text.
        context: longest input of the model in tokens; None for no limit.
        answer: number of these tokens that are reserved for an answer.

    Raises:
        MalformedCorrection: when the text does not fit. Texts are never truncated.
    """
    return _encode(tokenizer, text, context=context, answer=answer).ids


def subject_last(tokenizer: Any, prompt: str, subject: str, at: Span | None = None) -> int:
    """Index of the subject's last token in `encode(tokenizer, prompt)`, from the offset mapping.

    Args:
        tokenizer: a fast tokenizer.
        prompt: the whole text, with any prefix.
        subject: searched for if `at` is None; the last occurrence as a whole name counts.
        at: characters [start, end) of the subject in `prompt`.

    Raises:
        SubjectNotFound: when the prompt does not contain the subject, or no token covers it.
    """
    return subject_tokens(tokenizer, prompt, subject, at)[-1]


def subjects_last(tokenizer: Any, asked: Sequence[tuple[str, str, Span | None]]) -> list[int]:
    """`subject_last` of many (prompt, subject, at), with one call of the tokenizer."""
    found = _encodings(tokenizer, [prompt for prompt, *_ in asked])
    return [_covering(*one, text)[-1] for one, text in zip(asked, found, strict=True)]


def subject_tokens(tokenizer: Any, prompt: str, subject: str, at: Span | None = None) -> range:
    """Indices of the subject's tokens in `encode(tokenizer, prompt)`; arguments as `subject_last`."""
    return _covering(prompt, subject, at, _encode(tokenizer, prompt))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """Prompts with their answers, padded on the right: B rows, T tokens.

    A causal model needs no mask for right padding: no token attends to later ones.

    Attributes:
        ids: [B, T] int64.
        lengths: [B] int64, tokens that are not padding.
        answer_starts: [B] int64, index of the first answer token; the model predicts it at index - 1.
        targets: [B, T] int64; where position t predicts an answer token, its id, elsewhere -100. Position t
            belongs to position t of the logits [B, T, vocabulary].
    """

    ids: Tensor
    lengths: Tensor
    answer_starts: Tensor
    targets: Tensor


def batch(
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str] | None = None,
    *,
    context: int,
    device: torch.device | str = "cpu",
) -> TokenBatch:
    """Encode each `prompt + " " + answer` as one text; the offsets give the answer's positions.

    One text, because tokenizers that mark word starts or add BOS encode an answer alone differently. The
    space is added when neither side has one; spaces at the prompt's end count as part of the answer. Without
    answers, `targets` is -100 everywhere and `answer_starts` equals `lengths`.

    Raises:
        MalformedCorrection: when a row is longer than `context` tokens, naming both numbers, or when an
            answer has no token of its own.
    """
    rows, starts = [], []
    answers = answers or [""] * len(prompts)
    texts = [
        join(prompt, answer) if answer else prompt for prompt, answer in zip(prompts, answers, strict=True)
    ]
    encoded = _encodings(tokenizer, texts, context=context)
    for prompt, answer, (row, spans) in zip(prompts, answers, encoded, strict=True):
        asked = len(prompt.rstrip(" ")) if answer else len(prompt)
        start = next((i for i, (_, end) in enumerate(spans) if end > asked), len(row))
        if answer and start in (0, len(row)):
            raise MalformedCorrection(f"the answer {answer!r} to {prompt!r:.200} has no token: reword it")
        rows.append(row)
        starts.append(start)
    ids = pad(rows, device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    answer_starts = torch.tensor(starts, device=device)
    return TokenBatch(
        ids=ids,
        lengths=lengths,
        answer_starts=answer_starts,
        targets=_targets(ids, lengths, answer_starts),
    )


def join(prompt: str, answer: str) -> str:
    """Prompt and answer with a space between them, unless there is white space already or none belongs.

    >>> join("The capital is", "Oslo"), join("The capital (", "Oslo")
    ('The capital is Oslo', 'The capital (Oslo')
    """
    touches = prompt[-1:].isspace() or answer[:1].isspace() or opens(prompt)
    return prompt + answer if touches else f"{prompt} {answer}"


def begun(tokenizer: Any, prompt: str, beginning: str) -> list[int]:
    """Tokens of the beginning of an answer behind a prompt; none where the tokenizer merges the two."""
    asked = prompt.rstrip(" ")
    given, row = encode(tokenizer, asked), encode(tokenizer, join(asked, beginning))
    return row[len(given) :] if row[: len(given)] == given else []


def opens(text: str) -> bool:
    """Whether a text ends in a sign that the next word follows without a space.

    Such signs are opening brackets and quotes, and a slash or hyphen behind a word. A straight quote opens if
    it stands at the beginning of a word, so that of `"Alien"` at the end of a text does not.

    >>> [opens(text) for text in ('called "', 'of "Alien"', "Anglo-", "either -")]
    [True, False, True, False]
    """
    last, before = text[-1:], text[-2:-1]
    if last and last in _OPENERS:
        return True
    if last in _STRAIGHT_QUOTES:
        return not before or before.isspace() or before in _OPENERS
    return bool(last) and last in _LINKS and before.isalnum()


def pad(rows: Sequence[Sequence[int]], *, device: torch.device | str = "cpu") -> Tensor:
    """[B, T] int64, padded with zeros on the right, where no real token attends to them."""
    ids = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return ids.to(device)


def _encode(tokenizer: Any, text: str, *, context: int | None = None, answer: int = 0) -> _Encoding:
    return _encodings(tokenizer, [text], context=context, answer=answer)[0]


def _encodings(
    tokenizer: Any, texts: Sequence[str], *, context: int | None = None, answer: int = 0
) -> list[_Encoding]:
    """Encode many texts in one call of the tokenizer, which takes a third of the time of single calls."""
    if not texts:
        return []
    # verbose=False: texts that are too long are refused below; no warning about the tokenizer's own limit.
    found = tokenizer(
        list(texts), return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
    )
    columns = found["input_ids"], found["offset_mapping"], found["special_tokens_mask"]
    encoded = [
        _Encoding(ids[:end], spans[:end])
        for ids, spans, special in zip(*columns, strict=True)
        for end in [_without_closing(spans, special)]
    ]
    for text, (ids, _) in zip(texts, encoded, strict=True):
        if context is not None and len(ids) + answer > context:
            room = f" with {answer} reserved for the answer" if answer else ""
            raise MalformedCorrection(
                f"{text!r:.60} has {len(ids)} tokens, the model's context holds {context}{room}: shorten it"
            )
    return encoded


def _without_closing(spans: Sequence[tuple[int, int]], special: Sequence[int]) -> int:
    """Number of tokens before the closing special tokens, such as EOS; at least one."""
    end = len(spans)
    while end > 1 and special[end - 1] and spans[end - 1][0] == spans[end - 1][1]:
        end -= 1
    return end


def _covering(prompt: str, subject: str, at: Span | None, text: _Encoding) -> range:
    start, end = _subject_span(prompt, subject, at)
    covering = [i for i, (first, last) in enumerate(text.spans) if first < end and last > start]
    if not covering:
        raise SubjectNotFound(
            f"no token of {prompt!r:.200} covers the subject {subject!r}: "
            "the tokenizer drops its characters; send this fact to memory"
        )
    return range(covering[0], covering[-1] + 1)


def _subject_span(prompt: str, subject: str, at: Span | None) -> Span:
    found = last_span(prompt, subject) if at is None else at
    if found is None or not 0 <= found[0] < found[1] <= len(prompt):
        raise SubjectNotFound(f"the prompt {prompt!r:.200} does not contain the subject {subject!r}")
    return found


def _targets(ids: Tensor, lengths: Tensor, answer_starts: Tensor) -> Tensor:
    """[B, T]: ids shifted left by one where position t predicts an answer token, else IGNORED."""
    targets = torch.full_like(ids, IGNORED)
    following = torch.arange(1, ids.shape[1], device=ids.device)  # [T - 1]: the position predicted at t
    wanted = (following >= answer_starts[:, None]) & (following < lengths[:, None])
    targets[:, :-1] = torch.where(wanted, ids[:, 1:], IGNORED)
    return targets
