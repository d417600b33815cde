"""Attention keys and values of the tokens before the rows' subjects, which no edit of the rows changes.

A beginning that all rows share, such as a context prefix or an instruction, is run only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.models.hidden.attention import Pair, cache_of

#: Shortest common beginning, in tokens, that is run in a pass of its own. With 4 or 12 instead of 8, 64
#: facts, some of them behind prefixes, take a tenth more time.
MIN_COMMON = 8


def prefix_keys_values(decoder: nn.Module, ids: Tensor, mask: Tensor, positions: Tensor) -> list[Pair]:
    """Attention keys and values for each layer, zero where padded.

    Args:
        decoder: without the language-model head.
        ids: [b, P], padded on the left.
        mask: [b, P] bool, tokens that are not padding.
        positions: [b, P], each token's position in its row; 0 where padded.
    """
    L = _common_length(ids, mask.sum(1))
    if L:
        pairs = _with_common_beginning(decoder, ids, mask, positions, L)
    else:
        pairs = _run(decoder, ids, mask, positions, [])
    # A row that is all padding may hold NaN, and zero attention times NaN is NaN.
    padded = ~mask[:, None, :, None]
    return [(k.masked_fill(padded, 0.0), v.masked_fill(padded, 0.0)) for k, v in pairs]


def _with_common_beginning(
    decoder: nn.Module, ids: Tensor, mask: Tensor, positions: Tensor, L: int
) -> list[Pair]:
    """Run the first L tokens, which all rows share, once; then the rest of each row."""
    P, longest = ids.shape[1], int(mask.sum(1).max())
    common_positions = torch.arange(L, device=ids.device)[None]
    row = mask.sum(1).argmax()
    common = _run(decoder, ids[row, P - longest :][None, :L], common_positions >= 0, common_positions, [])
    pairs: list[Pair] = [(k.expand(len(ids), -1, -1, -1), v.expand(len(ids), -1, -1, -1)) for k, v in common]
    if rest := longest - L:
        own = mask & (positions >= L)
        pairs = _run(decoder, ids[:, -rest:], own[:, -rest:], positions[:, -rest:], pairs)
    # The columns are [beginning | padding | rest]; reorder them to [padding | beginning | rest].
    column = torch.arange(P, device=ids.device)
    take = torch.where(positions < L, positions, column - (P - longest))
    return [(_columns(k, take), _columns(v, take)) for k, v in pairs]


def _columns(x: Tensor, take: Tensor) -> Tensor:
    """[b, heads, P, width]: from each row of x, the columns `take` [b, P]."""
    return x.gather(2, take[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))


def _common_length(ids: Tensor, length: Tensor) -> int:
    """Number of tokens at the beginning that all rows share; 0 when fewer than `MIN_COMMON`."""
    P, shortest = ids.shape[1], int(length.min())
    if len(ids) == 1 or shortest < MIN_COMMON:
        return 0
    beginnings = ids.gather(1, P - length[:, None] + torch.arange(shortest, device=ids.device))
    equal = (beginnings == beginnings[:1]).all(0).long().cumprod(0)
    L = int(equal.sum())
    return L if L >= MIN_COMMON else 0


def _run(
    decoder: nn.Module, ids: Tensor, mask: Tensor, positions: Tensor, past: Sequence[Pair]
) -> list[Pair]:
    """Attention keys and values for each layer after `ids`, including those of `past`."""
    past_mask = mask.new_ones(len(ids), past[0][0].shape[2] if past else 0)
    cache: Any = decoder(
        input_ids=ids,
        attention_mask=torch.cat([past_mask, mask], dim=1).long(),
        position_ids=positions,
        past_key_values=cache_of(past),
        use_cache=True,
    ).past_key_values
    return [(layer.keys, layer.values) for layer in cache.layers]
