"""A model with a module replaced, as a copy that shares every other module, and the head seen so.

Knows module paths. Changes nothing of the model it is given, so it needs no undoing, and several threads may
each have a view of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from guardedit.models.hooks import in_rows


def with_module(root: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """`root` with `module` at `path`: the modules on the way are copied, all the others are shared."""
    name, _, rest = path.partition(".")
    view: nn.Module = copy.copy(root)
    view._modules = {  # noqa: SLF001  # nn.Module has no public way to share all modules but one
        **root._modules,  # noqa: SLF001  # as above
        name: with_module(root.get_submodule(name), rest, module) if rest else module,
    }
    return view


def adding(root: nn.Module, additions: Mapping[str, Callable[[Tensor], Tensor]], *, rows: int) -> nn.Module:
    """`root` whose modules at some paths add something to what they put out.

    Args:
        root: a model or a part of one.
        additions: by path, from what enters the module [rows, time, f] to what is added [rows, time, d].
        rows: batch size.
    """
    for path, add in additions.items():
        root = with_module(root, path, _Adding(root.get_submodule(path), add, rows))
    return root


def only_at(root: nn.Module, path: str, wanted: Tensor) -> nn.Module:
    """`root` whose module at `path` runs at some tokens only, and puts out zero at the others.

    Args:
        root: a model or a part of one.
        path: of a module that treats every token by itself, such as an MLP.
        wanted: [batch, time] bool.
    """
    return with_module(root, path, _OnlyAt(root.get_submodule(path), wanted))


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


class _Around(nn.Module):
    """Stands in a module's place; whoever looks for the module's parameters finds them."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class _Adding(_Around):
    """A module and what is added to its output."""

    def __init__(self, inner: nn.Module, add: Callable[[Tensor], Tensor], rows: int) -> None:
        super().__init__(inner)
        self._add, self._rows = add, rows

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = self.inner(*args, **kwargs)
        arrives = self._add(in_rows(args[0], self._rows))
        return output + arrives.reshape(output.shape).to(output)


class _OnlyAt(_Around):
    """A module that is given some tokens of those it is called with."""

    def __init__(self, inner: nn.Module, wanted: Tensor) -> None:
        super().__init__(inner)
        self._wanted = wanted

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = {name: self._picked(value) for name, value in kwargs.items()}
        result = self.inner(*map(self._picked, args), **given)
        whole, first = (result, result[0]) if isinstance(result, tuple) else (None, result)
        nothing = first.new_zeros(*self._wanted.shape, first.shape[-1])
        spread = nothing.index_put(torch.nonzero(self._wanted, as_tuple=True), first[0])
        return spread if whole is None else (spread, *whole[1:])

    def _picked(self, value: Any) -> Any:
        per_token = isinstance(value, Tensor) and value.shape[:2] == self._wanted.shape
        return value[self._wanted][None] if per_token else value
