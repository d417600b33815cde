"""The gradient of an edit's loss in factored form, and running the model with factored changes beside it.

Knows down projections and hooks. Does not know what a network makes of a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from guardedit.editing.optimise.rows import STOP
from guardedit.models.hooks import in_rows
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import IGNORED, Batch, batch

#: Gets keys [B, T, f] and values [B, T, d] of a down projection, gives the values that later modules see.
Beside = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Gradient:
    """Gradients of E losses with respect to one matrix W [d, f], as products over T tokens.

    The gradient of loss e is `outputs[e].T @ keys[e]`, [d, f].

    Attributes:
        keys: [E, T, f] float32, what enters the down projection; zero where `used` is false.
        outputs: [E, T, d] float32, gradient of the loss with respect to what leaves it; zero likewise.
        used: [E, T] bool, tokens at which neither is zero.
    """

    keys: Tensor
    outputs: Tensor
    used: Tensor


@dataclass(frozen=True, slots=True)
class Change:
    """Changes of one matrix for E edits: edit e adds `left[e] @ right[e].T`.

    Attributes:
        left: [E, d, n].
        right: [E, f, n].
    """

    left: Tensor
    right: Tensor


def encode(host: ModelHost, prompts: Sequence[str], answers: Sequence[str]) -> Batch:
    """Questions with answers; each ends in the stop of `editing.rows`, so that free generation ends there.

    Raises:
        MalformedCorrection: when a row does not fit into the context.
    """
    said = [answer + STOP for answer in answers]
    return batch(host.tokenizer, prompts, said, context=host.context, device=host.device)


def answer_nats(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean -log p over each row's answer tokens, [B]; logits [B, T, vocabulary], targets [B, T]."""
    flat = logits.float().flatten(0, 1)
    nats = functional.cross_entropy(
        flat, targets.flatten(), ignore_index=IGNORED, reduction="none", label_smoothing=smoothing
    )
    return nats.view_as(targets).sum(1) / (targets != IGNORED).sum(1)


def loss_gradients(
    host: ModelHost, layers: Sequence[int], texts: Batch, *, smoothing: float = 0.0
) -> dict[int, Gradient]:
    """By layer, the gradient of each row's `answer_nats` on the model as it stands (locked by the caller).

    Parameters ask for no gradient; zeros that are added to the values do, so nothing of the model changes.
    """
    zeros: dict[int, Tensor] = {}
    keys: dict[int, Tensor] = {}

    def listen(layer: int) -> Beside:
        def beside(seen: Tensor, values: Tensor) -> Tensor:
            keys[layer] = seen.detach().float()
            zeros[layer] = torch.zeros_like(values, dtype=torch.float32, requires_grad=True)
            return values + zeros[layer].to(values.dtype)

        return beside

    besides = {layer: listen(layer) for layer in layers}
    with torch.enable_grad(), beside_layers(host, besides, rows=len(texts.ids)):
        logits = host.model(input_ids=texts.ids, use_cache=False).logits
        loss = answer_nats(logits, texts.targets, smoothing=smoothing).sum()
        found = torch.autograd.grad(loss, [zeros[layer] for layer in layers])
    return {layer: _gradient(keys[layer], outputs) for layer, outputs in zip(layers, found, strict=True)}


def changed(changes: Mapping[int, Change], edit: Tensor) -> dict[int, Beside]:
    """What runs row b of a batch with the changes of edit `edit[b]`; gradients flow into the changes."""

    def adding(change: Change) -> Beside:
        def beside(keys: Tensor, values: Tensor) -> Tensor:
            shares = keys.float() @ change.right[edit]  # [B, T, n]
            return values + (shares @ change.left[edit].transpose(1, 2)).to(values.dtype)

        return beside

    return {layer: adding(change) for layer, change in changes.items()}


@contextmanager
def beside_layers(host: ModelHost, besides: Mapping[int, Beside], *, rows: int) -> Iterator[None]:
    """Let each function decide what the down projection of its layer puts out; hooks go whatever happens.

    `rows` is the batch size: some models hand a down projection all tokens in one long row (OPT).
    """
    with ExitStack() as stack:
        for layer, beside in besides.items():
            handle = host.mlp_out(layer).register_forward_hook(_hook(beside, rows))
            stack.callback(handle.remove)
        yield


def _hook(beside: Beside, rows: int) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return beside(in_rows(args[0], rows), in_rows(output, rows)).reshape(output.shape)

    return hook


def _gradient(keys: Tensor, outputs: Tensor) -> Gradient:
    used = (outputs != 0).any(-1) & (keys != 0).any(-1)  # padding, and what comes after the answer
    blank = ~used[..., None]
    return Gradient(keys=keys.masked_fill(blank, 0), outputs=outputs.masked_fill(blank, 0), used=used)
