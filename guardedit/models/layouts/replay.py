"""One decoder layer run again by itself, with some of its modules' outputs changed: an experiment on it.

Knows calls and tensors. Does not know what the modules are for. The layer is a copy in float64 or float32, so
that what is equal by structure is equal in numbers, whatever the model's own precision.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: Gets what a module put out, gives what later modules shall see; same shape.
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one module was given and put out.

    Attributes:
        args: positional arguments; tensors are copies, since some layers add in place.
        kwargs: arguments by name, likewise.
        input: the first floating tensor among them, [rows, width]; None where there is none.
        output: what it put out, or the first part of it, [rows, width].
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input: Tensor | None
    output: Tensor


def call_of(args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Call | None:
    """A call with copied tensors; None when the module put out no tensor."""
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


def plus(vectors: Tensor) -> Change:
    """Adds `vectors` [rows, width]."""
    return lambda out: out + vectors.reshape(out.shape)


def held(vectors: Tensor) -> Change:
    """Puts `vectors` [rows, width] in the output's place."""
    return lambda out: vectors.reshape(out.shape).clone()


class Replay:
    """A copy of a decoder layer with the arguments of one real call.

    Args:
        layer: copied, never changed.
        call: of this layer.
        dtype: of the copy's numbers and of those it is given.

    Attributes:
        layer: the copy.
        calls: by module name, those that ran exactly once, parents first; the layer itself is "".
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
        self, changes: Mapping[str, Change] | None = None, *, given: Tensor | None = None
    ) -> dict[str, Call]:
        """Calls of one run in which the named modules' outputs are changed and `given` [rows, d] enters."""
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
        """What one module puts out by itself, given other hidden states [rows, width] and else the same."""
        call = self.calls[name]
        args, kwargs = _given(call.args, call.kwargs, given)
        with torch.no_grad():
            result = self.layer.get_submodule(name)(*args, **kwargs)
        return rows(result[0] if isinstance(result, tuple) else result)


def _hook(seen: list[Call], change: Change | None) -> Callable[..., Any]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        if change is not None:
            result = (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)
        call = call_of(args, kwargs, result)
        if call is not None:
            seen.append(call)
        return result

    return hook


def _place(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | str | None:
    """Where the hidden states are: by position, by their usual name, else the first floating tensor."""
    places: list[tuple[int | str, Any]] = [*enumerate(args)]
    places += [("hidden_states", kwargs.get("hidden_states")), *kwargs.items()]
    for place, part in places:
        if isinstance(part, Tensor) and part.is_floating_point() and part.ndim > 0:
            return place
    return None


def _given(
    args: tuple[Any, ...], kwargs: dict[str, Any], hidden: Tensor | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Copies of the arguments, `hidden` [rows, width] in the place of the hidden states."""
    args, kwargs = _mapped(args, torch.clone), _mapped(kwargs, torch.clone)
    place = _place(args, kwargs)
    if hidden is None or place is None:
        return args, kwargs
    if isinstance(place, int):
        new = hidden.reshape(args[place].shape).clone()
        return (*args[:place], new, *args[place + 1 :]), kwargs
    return args, {**kwargs, place: hidden.reshape(kwargs[place].shape).clone()}


def _mapped(part: Any, change: Change) -> Any:
    """Every tensor in nested tuples, lists and dicts changed; anything else as it is."""
    if isinstance(part, Tensor):
        return change(part)
    if type(part) in (tuple, list):
        return type(part)(_mapped(entry, change) for entry in part)
    if type(part) is dict:
        return {name: _mapped(entry, change) for name, entry in part.items()}
    return part
