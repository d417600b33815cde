"""Attention keys and values that were computed before, in the form that a decoder continues from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

#: Attention keys and values [B, heads, time, width] of one layer.
Pair = tuple[Tensor, Tensor]


def cache_of(past: Sequence[Pair]) -> DynamicCache:
    """A Hugging Face cache that holds these tensors; its own constructor would copy them."""
    cache = DynamicCache()
    for k, v in past:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(k, v)
        layer.keys, layer.values = k, v
        cache.layers.append(layer)
    return cache


def pairs_of(cache: DynamicCache) -> list[Pair]:
    """What a cache holds, by layer; an empty pair for a layer that did not run."""
    layers: list[Any] = cache.layers
    nothing = torch.empty(0)
    return [(layer.keys, layer.values) if layer.is_initialized else (nothing, nothing) for layer in layers]


def unread_pairs(layers: int, *, rows: int, time: int, device: torch.device) -> list[Pair]:
    """Stand-ins for layers that do not run; a decoder reads from the lowest one how long its past is."""
    unread = torch.zeros((), device=device).expand(rows, 1, time, 1)
    return [(unread, unread)] * layers
