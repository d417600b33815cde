"""Attention keys and values of the tokens before rows' subjects, which no edit of the rows changes.

Rows that begin alike, behind one prefix or one instruction, have their common beginning run once. Knows
Hugging Face caches; does not know what the rows are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

#: Keys and values [B, heads, time, width] of one layer.
Pair = tuple[Tensor, Tensor]
#: Least tokens in common that are worth a pass of their own: with 4 or 12 it takes a tenth more time for 64
#: facts, a part of them behind prefixes.
WORTH = 8


def attention_before(decoder: nn.Module, ids: Tensor, mask: Tensor, places: Tensor) -> list[Pair]:
    """Keys and values per layer, zero where padded.

    Args:
        decoder: the model's, without its head.
        ids: [b, P], padded on the left.
        mask: [b, P] bool, tokens that are not padding.
        places: [b, P], each token's place in its row; 0 where padded.
    """
    L = _common(ids, mask.sum(1))
    pairs = _behind_common(decoder, ids, mask, places, L) if L else _run(decoder, ids, mask, places, [])
    # A row that is all padding may hold NaN, and zero attention times NaN is NaN.
    padded = ~mask[:, None, :, None]
    return [(k.masked_fill(padded, 0.0), v.masked_fill(padded, 0.0)) for k, v in pairs]


def _behind_common(decoder: nn.Module, ids: Tensor, mask: Tensor, places: Tensor, L: int) -> list[Pair]:
    """The same of rows whose first L tokens are the same, which run once."""
    P, longest = ids.shape[1], int(mask.sum(1).max())
    at = torch.arange(L, device=ids.device)[None]
    first = mask.sum(1).argmax()
    common = _run(decoder, ids[first, P - longest :][None, :L], at >= 0, at, [])
    both: list[Pair] = [(k.expand(len(ids), -1, -1, -1), v.expand(len(ids), -1, -1, -1)) for k, v in common]
    if rest := longest - L:
        own = mask & (places >= L)
        both = _run(decoder, ids[:, -rest:], own[:, -rest:], places[:, -rest:], both)
    # They stand as [beginning | padding | rest] and shall stand as [padding | beginning | rest].
    column = torch.arange(P, device=ids.device)
    take = torch.where(places < L, places, column - (P - longest))
    return [(_taken(k, take), _taken(v, take)) for k, v in both]


def _taken(x: Tensor, take: Tensor) -> Tensor:
    """[b, heads, P, width]: of each row the columns `take` [b, P]."""
    return x.gather(2, take[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))


def cache_of(past: Sequence[Pair]) -> DynamicCache:
    """A cache that holds these keys and values themselves; its own constructor copies them."""
    cache = DynamicCache()
    for k, v in past:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(k, v)
        layer.keys, layer.values = k, v
        cache.layers.append(layer)
    return cache


def _common(ids: Tensor, length: Tensor) -> int:
    """How many tokens all rows have in common at their beginning; 0 where that is not worth anything."""
    P, shortest = ids.shape[1], int(length.min())
    if len(ids) == 1 or shortest < WORTH:
        return 0
    begins = ids.gather(1, P - length[:, None] + torch.arange(shortest, device=ids.device))
    alike = (begins == begins[:1]).all(0).long().cumprod(0)
    L = int(alike.sum())
    return L if L >= WORTH else 0


def _run(decoder: nn.Module, ids: Tensor, mask: Tensor, places: Tensor, past: Sequence[Pair]) -> list[Pair]:
    seen = mask.new_ones(len(ids), past[0][0].shape[2] if past else 0)
    cache: Any = decoder(
        input_ids=ids,
        attention_mask=torch.cat([seen, mask], dim=1).long(),
        position_ids=places,
        past_key_values=cache_of(past),
        use_cache=True,
    ).past_key_values
    return [(layer.keys, layer.values) for layer in cache.layers]
