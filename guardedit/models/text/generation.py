"""Greedy answers: where an answer ends, and the decoding loop.

Prompts of equal length are continued together with a key-value cache.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from guardedit.core.errors import MalformedCorrection
from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.tokens import encode, pad

#: Abbreviations that end in a full stop. Compared without regard to case.
ABBREVIATIONS = frozenset(
    {"capt", "co", "col", "corp", "dr", "ft", "gen", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms", "mt"}
    | {"no", "prof", "rev", "sgt", "sr", "st", "ste", "vs"}
)
_LAST_WORD = re.compile(r"[^\W\d_]+\Z")


def answer_end(text: str, *, final: bool) -> int | None:
    """Index where the answer at the start of `text` ends; None when it goes on or more text is needed.

    An answer ends at a line break, and at a full stop that is followed by white space or by the end. A full
    stop does not end it after a word of `ABBREVIATIONS` or a single capital letter when a capital letter or
    digit follows: `St. Louis`, `J. R. R. Tolkien`, `No. 5`. (So an answer like `C. It is` is read further: it
    may get longer, but nothing is lost.)

    Args:
        text: the text generated so far.
        final: no text follows, because the model ended the text or the token limit is reached.

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
    """Whether the full stop at `i` ends the answer; None when the next letters are needed to decide."""
    rest = text[i + 1 :]
    if rest and not rest[0].isspace():
        return False
    if rest[:1] in ("\n", "\r"):
        return True
    following = rest.strip()[:1]
    if not following:
        return True if final else None
    word = _LAST_WORD.search(text[:i])
    abbreviated = word is not None and (
        word[0].lower() in ABBREVIATIONS or (len(word[0]) == 1 and word[0].isupper())
    )
    return not (abbreviated and (following.isupper() or following.isdigit()))


def complete(host: LanguageModel, prompts: Sequence[str], *, max_new_tokens: int) -> list[str]:
    """Greedy answer to each prompt, up to `answer_end`, without the sign that ends it.

    Only prompts of equal length share a batch, so there is no padding and no answer depends on which other
    prompts are asked. Each different prompt is answered once. Spaces at the end of a prompt are removed,
    since tokenizers make a space part of the next word.

    Raises:
        MalformedCorrection: when a prompt is empty, or does not fit into the context with its answer.
        GuardError: when memory does not suffice.
    """
    different = list(dict.fromkeys(prompts))
    rows = [
        encode(host.tokenizer, prompt.rstrip(" "), context=host.context, answer=max_new_tokens)
        for prompt in different
    ]
    if [] in rows:
        raise MalformedCorrection("a prompt is empty: give it at least one word")
    answers: dict[str, str] = {}
    with host.lock, memory_errors(host.batch_rows):
        for group in by_length(rows, at_most=host.batch_rows):
            ids = pad([rows[i] for i in group], device=host.device)
            found = greedy(host.model, host.tokenizer, ids, max_new_tokens=max_new_tokens)
            answers.update(zip((different[i] for i in group), found, strict=True))
    return [answers[prompt] for prompt in prompts]


@torch.inference_mode()
def greedy(model: Any, tokenizer: Any, ids: Tensor, *, max_new_tokens: int) -> list[str]:
    """Answers to prompts of equal length, without padding, so that no row depends on its neighbours.

    Args:
        model: causal language model in eval mode.
        tokenizer: decodes what was generated; its `eos_token_id` ends a row.
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
                answers[i] = append_token(tokenizer, rows[i], token, final=left == 0)
        if None not in answers:
            break
    return [answer or "" for answer in answers]


def append_token(tokenizer: Any, row: list[int], token: int, *, final: bool) -> str | None:
    """Append a generated token to its row; returns the answer once it is complete, else None.

    Args:
        tokenizer: its `eos_token_id` ends the row and is not appended.
        row: tokens generated so far; changed in place.
        token: the next one.
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
    """Indices of rows in groups of equal length, shortest first, at most `at_most` per group.

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
