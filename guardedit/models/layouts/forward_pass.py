"""One forward pass over a few tokens, with the input and output of every module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.models.layouts.replay import Call, call_of, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPass:
    """Calls of every module by its name, in order, and the logits [tokens, vocabulary]."""

    calls: dict[str, list[Call]]
    logits: Tensor

    def once(self, name: str) -> Call | None:
        """The module's only call; None when it ran several times or not at all."""
        calls = self.calls.get(name, [])
        return calls[0] if len(calls) == 1 else None


def record_pass(model: Any, *, tokens: int, vocabulary: int) -> ForwardPass:
    """Run the model on `tokens` different tokens, without dropout or gradients; it is left unchanged."""
    calls: dict[str, list[Call]] = {}

    def recorder(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
            call = call_of(args, kwargs, result)
            if call is not None:
                calls.setdefault(name, []).append(call)

        return hook

    # Does not start at token 0: the first tokens are often special, and a padding token's embedding is zero.
    ids = torch.linspace(vocabulary // 4, vocabulary - 1, tokens).long()[None]  # [1, tokens]
    handles = [
        module.register_forward_hook(recorder(name), with_kwargs=True)
        for name, module in model.named_modules()
        if name
    ]
    try:
        with evaluating(model), torch.no_grad():
            device = next(model.parameters()).device
            logits = rows(model(input_ids=ids.to(device), use_cache=False).logits)
    finally:
        for handle in handles:
            handle.remove()
    return ForwardPass(calls=calls, logits=logits)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for the length of a `with` block; afterwards every module has its previous mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
