"""The part of the forward pass that does not depend on any edit of the rows, run once.

In a causal model this is every layer up to the lowest edited one, and every token before the subject's last
token. The result is what `UpperLayers` starts from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from guardedit.editing.optimise.prefix_cache import prefix_keys_values
from guardedit.editing.optimise.split_rows import SplitRows
from guardedit.models.hidden.attention import Pair, cache_of
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.lower_layers import recorded_outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedActivations:
    """Activations of B rows that no edit changes.

    Attributes:
        hidden: [B, S, d], output of the lowest edited decoder layer, from the subject's last token on.
        values: [B, S, d], output of that layer's down projection.
        keys: [B, S, f] float32, input of that down projection.
        past: attention keys and values of the prefix tokens, [B, heads, P, width], for each layer above.
        as_tuple: whether a decoder layer returns a tuple.
    """

    hidden: Tensor
    values: Tensor
    keys: Tensor
    past: list[Pair]
    as_tuple: bool


def run_lower(host: ModelHost, layer: int, rows: SplitRows, context: Tensor) -> FixedActivations:
    """Run the layers up to `layer` on all rows, and all layers on their prefixes.

    Args:
        host: the model.
        layer: the lowest edited layer.
        rows: B rows.
        context: [B], number of each row's context prefix; rows with the same prefix share a pass.
    """
    decoder = host.model.get_submodule(host.layout.decoder[0])
    decoder_layer, mlp_out = host.decoder_layer(layer), host.mlp_out(layer)
    hidden, values, keys = list[Tensor](), list[Tensor](), list[Tensor]()
    past, as_tuple = list[Pair](), False
    chunks = rows.chunks_by_context(context)
    for chunk in chunks:
        # At least one token, even if it is padding, so that every row has a past if any row has one.
        P, S = max(int(rows.before[chunk].max()), min(rows.P, 1)), rows.suffix_length(chunk)
        with host.lock, torch.no_grad():
            prefix = _prefill(decoder, rows, chunk, P, host.device)
            taps = tap(mlp_out, rows=len(chunk))
            with recorded_outputs(decoder_layer) as outputs, tap(decoder_layer, stop=True), taps as seen:
                run_suffix(decoder, rows, chunk, P=P, S=S, past=prefix, device=host.device)
        to_longest = (0, 0, 0, rows.S - S)
        hidden.append(pad(outputs[0].hidden, to_longest))
        keys.append(pad(seen.seen()[0].float(), to_longest))
        values.append(pad(seen.seen()[1], to_longest))
        read_above = prefix[layer + 1 :]
        past = past or [(_empty(k, rows), _empty(v, rows)) for k, v in read_above]
        for (all_k, all_v), (k, v) in zip(past, read_above, strict=True):
            all_k[chunk, :, rows.P - P :], all_v[chunk, :, rows.P - P :] = k, v
        as_tuple = outputs[0].as_tuple
    back = torch.cat(chunks).argsort()
    return FixedActivations(
        hidden=torch.cat(hidden)[back],
        values=torch.cat(values)[back],
        keys=torch.cat(keys)[back],
        past=past,
        as_tuple=as_tuple,
    )


def run_suffix(
    decoder: nn.Module,
    rows: SplitRows,
    chunk: Tensor,
    *,
    P: int,
    S: int,
    past: list[Pair],
    device: torch.device,
) -> Tensor:
    """Final hidden states [b, S, d] of the tokens from the subject's last one on.

    Args:
        decoder: without the language-model head.
        rows: B rows.
        chunk: [b] row indices.
        P: prefix tokens in `past`.
        S: suffix tokens to run.
        past: attention keys and values of the prefix, for each layer.
        device: torch device of the decoder.
    """
    start = rows.P
    hidden: Tensor = decoder(
        input_ids=rows.ids[chunk, start : start + S].to(device),
        attention_mask=rows.mask[chunk, start - P : start + S].long().to(device),
        position_ids=rows.positions[chunk, start : start + S].to(device),
        past_key_values=cache_of(past),
        use_cache=True,
    ).last_hidden_state
    return hidden


def _prefill(decoder: nn.Module, rows: SplitRows, chunk: Tensor, P: int, device: torch.device) -> list[Pair]:
    """Attention keys and values of the P prefix tokens, for each layer; zero at padding."""
    if P == 0:
        return []
    prefix = slice(rows.P - P, rows.P)
    parts = (part[chunk, prefix].to(device) for part in (rows.ids, rows.mask, rows.positions))
    return prefix_keys_values(decoder, *parts)


def _empty(like: Tensor, rows: SplitRows) -> Tensor:
    """Zeros for the prefix of all rows, [B, heads, P, width]."""
    return like.new_zeros(len(rows.ids), like.shape[1], rows.P, like.shape[3])
