"""Gradients of the editing loss in factored form, and forward passes with low-rank changes of the matrices.

The gradient of a matrix is a sum of outer products, one for each token (Mitchell et al. 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from guardedit.editing.optimise.contexts import STOP
from guardedit.models.hooks import in_rows
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import IGNORED, TokenBatch, batch

#: (keys [B, T, f], values [B, T, d]) of a down projection -> the values [B, T, d] that later modules see.
OutputEdit = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Gradient:
    """Gradients of E losses with respect to one matrix W [d, f], as products over T tokens.

    The gradient of loss e is `outputs[e].T @ keys[e]`, [d, f].

    Attributes:
        keys: [E, T, f] float32, inputs of the down projection; zero where `used` is false.
        outputs: [E, T, d] float32, gradients of the loss with respect to its outputs; zero where `used` is
            false.
        used: [E, T] bool, tokens at which key and gradient are both nonzero.
    """

    keys: Tensor
    outputs: Tensor
    used: Tensor


@dataclass(frozen=True, slots=True)
class LowRankChange:
    """Low-rank changes of one matrix for E edits: edit e adds `left[e] @ right[e].T`.

    Attributes:
        left: [E, d, n] float32.
        right: [E, f, n] float32.
    """

    left: Tensor
    right: Tensor


def encode_answers(host: ModelHost, prompts: Sequence[str], answers: Sequence[str]) -> TokenBatch:
    """Prompts with answers. Each answer ends with `STOP`, so that the edit also teaches where to stop.

    Raises:
        MalformedCorrection: when a row does not fit into the context.
    """
    ended = [answer + STOP for answer in answers]
    return batch(host.tokenizer, prompts, ended, context=host.context, device=host.device)


def answer_nats(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean -log p over each row's answer tokens, [B] in nats.

    Args:
        logits: [B, T, vocabulary].
        targets: [B, T], the answer token to predict at each position, or `IGNORED`.
        smoothing: label smoothing.
    """
    flat = logits.float().flatten(0, 1)
    nats = functional.cross_entropy(
        flat, targets.flatten(), ignore_index=IGNORED, reduction="none", label_smoothing=smoothing
    )
    return nats.view_as(targets).sum(1) / (targets != IGNORED).sum(1)


def loss_gradients(
    host: ModelHost, layers: Sequence[int], texts: TokenBatch, *, smoothing: float = 0.0
) -> dict[int, Gradient]:
    """By layer, the gradient of each row's `answer_nats` on the model as it stands.

    The caller holds the host's lock. Parameters need no gradient: zeros with a gradient are added to the
    values, so the model is left unchanged.
    """
    zeros: dict[int, Tensor] = {}
    keys: dict[int, Tensor] = {}

    def recorder(layer: int) -> OutputEdit:
        def add_zeros(layer_keys: Tensor, values: Tensor) -> Tensor:
            keys[layer] = layer_keys.detach().float()
            zeros[layer] = torch.zeros_like(values, dtype=torch.float32, requires_grad=True)
            return values + zeros[layer].to(values.dtype)

        return add_zeros

    recorders = {layer: recorder(layer) for layer in layers}
    with torch.enable_grad(), outputs_edited(host, recorders, rows=len(texts.ids)):
        logits = host.model(input_ids=texts.ids, use_cache=False).logits
        loss = answer_nats(logits, texts.targets, smoothing=smoothing).sum()
        found = torch.autograd.grad(loss, [zeros[layer] for layer in layers])
    return {layer: _gradient(keys[layer], outputs) for layer, outputs in zip(layers, found, strict=True)}


def output_edits(changes: Mapping[int, LowRankChange], edit: Tensor) -> dict[int, OutputEdit]:
    """By layer, the function that adds the changes of edit `edit[b]` to row b of a batch.

    Args:
        changes: layer -> changes of E edits; gradients flow into them.
        edit: [B] int64, number of the edit of each row.
    """

    def adding(change: LowRankChange) -> OutputEdit:
        def add_change(keys: Tensor, values: Tensor) -> Tensor:
            projected = keys.float() @ change.right[edit]  # [B, T, n]
            return values + (projected @ change.left[edit].transpose(1, 2)).to(values.dtype)

        return add_change

    return {layer: adding(change) for layer, change in changes.items()}


@contextmanager
def outputs_edited(host: ModelHost, edits: Mapping[int, OutputEdit], *, rows: int) -> Iterator[None]:
    """Apply functions to the outputs of down projections for the length of a `with` block.

    Args:
        host: locked by the caller.
        edits: layer -> function to apply.
        rows: batch size; some models pass all tokens to a down projection in one long row (OPT).
    """
    with ExitStack() as stack:
        for layer, edit in edits.items():
            handle = host.mlp_out(layer).register_forward_hook(_hook(edit, rows))
            stack.callback(handle.remove)
        yield


def _hook(edit: OutputEdit, rows: int) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return edit(in_rows(args[0], rows), in_rows(output, rows)).reshape(output.shape)

    return hook


def _gradient(keys: Tensor, outputs: Tensor) -> Gradient:
    used = (outputs != 0).any(-1) & (keys != 0).any(-1)  # false at padding and after the answer
    blank = ~used[..., None]
    return Gradient(keys=keys.masked_fill(blank, 0), outputs=outputs.masked_fill(blank, 0), used=used)
