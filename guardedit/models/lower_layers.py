"""The layers below an edit: which they are, what they return, and a decoder that runs only those above."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from guardedit.models.bypass import Patch
from guardedit.models.layouts.layout import Layout
from guardedit.models.views import with_module


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """Output of one decoder layer.

    Attributes:
        hidden: [B, T, d].
        as_tuple: whether this architecture's layers return `hidden` inside a tuple.
    """

    hidden: Tensor
    as_tuple: bool


@contextmanager
def recorded_outputs(layer: nn.Module) -> Iterator[list[LayerOutput]]:
    """Record copies of the outputs of a decoder layer in a `with` block."""
    seen: list[LayerOutput] = []

    def hook(_: nn.Module, __: Any, result: Any) -> None:
        as_tuple = isinstance(result, tuple)
        # Some architectures add to this tensor in place later on.
        seen.append(LayerOutput((result[0] if as_tuple else result).clone(), as_tuple))

    handle = layer.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def decoder_above(model: nn.Module, layout: Layout, layer: int, output: LayerOutput) -> nn.Module:
    """A copy of the decoder whose layers 0 to `layer` return `output` instead of running.

    Every other module is shared with the model.

    Args:
        model: a Hugging Face causal language model.
        layout: of the model.
        layer: the highest layer that does not run.
        output: output of that layer; the copy must be called with the ids that it was computed from.
    """
    path, name = layout.decoder
    decoder = model.get_submodule(path)
    layers = decoder.get_submodule(name)
    assert isinstance(layers, nn.ModuleList)
    fixed = _FixedOutput(output)
    return with_module(decoder, name, nn.ModuleList([fixed] * (layer + 1) + list(layers[layer + 1 :])))


class _FixedOutput(nn.Module):
    """Replaces a decoder layer: returns a recorded output, whatever its input."""

    def __init__(self, output: LayerOutput) -> None:
        super().__init__()
        self.output: Any = (output.hidden,) if output.as_tuple else output.hidden

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.output


def lowest_changed_layer(patch: Patch, layout: Layout, layers: int) -> int:
    """The lowest decoder layer that a patch changes.

    Args:
        patch: its matrices and bypasses.
        layout: of the model.
        layers: number of decoder layers.

    Returns:
        Its number; `layers` when none is changed, 0 when a parameter outside the down projections is changed.
    """
    layer_of = {layout.matrix_name(layer): layer for layer in range(layers)}
    named = [layer_of.get(name, 0) for name in patch.matrices]
    return min([*named, *(bypass.layer for bypass in patch.bypasses)], default=layers)


class OpenPatches:
    """The patches that a model runs with now, the outermost first.

    Args:
        layout: of the model.
        layers: number of its decoder layers.
    """

    def __init__(self, layout: Layout, layers: int) -> None:
        self._layout, self._layers = layout, layers
        self._open: list[Patch] = []

    @contextmanager
    def opened(self, patch: Patch) -> Iterator[None]:
        """Count a patch as open for the length of a `with` block."""
        self._open.append(patch)
        try:
            yield
        finally:
            self._open.pop()

    @property
    def any(self) -> bool:
        """Whether one is open."""
        return bool(self._open)

    @property
    def lowest(self) -> int:
        """The lowest decoder layer that an open patch changes; the number of layers when none does."""
        changed = [lowest_changed_layer(patch, self._layout, self._layers) for patch in self._open]
        return min(changed, default=self._layers)

    @property
    def bypassed(self) -> bool:
        """Whether an open patch has a bypass."""
        return any(patch.bypasses for patch in self._open)
