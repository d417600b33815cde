"""A model with one module replaced, as a copy that shares every other module, and the head seen so.

Knows module paths. Changes nothing of the model it is given, so it needs no undoing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast


def with_module(root: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """`root` with `module` at `path`: the modules on the way are copied, all the others are shared."""
    name, _, rest = path.partition(".")
    view: nn.Module = copy.copy(root)
    view._modules = {  # noqa: SLF001  # nn.Module has no public way to share all modules but one
        **root._modules,  # noqa: SLF001  # as above
        name: with_module(root.get_submodule(name), rest, module) if rest else module,
    }
    return view


def head_logits(model: Any, decoder: str, hidden: Tensor) -> Tensor:
    """The logits the whole model makes of final hidden states; some cap or scale what the head puts out.

    It is the model's own forward pass that runs, over a decoder that has already finished, so whatever
    stands behind the decoder is done as the model does it (Gemma 2 caps, Cohere and Granite scale).

    Args:
        model: a Hugging Face causal language model.
        decoder: path of the module that puts out the hidden states.
        hidden: [m, d], behind the final norm; differentiable.

    Returns:
        [m, vocabulary].
    """
    finished = with_module(model, decoder, _Finished(hidden[None]))
    ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)  # nobody reads them
    # Not through `__call__`: hooks on the model itself are for whole passes.
    logits: Tensor = finished.forward(input_ids=ids, use_cache=False).logits
    return logits[0]


@dataclass
class _FinalStates(BaseModelOutputWithPast):
    """What a decoder returns, with nothing but the hidden states; what else a model looks for is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Finished(nn.Module):
    """Stands for a decoder that has already run."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, *_: Any, **__: Any) -> _FinalStates:
        return _FinalStates(last_hidden_state=self.hidden)
