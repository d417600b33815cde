"""Greedy answers: where an answer ends, and the loop that writes it.

Knows how to continue equally long prompts with a key-value cache. Does not know facts or edits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

#: Words whose full stop belongs to them. Compared without regard to case.
ABBREVIATIONS = frozenset(
    {"capt", "co", "col", "corp", "dr", "ft", "gen", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms", "mt"}
    | {"no", "prof", "rev", "sgt", "sr", "st", "ste", "vs"}
)
_LAST_WORD = re.compile(r"[^\W\d_]+\Z")


def answer_end(text: str, *, final: bool) -> int | None:
    """Where the answer at the start of `text` ends; None when it goes on, or more text must decide.

    An answer ends at a line break, and at a full stop that is followed by white space or by the end.
    A full stop does not end it after a word of `ABBREVIATIONS` or a single capital letter when a capital
    letter or digit follows: `St. Louis`, `J. R. R. Tolkien`, `No. 5`. (`C. It is` therefore reads on, which
    costs a longer answer, never a lost one.)

    Args:
        text: what was generated so far.
        final: nothing will follow, because the model said so or the token limit is reached.

    >>> answer_end(" Rome. It", final=False)
    5
    >>> answer_end(" Rome.", final=False) is None
    True
    >>> answer_end(" St. Louis.", final=True)
    10
    """
    body = len(text) - len(text.lstrip())
    for i in range(body, len(text)):
        if text[i] in "\n\r":
            return i
        if text[i] == "." and (stops := _stops(text, i, final=final)) is not False:
            return i if stops else None
    return len(text) if final else None


def _stops(text: str, i: int, *, final: bool) -> bool | None:
    """Whether the full stop at `i` ends the answer; None when the next letters must decide."""
    rest = text[i + 1 :]
    if rest and not rest[0].isspace():
        return False
    if rest[:1] in ("\n", "\r"):
        return True
    following = rest.strip()[:1]
    if not following:
        return True if final else None
    word = _LAST_WORD.search(text[:i])
    shortened = word is not None and (
        word[0].lower() in ABBREVIATIONS or (len(word[0]) == 1 and word[0].isupper())
    )
    return not (shortened and (following.isupper() or following.isdigit()))


@torch.inference_mode()
def greedy(model: Any, tokenizer: Any, ids: Tensor, *, max_new_tokens: int) -> list[str]:
    """Answers to prompts of equal length, without padding, so that no row depends on its neighbours.

    Args:
        model: causal language model in eval mode.
        tokenizer: to read what was generated; its `eos_token_id` ends a row.
        ids: [B, T] int64.
        max_new_tokens: limit for each row.

    Returns:
        B texts, stripped, without the sign that ended them.
    """
    rows: list[list[int]] = [[] for _ in ids]
    answers: list[str | None] = [None] * len(rows)
    cache, step = None, ids
    for left in range(max_new_tokens - 1, -1, -1):
        out = model(input_ids=step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        step = out.logits[:, -1].argmax(dim=-1, keepdim=True)  # [B, 1]
        for i, token in enumerate(step[:, 0].tolist()):
            if answers[i] is None:
                answers[i] = read_on(tokenizer, rows[i], token, final=left == 0)
        if None not in answers:
            break
    return [answer or "" for answer in answers]


def read_on(tokenizer: Any, row: list[int], token: int, *, final: bool) -> str | None:
    """Append the token to its row; the answer, once it is complete.

    Args:
        tokenizer: its `eos_token_id` ends the row and is not kept.
        row: what was generated before, one token longer afterwards.
        token: what was generated now.
        final: whether this is the last token that may be generated.
    """
    if token == tokenizer.eos_token_id:
        final = True
    else:
        row.append(token)
    text = tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    end = answer_end(text, final=final)
    return None if end is None else text[:end].strip()


def by_length(rows: Sequence[Sequence[int]], *, at_most: int) -> list[list[int]]:
    """Indices of rows in groups of equal length, shortest first, at most `at_most` a group.

    >>> by_length([[1, 2], [3], [4, 5], [6, 7]], at_most=2)
    [[1], [0, 2], [3]]
    """
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    groups: list[list[int]] = []
    for i in order:
        fits = groups and len(rows[groups[-1][0]]) == len(rows[i]) and len(groups[-1]) < at_most
        if fits:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
