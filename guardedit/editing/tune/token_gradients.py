"""One pass forward and back: what enters some down projections, and the gradient of what leaves them.

The gradient of a matrix is the sum over tokens of their outer products, and no parameter needs a gradient
for it. Knows hooks. Changes nothing of the model.
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

#: Rows a pass takes at once; bounds memory.
CHUNK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGradients:
    """N tokens at one layer, row after row.

    Attributes:
        keys: [N, f] float64, CPU: inputs of the down projection.
        gradients: [N, d] float64, CPU: of the rows' summed losses in nats by its outputs.
    """

    keys: Tensor
    gradients: Tensor


def token_gradients(
    host: ModelHost, layers: Sequence[int], rows: RowTensors
) -> tuple[dict[int, TokenGradients], Tensor]:
    """By layer, every position that predicts an answer token; and for each the row it is of, [N].

    Losses are summed, so that what a row gets does not depend on the others.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}
    places = torch.arange(rows.ids.shape[1])
    asked = (places >= rows.first[:, None]) & (places <= rows.last[:, None])  # [B, T]
    for chunk in torch.split(torch.arange(len(rows.lengths)), CHUNK):
        mine = asked[chunk, : int(rows.lengths[chunk].max())]
        for layer, (keys, gradients) in _pass(host, layers, rows.ids[chunk], mine).items():
            found[layer].append((keys[mine].double(), gradients[mine].double()))
    joined = {
        layer: TokenGradients(
            keys=torch.cat([keys for keys, _ in parts]), gradients=torch.cat([g for _, g in parts])
        )
        for layer, parts in found.items()
    }
    return joined, asked.nonzero()[:, 0]


def text_rows(host: ModelHost, texts: Sequence[str], *, length: int) -> RowTensors:
    """Ordinary text as rows whose every token but the first is an answer token.

    Args:
        host: its tokenizer is used.
        texts: those of fewer than two tokens are left out.
        length: most tokens of a text that are used.
    """
    ids = [row[:length] for text in texts if len(row := encode(host.tokenizer, text)) > 1]
    lengths, zero = torch.tensor([len(row) for row in ids]), torch.zeros(len(ids), dtype=torch.int64)
    return RowTensors(
        ids=pad(ids),
        lengths=lengths,
        subject_at=zero,
        first=zero,
        last=lengths - 2,
        group=zero,
        context=zero,
        keep=zero.bool(),
    )


def _pass(
    host: ModelHost, layers: Sequence[int], ids: Tensor, asked: Tensor
) -> dict[int, tuple[Tensor, Tensor]]:
    """By layer, keys [b, T, f] and gradients [b, T, d], on the CPU; `asked` [b, T] says what T is."""
    ids = ids[:, : asked.shape[1]]
    nudges: dict[int, Tensor] = {}
    taps: dict[int, Tap] = {}

    def nudged(layer: int, output: Tensor) -> Tensor:
        nudges[layer] = torch.zeros_like(output).requires_grad_()
        return output + nudges[layer]

    with ExitStack() as stack, torch.enable_grad():
        for layer in layers:
            replace = lambda output, layer=layer: nudged(layer, output)  # noqa: E731  # one a layer
            taps[layer] = stack.enter_context(tap(host.mlp_out(layer), replace=replace, rows=len(ids)))
        logits = host.model(input_ids=ids.to(host.device), use_cache=False).logits
        where = asked.nonzero()
        logp = logits[where[:, 0], where[:, 1]].float().log_softmax(-1)
        answers = ids[where[:, 0], where[:, 1] + 1].to(logp.device)
        loss = -logp.gather(1, answers[:, None]).sum()
        if not bool(torch.isfinite(loss)):
            raise EditDiverged("the model's loss is not finite: undo its latest edits first")
        gradients = torch.autograd.grad(loss, [nudges[layer] for layer in layers])
    return {
        layer: (
            taps[layer].seen()[0].detach().cpu(),
            gradient.cpu().reshape(len(ids), -1, gradient.shape[-1]),
        )
        for layer, gradient in zip(layers, gradients, strict=True)
    }
