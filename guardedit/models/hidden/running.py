"""Run a part of a decoder: from the output of one layer to the output of another, or to its end.

Rows that begin with the same tokens, such as the system's turn of a chat, run these tokens once. Knows
nothing of edits: the model is run as it stands.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from guardedit.models.hidden.attention import cache_of, pairs_of, unread_pairs
from guardedit.models.hooks import tap
from guardedit.models.layouts.layout import Layout
from guardedit.models.lower_layers import LayerOutput, decoder_above, recorded_outputs

#: Shortest common beginning, in tokens, that is run in a pass of its own.
MIN_COMMON = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """Where a pass starts: the `output` [B, T, d] of `layer`, for the ids that the pass is given."""

    layer: int
    output: LayerOutput


@dataclass(frozen=True)
class PartialDecoder:
    """The decoder of a model, of which a part can be run.

    Attributes:
        model: a Hugging Face causal language model.
        layout: of the model.
        layers: number of decoder layers.
    """

    model: Any
    layout: Layout
    layers: int

    @property
    def as_tuple(self) -> bool:
        """Whether this architecture's layers return the hidden state inside a tuple. Runs one layer."""
        ids = torch.zeros(1, 1, dtype=torch.int64, device=next(self.model.parameters()).device)
        return self._stopped(self._decoder(None), ids, 0, {}).as_tuple

    def run(
        self, ids: Tensor, *, below: Below | None = None, to: int | None = None, share: bool = True
    ) -> Tensor:
        """Hidden states [B, T, d].

        Args:
            ids: [B, T], padded on the right.
            below: where to start; None: at the token embeddings.
            to: the layer whose output is returned; None: the final hidden states, after the last norm.
            share: run a beginning that all rows share once. The numbers differ by rounding only.
        """
        only_norm = below is not None and below.layer == self.layers - 1
        L = _common_length(ids) if share and not only_norm else 0
        if not L:
            return self._part(ids, below, to, {})
        first, cache = self._beginning(ids[:1, :L], _cut(below, slice(0, 1), slice(0, L)), to)
        B, start = len(ids), 0 if below is None else below.layer + 1
        past = [
            *unread_pairs(start, rows=B, time=L, device=ids.device),
            *((_repeated(k, B), _repeated(v, B)) for k, v in pairs_of(cache)[start:]),
        ]
        rest = self._part(
            ids[:, L:], _cut(below, slice(None), slice(L, None)), to, _after(ids, L, cache_of(past))
        )
        return torch.cat([first.expand(B, -1, -1), rest], dim=1)

    def _beginning(self, ids: Tensor, below: Below | None, to: int | None) -> tuple[Tensor, DynamicCache]:
        """Hidden states [1, L, d] of the common beginning, and its attention keys and values."""
        cache = DynamicCache()
        return self._part(ids, below, to, _after(ids, 0, cache)), cache

    def _part(self, ids: Tensor, below: Below | None, to: int | None, cached: dict[str, Any]) -> Tensor:
        decoder = self._decoder(below)
        if to is not None:
            return self._stopped(decoder, ids, to, cached).hidden
        hidden: Tensor = decoder(input_ids=ids, **{"use_cache": False, **cached}).last_hidden_state
        return hidden

    def _stopped(self, decoder: nn.Module, ids: Tensor, to: int, cached: dict[str, Any]) -> LayerOutput:
        """The output of layer `to`; the layers above it do not run."""
        layer = self.model.get_submodule(self.layout.layer_name(to))
        with ExitStack() as stack:
            seen = stack.enter_context(recorded_outputs(layer))
            with tap(layer, stop=True):
                decoder(input_ids=ids, **{"use_cache": False, **cached})
        return seen[0]

    def _decoder(self, below: Below | None) -> nn.Module:
        if below is None:
            found: nn.Module = self.model.get_submodule(self.layout.decoder[0])
            return found
        return decoder_above(self.model, self.layout, below.layer, below.output)


def _after(ids: Tensor, past: int, cache: DynamicCache) -> dict[str, Any]:
    """Arguments for a pass over tokens `past` and later of `ids` [B, T], behind a cache of those before."""
    B, T = ids.shape
    positions = torch.arange(past, T, device=ids.device)[None].expand(B, -1)
    return {
        "attention_mask": torch.ones_like(ids),
        "position_ids": positions,
        "past_key_values": cache,
        "use_cache": True,
    }


def _cut(below: Below | None, rows: slice, times: slice) -> Below | None:
    if below is None:
        return None
    hidden = below.output.hidden[rows, times]
    return Below(layer=below.layer, output=LayerOutput(hidden, below.output.as_tuple))


def _repeated(pair: Tensor, rows: int) -> Tensor:
    return pair.expand(rows, -1, -1, -1)


def _common_length(ids: Tensor) -> int:
    """Number of tokens at the beginning that all rows share; 0 when that saves nothing."""
    if len(ids) < 3:
        return 0
    L = int((ids == ids[:1]).all(0).long().cumprod(0).sum())
    # One token at least must be left to run behind the common ones.
    L = min(L, ids.shape[1] - 1)
    return L if L >= MIN_COMMON else 0
