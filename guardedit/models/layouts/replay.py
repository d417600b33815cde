"""Run one decoder layer again by itself, with changed outputs of some of its modules.

The layer is a copy in float64 or float32, so that values that are equal by structure are equal up to
rounding, whatever the model's own precision is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: From a module's output to the tensor of the same shape that later modules see instead.
OutputChange = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Arguments and output of one call of a module.

    Attributes:
        args: positional arguments; tensors are copies, since some layers add in place.
        kwargs: arguments by name, likewise.
        input: the first floating-point tensor among them, [rows, width]; None where there is none.
        output: the returned tensor, or the first one of a tuple, [rows, width].
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input: Tensor | None
    output: Tensor


def call_of(args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Call | None:
    """A call with copied tensors; None when the module returned no tensor."""
    first = result[0] if isinstance(result, tuple) and result else result
    if not isinstance(first, Tensor) or first.ndim == 0:
        return None
    args, kwargs = _mapped(args, torch.clone), _mapped(kwargs, torch.clone)
    place = _place(args, kwargs)
    given = None if place is None else rows(args[place] if isinstance(place, int) else kwargs[place])
    return Call(args=args, kwargs=kwargs, input=given, output=rows(first.clone()))


def rows(part: Tensor) -> Tensor:
    """[.., width] to [rows, width]: some layers flatten batch and time."""
    return part.reshape(-1, part.shape[-1])


def plus(vectors: Tensor) -> OutputChange:
    """A change that adds `vectors` [rows, width]."""
    return lambda out: out + vectors.reshape(out.shape)


def fixed_to(vectors: Tensor) -> OutputChange:
    """A change that replaces the output by `vectors` [rows, width]."""
    return lambda out: vectors.reshape(out.shape).clone()


class Replay:
    """A copy of a decoder layer with the arguments of one real call.

    Args:
        layer: copied, never changed.
        call: of this layer.
        dtype: of the copy's parameters and of its inputs.

    Attributes:
        layer: the copy.
        calls: by module name, of the modules that ran exactly once, parents first; the layer itself is "".
    """

    def __init__(self, layer: nn.Module, call: Call, *, dtype: torch.dtype = torch.float64) -> None:
        def cast(part: Tensor) -> Tensor:
            return part.to(dtype) if part.is_floating_point() else part.clone()

        self.layer = copy.deepcopy(layer).to(dtype)
        self._args = _mapped(call.args, cast)
        self._kwargs = _mapped(call.kwargs, cast)
        self.calls = self.run()

    @property
    def input(self) -> Tensor:
        """The hidden states that enter the layer, [rows, d]."""
        given = self.calls[""].input
        assert given is not None
        return given

    @property
    def output(self) -> Tensor:
        """The hidden states that leave the layer, [rows, d]."""
        return self.calls[""].output

    def run(
        self, changes: Mapping[str, OutputChange] | None = None, *, given: Tensor | None = None
    ) -> dict[str, Call]:
        """Run the layer, optionally with changes of modules' outputs and with another input.

        Args:
            changes: by module name.
            given: [rows, d], hidden states that enter the layer; default: those of the recorded call.

        Returns:
            By module name, the calls of the modules that ran exactly once.
        """
        seen: dict[str, list[Call]] = {name: [] for name, _ in self.layer.named_modules()}
        changes = changes or {}
        handles = [
            module.register_forward_hook(_hook(seen[name], changes.get(name)), with_kwargs=True)
            for name, module in self.layer.named_modules()
        ]
        try:
            args, kwargs = _given(self._args, self._kwargs, given)
            with torch.no_grad():
                self.layer(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
        return {name: calls[0] for name, calls in seen.items() if len(calls) == 1}

    def alone(self, name: str, given: Tensor) -> Tensor:
        """Output of one module by itself on other hidden states [rows, width], with its other arguments."""
        call = self.calls[name]
        args, kwargs = _given(call.args, call.kwargs, given)
        with torch.no_grad():
            result = self.layer.get_submodule(name)(*args, **kwargs)
        return rows(result[0] if isinstance(result, tuple) else result)


def _hook(seen: list[Call], change: OutputChange | None) -> Callable[..., Any]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        if change is not None:
            result = (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)
        call = call_of(args, kwargs, result)
        if call is not None:
            seen.append(call)
        return result

    return hook


def _place(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | str | None:
    """Position or name of the hidden states: the first floating-point argument, positional ones first."""
    places: list[tuple[int | str, Any]] = [*enumerate(args)]
    places += [("hidden_states", kwargs.get("hidden_states")), *kwargs.items()]
    for place, part in places:
        if isinstance(part, Tensor) and part.is_floating_point() and part.ndim > 0:
            return place
    return None


def _given(
    args: tuple[Any, ...], kwargs: dict[str, Any], hidden: Tensor | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Copies of the arguments with `hidden` [rows, width] as the hidden states."""
    args, kwargs = _mapped(args, torch.clone), _mapped(kwargs, torch.clone)
    place = _place(args, kwargs)
    if hidden is None or place is None:
        return args, kwargs
    if isinstance(place, int):
        new = hidden.reshape(args[place].shape).clone()
        return (*args[:place], new, *args[place + 1 :]), kwargs
    return args, {**kwargs, place: hidden.reshape(kwargs[place].shape).clone()}


def _mapped(part: Any, change: OutputChange) -> Any:
    """Apply `change` to every tensor in nested tuples, lists and dicts; keep everything else."""
    if isinstance(part, Tensor):
        return change(part)
    if type(part) in (tuple, list):
        return type(part)(_mapped(entry, change) for entry in part)
    if type(part) is dict:
        return {name: _mapped(entry, change) for name, entry in part.items()}
    return part
