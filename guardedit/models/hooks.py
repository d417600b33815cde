"""Taps: record the input and output of a module, or replace its output, for the length of a `with` block.

The hook is removed however the block ends. Hold the host's lock while tapping: a hook sees every forward
pass of the module, also those of other threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from guardedit.core.errors import EditError


@dataclass(slots=True)
class Tap:
    """Input and output of the module in its latest forward pass; None before the first.

    Neither tensor is detached: gradients flow through `output` and through a replacement. Later modules get a
    copy of `output`, since some of them add to it in place (Falcon).
    """

    input: Tensor | None = None
    output: Tensor | None = None

    def seen(self) -> tuple[Tensor, Tensor]:
        """Input and output, each [batch, time, width]; EditError when the module has not run."""
        if self.input is None or self.output is None:
            raise EditError("the tapped module did not run: is it part of this model's forward pass?")
        return self.input, self.output


class _Stop(BaseException):
    """Ends a forward pass at a tapped module. Caught in `tap`; it never leaves this file."""

    def __init__(self, tap: Tap) -> None:
        super().__init__()
        self.tap = tap


@contextmanager
def tap(
    module: nn.Module,
    *,
    replace: Callable[[Tensor], Tensor] | None = None,
    stop: bool = False,
    rows: int | None = None,
) -> Iterator[Tap]:
    """Record the module's input and output [batch, time, width], or change its output.

    Args:
        module: for the down projection, the input is the key and the output is the value.
        replace: function from the output to the tensor that later modules see instead; `Tap.output` is then
            that tensor.
        stop: end the forward pass right after this module. The rest of the `with` block after the model
            call is skipped too, so read the tap after the block.
        rows: batch size. Some modules get all tokens in one long row, [batch * time, width] (OPT); with
            `rows`, tap and `replace` still see [batch, time, width].
    """
    seen = Tap()

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        # Some decoder layers return a tuple whose first entry is the hidden state.
        whole, first = (result, result[0]) if isinstance(result, tuple) else (None, result)
        shape = first.shape
        first = in_rows(first, rows)
        if replace is not None:
            first = replace(first)
        seen.input = in_rows(args[0] if args else next(iter(kwargs.values())), rows)
        seen.output = first
        if stop:
            raise _Stop(seen)
        passed = first.clone().reshape(shape)
        return passed if whole is None else (passed, *whole[1:])

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield seen
    except _Stop as signal:
        if signal.tap is not seen:
            raise
    finally:
        handle.remove()


def in_rows(tokens: Tensor, rows: int | None) -> Tensor:
    """[batch * time, width] as [batch, time, width]; without `rows`, and for other shapes, unchanged."""
    return tokens if rows is None or tokens.ndim != 2 else tokens.reshape(rows, -1, tokens.shape[1])
