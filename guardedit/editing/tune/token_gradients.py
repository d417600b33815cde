"""Inputs of down projections and gradients with respect to their outputs, from one forward and backward pass.

The gradient of a matrix is the sum over tokens of the outer products of the two. No parameter needs a
gradient for this, and the model is left unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.hooks import Tap, tap
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode, pad

#: Rows in one pass; bounds memory.
CHUNK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGradients:
    """N tokens at one layer, row after row.

    Attributes:
        keys: [N, f] float64 on the CPU, inputs of the down projection.
        gradients: [N, d] float64 on the CPU, gradients of the rows' summed losses in nats with respect to its
            outputs.
    """

    keys: Tensor
    gradients: Tensor


def token_gradients(
    host: ModelHost, layers: Sequence[int], rows: RowTensors
) -> tuple[dict[int, TokenGradients], Tensor]:
    """By layer, keys and gradients at the N tokens that predict an answer token; and the row of each, [N].

    Losses are summed, so that a row's gradients do not depend on the other rows.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}
    places = torch.arange(rows.ids.shape[1])
    predicting = (places >= rows.first[:, None]) & (places <= rows.last[:, None])  # [B, T]
    for chunk in torch.split(torch.arange(len(rows.lengths)), CHUNK):
        mine = predicting[chunk, : int(rows.lengths[chunk].max())]
        for layer, (keys, gradients) in _pass(host, layers, rows.ids[chunk], mine).items():
            found[layer].append((keys[mine].double(), gradients[mine].double()))
    joined = {
        layer: TokenGradients(
            keys=torch.cat([keys for keys, _ in parts]), gradients=torch.cat([g for _, g in parts])
        )
        for layer, parts in found.items()
    }
    return joined, predicting.nonzero()[:, 0]


def text_rows(host: ModelHost, texts: Sequence[str], *, length: int) -> RowTensors:
    """Ordinary texts as rows in which all tokens but the first are answer tokens.

    Args:
        host: its tokenizer is used.
        texts: the texts; those of fewer than two tokens are skipped.
        length: largest number of tokens that are used of a text.
    """
    ids = [row[:length] for text in texts if len(row := encode(host.tokenizer, text)) > 1]
    lengths, zero = torch.tensor([len(row) for row in ids]), torch.zeros(len(ids), dtype=torch.int64)
    return RowTensors(
        ids=pad(ids),
        lengths=lengths,
        subject_at=zero,
        first=zero,
        last=lengths - 2,
        changes=zero,
        group=zero,
        context=zero,
        keep=zero.bool(),
    )


def _pass(
    host: ModelHost, layers: Sequence[int], ids: Tensor, predicting: Tensor
) -> dict[int, tuple[Tensor, Tensor]]:
    """By layer, keys [b, T, f] and gradients [b, T, d], on the CPU.

    Args:
        host: locked by the caller.
        layers: decoder layers.
        ids: [b, at least T].
        predicting: [b, T] bool, positions that predict an answer token.
    """
    ids = ids[:, : predicting.shape[1]]
    zeros: dict[int, Tensor] = {}
    taps: dict[int, Tap] = {}

    def add_zeros(layer: int, output: Tensor) -> Tensor:
        zeros[layer] = torch.zeros_like(output).requires_grad_()
        return output + zeros[layer]

    with ExitStack() as stack, torch.enable_grad():
        for layer in layers:
            replace = lambda output, layer=layer: add_zeros(layer, output)  # noqa: E731  # bind `layer` now
            taps[layer] = stack.enter_context(tap(host.mlp_out(layer), replace=replace, rows=len(ids)))
        logits = host.model(input_ids=ids.to(host.device), use_cache=False).logits
        where = predicting.nonzero()
        logp = logits[where[:, 0], where[:, 1]].float().log_softmax(-1)
        answers = ids[where[:, 0], where[:, 1] + 1].to(logp.device)
        loss = -logp.gather(1, answers[:, None]).sum()
        if not bool(torch.isfinite(loss)):
            raise EditDiverged("the model's loss is not finite: undo its latest edits first")
        gradients = torch.autograd.grad(loss, [zeros[layer] for layer in layers])
    return {
        layer: (
            taps[layer].seen()[0].detach().cpu(),
            gradient.cpu().reshape(len(ids), -1, gradient.shape[-1]),
        )
        for layer, gradient in zip(layers, gradients, strict=True)
    }
