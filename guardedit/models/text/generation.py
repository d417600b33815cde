"""Greedy answers: where an answer ends, and the decoding loop.

Prompts of equal length are continued together with a key-value cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from guardedit.core.errors import MalformedCorrection
from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.tokens import encode, pad
from guardedit.naming import answer_end


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a generated answer ends.

    Attributes:
        tokenizer: decodes what was generated; special tokens are not shown.
        stops: tokens that end it.
        max_new_tokens: most tokens that are generated.
        cut: it also ends with its first sentence, at `answer_end`.
    """

    tokenizer: Any
    stops: frozenset[int]
    max_new_tokens: int
    cut: bool = True

    @classmethod
    def of(cls, host: LanguageModel, max_new_tokens: int | None = None, *, cut: bool = True) -> Ending:
        """The ending of a host's answers; without a number of tokens, as many as its form usually takes."""
        usual = host.form.answer_tokens
        tokens = usual if max_new_tokens is None else max_new_tokens
        return cls(host.tokenizer, host.stops, tokens, cut)

    def append(self, row: list[int], token: int) -> str | None:
        """Append a generated token to its row; returns the answer once it is complete, else None.

        Args:
            row: tokens generated so far; changed in place. A stop token is not appended.
            token: the next one.
        """
        if token not in self.stops:
            row.append(token)
        final = token in self.stops or len(row) >= self.max_new_tokens
        if not (final or self.cut):
            return None
        text = self.text(row)
        end = answer_end(text, final=final) if self.cut else len(text)
        return None if end is None else text[:end].strip()

    def text(self, row: Sequence[int]) -> str:
        """The text of generated tokens."""
        found: str = self.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return found


def complete(host: LanguageModel, prompts: Sequence[str], ending: Ending) -> list[str]:
    """Greedy answer to each prompt, up to its ending, without the sign that ends it.

    Only prompts of equal length share a batch, so there is no padding and no answer depends on which other
    prompts are asked. Each different prompt is answered once. Spaces at the end of a prompt are removed,
    since tokenizers make a space part of the next word.

    Raises:
        MalformedCorrection: when a prompt is empty, or does not fit into the context with its answer.
        GuardError: when memory does not suffice.
    """
    different = list(dict.fromkeys(prompts))
    rows = [
        encode(host.tokenizer, prompt.rstrip(" "), context=host.context, answer=ending.max_new_tokens)
        for prompt in different
    ]
    if [] in rows:
        raise MalformedCorrection("a prompt is empty: give it at least one word")
    answers: dict[str, str] = {}
    with host.lock, memory_errors(host.batch_rows):
        for group in by_length(rows, at_most=host.batch_rows):
            ids = pad([rows[i] for i in group], device=host.device)
            answers.update(zip((different[i] for i in group), greedy(host.model, ids, ending), strict=True))
    return [answers[prompt] for prompt in prompts]


@torch.inference_mode()
def greedy(model: Any, ids: Tensor, ending: Ending) -> list[str]:
    """Answers to prompts of equal length, without padding, so that no row depends on its neighbours.

    Args:
        model: causal language model in eval mode.
        ids: [B, T] int64.
        ending: of each answer.

    Returns:
        B texts, stripped, without the sign that ended them.
    """
    rows: list[list[int]] = [[] for _ in ids]
    answers: list[str | None] = [None] * len(rows)
    cache, step = None, ids
    last = {"logits_to_keep": 1} if "logits_to_keep" in signature(model.forward).parameters else {}
    while None in answers:
        out = model(input_ids=step, past_key_values=cache, use_cache=True, **last)
        cache = out.past_key_values
        step = out.logits[:, -1].argmax(dim=-1, keepdim=True)  # [B, 1]
        for i, token in enumerate(step[:, 0].tolist()):
            if answers[i] is None:
                answers[i] = ending.append(rows[i], token)
    return [answer or "" for answer in answers]


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
