"""The decoding loop: greedy tokens for a batch of prompts, with a cache of attention keys and values.

Prompts of similar lengths share a loop: the shorter ones are padded on the left, and attention does not read
the padding. A beginning that all of them share runs once, and rows whose answers are complete leave the
batch. All this changes numbers by rounding only. Does not know where an answer ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from guardedit.models.text.passes import FEWEST, by_length, shared_beginning, similar_lengths

#: Append a token to a row of generated ones; returns the answer once it is complete, else None.
Append = Callable[[list[int], int], str | None]
#: Least share of complete answers for which the others get a batch without them: it copies the cache.
COMPLETE = 0.25


def can_pad(model: Any) -> bool:
    """Whether the model is told which tokens are padding, and at which position each token stands."""
    return {"attention_mask", "position_ids"} <= signature(model.forward).parameters.keys()


def loops(rows: Sequence[Sequence[int]], *, at_most: int, padded: bool) -> list[list[int]]:
    """Indices of the rows of each loop, at most `at_most` in one.

    A step reads all weights, whether for one row or for thirty, and padding costs only the prompts' pass. So
    few loops of many rows are fastest.

    Args:
        rows: token ids of prompts.
        at_most: most rows in a loop.
        padded: whether rows of different lengths may share one.
    """
    return (similar_lengths if padded else by_length)(rows, at_most=at_most)


@dataclass
class _Batch:
    """Rows that are decoded together.

    Attributes:
        rows: [B] which of all rows each is.
        mask: [B, T] int64, tokens so far that are not padding; None when there is no padding.
        positions: [B] int64, position of the next token of each row, with `mask`.
        cache: attention keys and values of the tokens so far.
    """

    rows: list[int]
    mask: Tensor | None
    positions: Tensor
    cache: Any = None

    def arguments(self, ids: Tensor) -> dict[str, Any]:
        """Arguments of the pass over the next tokens `ids` [B, t]; they count as read from now on."""
        known: dict[str, Any] = {"input_ids": ids, "past_key_values": self.cache, "use_cache": True}
        if self.mask is None:
            return known
        self.mask = torch.cat([self.mask, torch.ones_like(ids)], dim=1)
        self.positions = self.positions + 1
        return {**known, "attention_mask": self.mask, "position_ids": self.positions[:, None] - 1}

    def keep(self, places: list[int]) -> None:
        """Drop all rows but those at these places."""
        at = torch.tensor(places, device=self.positions.device)
        self.rows = [self.rows[place] for place in places]
        self.mask = None if self.mask is None else self.mask[at]
        self.positions = self.positions[at]
        self.cache.batch_select_indices(at)


@torch.inference_mode()
def greedy(
    model: Any,
    rows: Sequence[Sequence[int]],
    append: Append,
    *,
    most: int,
    device: torch.device | str,
    plain: bool = False,
    made: Sequence[Sequence[int]] = (),
) -> list[str]:
    """The answer to each row.

    Args:
        model: causal language model in eval mode; if the rows' lengths differ, one that `can_pad`.
        rows: token ids of prompts, none empty.
        append: called with every generated token.
        most: most tokens of an answer.
        device: of the model.
        plain: every pass has all rows and all of their next tokens, for a model with bypasses, which may look
            at all tokens of a row, or remember rows between passes.
        made: for each row the tokens at its end that belong to the answer already; default: none.
    """
    answered = [list(row) for row in made] or [list[int]() for _ in rows]
    answers: list[str | None] = [None] * len(rows)
    last = {"logits_to_keep": 1} if "logits_to_keep" in signature(model.forward).parameters else {}
    batch, out = _read(model, rows, last, None if plain else most, device)
    while True:
        step = out.logits[:, -1].argmax(dim=-1, keepdim=True)  # [B, 1]
        batch.cache = out.past_key_values
        for i, token in zip(batch.rows, step[:, 0].tolist(), strict=True):
            if answers[i] is None:
                answers[i] = append(answered[i], token)
        if None not in answers:
            return [answer or "" for answer in answers]
        open_rows = [place for place, i in enumerate(batch.rows) if answers[i] is None]
        few = len(open_rows) <= (1 - COMPLETE) * len(batch.rows)
        if few and not plain and isinstance(batch.cache, DynamicCache):
            batch.keep(open_rows)
            step = step[open_rows]
        out = model(**batch.arguments(step), **last)


def _read(
    model: Any,
    rows: Sequence[Sequence[int]],
    last: dict[str, int],
    most: int | None,
    device: torch.device | str,
) -> tuple[_Batch, Any]:
    """Run the prompts: the batch, and the model's output at their last tokens.

    A shared beginning is run once if there may be `most` tokens more; None: it is not.
    """
    lengths = torch.tensor([len(row) for row in rows], device=device)
    numbers = list(range(len(rows)))
    T = int(lengths.max())
    shares = most is not None and len(rows) >= FEWEST and can_pad(model) and _sees_all(model, T + most)
    L = shared_beginning(rows) if shares else 0
    if not L and bool((lengths == T).all()):
        ids = torch.tensor([list(row) for row in rows], device=device)
        return _Batch(numbers, None, lengths), model(input_ids=ids, use_cache=True, **last)
    # Columns: [beginning | padding | rest].
    rest = torch.tensor([[0] * (T - len(row)) + list(row[L:]) for row in rows], device=device)
    column = torch.arange(L, T, device=device)
    token = column + lengths[:, None] - T  # [B, T - L], index of the token in its row; below L in the padding
    mask = torch.cat([torch.ones_like(rest[:, :1]).expand(-1, L), (token >= L).long()], dim=1)
    cache = _beginning(model, rows[0][:L], len(rows), last, device) if L else None
    out = model(
        input_ids=rest,
        attention_mask=mask,
        position_ids=token.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        **last,
    )
    return _Batch(numbers, mask, lengths), out


def _beginning(
    model: Any, ids: Sequence[int], rows: int, last: dict[str, int], device: torch.device | str
) -> Any:
    """Attention keys and values of tokens with which all rows begin, run once."""
    out = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=True, **last)
    out.past_key_values.batch_repeat_interleave(rows)
    return out.past_key_values


def _sees_all(model: Any, tokens: int) -> bool:
    """Whether every layer sees all of so many tokens; padding may then stand between those that it sees."""
    windows = [getattr(model.config, name, None) for name in ("sliding_window", "window_size")]
    return all(tokens < window for window in windows if isinstance(window, int))
