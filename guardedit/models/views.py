"""Views: copies of a model that share all modules except those that are replaced.

A view leaves the model unchanged, so nothing has to be undone and each thread may have a view of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from guardedit.models.hooks import in_rows

#: Most logits in one piece of `logits_in_pieces`: 64 MB in float32.
MOST_LOGITS = 1 << 24


def with_module(root: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """A view of `root` with `module` at `path`: its parents are copied, all other modules are shared."""
    name, _, rest = path.partition(".")
    view: nn.Module = copy.copy(root)
    view._modules = {  # noqa: SLF001  # nn.Module has no public way to share all modules but one
        **root._modules,  # noqa: SLF001  # as above
        name: with_module(root.get_submodule(name), rest, module) if rest else module,
    }
    return view


def with_additions(
    root: nn.Module, additions: Mapping[str, Callable[[Tensor], Tensor]], *, rows: int
) -> nn.Module:
    """A view of `root` in which some modules add a term to their output.

    Args:
        root: a model or a part of one.
        additions: path of a module -> function from its input [rows, time, f] to the term [rows, time, d].
        rows: batch size.
    """
    for path, add in additions.items():
        root = with_module(root, path, _WithAddition(root.get_submodule(path), add, rows))
    return root


def only_at_tokens(root: nn.Module, path: str, wanted: Tensor) -> nn.Module:
    """A view of `root` whose module at `path` runs at some tokens only, and returns zero at the others.

    Args:
        root: a model or a part of one.
        path: of a module in which no token depends on another, such as an MLP.
        wanted: [batch, time] bool.
    """
    return with_module(root, path, _OnlyAtTokens(root.get_submodule(path), wanted))


def head_logits(model: Any, decoder: str, hidden: Tensor) -> Tensor:
    """Logits that the model computes from final hidden states; some models cap or scale the head's output.

    Runs the model's own forward pass with a decoder that returns `hidden`, so everything after the decoder
    is done as the model does it (Gemma 2 caps, Cohere and Granite scale).

    Args:
        model: a Hugging Face causal language model.
        decoder: path of the module that returns the hidden states.
        hidden: [m, d], after the final norm; differentiable.

    Returns:
        [m, vocabulary].
    """
    view = with_module(model, decoder, _FixedDecoder(hidden[None]))
    ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)  # not read
    # `forward` is called directly, because hooks on the model itself are meant for whole passes.
    logits: Tensor = view.forward(input_ids=ids, use_cache=False).logits
    return logits[0]


def logits_in_pieces(model: Any, decoder: str, hidden: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """`head_logits` of many positions, a piece [k, vocabulary] at a time, with the rows of each piece.

    The logits of all positions may be larger than the model. One piece suffices unless the vocabulary is
    large. `model`, `decoder` and `hidden` are as in `head_logits`.
    """
    step = max(1, MOST_LOGITS // model.get_output_embeddings().weight.shape[0])
    for start in range(0, len(hidden), step):
        rows = slice(start, start + step)
        yield rows, head_logits(model, decoder, hidden[rows])


@dataclass
class _FinalStates(BaseModelOutputWithPast):
    """A decoder's result that has only hidden states; every other attribute is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _FixedDecoder(nn.Module):
    """Replaces a decoder: returns given hidden states, whatever its input."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, *_: Any, **__: Any) -> _FinalStates:
        return _FinalStates(last_hidden_state=self.hidden)


class _Wrapper(nn.Module):
    """Wraps a module; attributes that the wrapper lacks are the module's, so its parameters are found."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class _WithAddition(_Wrapper):
    """A module with a term added to its output."""

    def __init__(self, inner: nn.Module, add: Callable[[Tensor], Tensor], rows: int) -> None:
        super().__init__(inner)
        self._add, self._rows = add, rows

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = self.inner(*args, **kwargs)
        term = self._add(in_rows(args[0], self._rows))
        return output + term.reshape(output.shape).to(output)


class _OnlyAtTokens(_Wrapper):
    """A module that runs only at the wanted tokens."""

    def __init__(self, inner: nn.Module, wanted: Tensor) -> None:
        super().__init__(inner)
        self._wanted = wanted

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        selected = {name: self._selected(value) for name, value in kwargs.items()}
        result = self.inner(*map(self._selected, args), **selected)
        whole, first = (result, result[0]) if isinstance(result, tuple) else (None, result)
        zeros = first.new_zeros(*self._wanted.shape, first.shape[-1])
        output = zeros.index_put(torch.nonzero(self._wanted, as_tuple=True), first[0])
        return output if whole is None else (output, *whole[1:])

    def _selected(self, value: Any) -> Any:
        per_token = isinstance(value, Tensor) and value.shape[:2] == self._wanted.shape
        return value[self._wanted][None] if per_token else value
