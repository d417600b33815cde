"""Reuse the output of decoder layers that no edit has changed.

An edit changes nothing below its lowest layer, and the guard scores the same texts with many sets of edits.
So the output of the unchanged lower layers is computed once for each text and cached.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from guardedit.models.bypass import Patch
from guardedit.models.layouts.layout import Layout
from guardedit.models.views import with_module

#: Most bytes of cached hidden states; the least recently used ones are dropped first.
CACHE_BYTES = 256 * 2**20


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


class LowerLayerCache:
    """Computes final hidden states of texts, running only the layers from the lowest changed one up.

    Args:
        model: a Hugging Face causal language model. The layers below the `changed` of each call must still
            have the base model's weights.
        layout: of the model.
        max_bytes: most bytes of hidden states that are cached.
    """

    def __init__(self, model: Any, layout: Layout, *, max_bytes: int = CACHE_BYTES) -> None:
        self._model, self._layout, self._max_bytes = model, layout, max_bytes
        self._cached: OrderedDict[tuple[int, str], LayerOutput] = OrderedDict()

    def final_hidden(self, ids: Tensor, changed: int) -> Tensor:
        """Final hidden states [B, T, d].

        Args:
            ids: [B, T], padded on the right.
            changed: the lowest decoder layer that differs from the base model; the number of layers if none
                does.
        """
        if changed == 0:
            return self._run(self._model.get_submodule(self._layout.decoder[0]), ids)
        key = changed - 1, hashlib.sha256(repr(ids.tolist()).encode()).hexdigest()
        if key in self._cached:
            self._cached.move_to_end(key)
            output = self._cached[key]
            copied = LayerOutput(output.hidden.clone(), output.as_tuple)
            return self._run(decoder_above(self._model, self._layout, changed - 1, copied), ids)
        with recorded_outputs(self._model.get_submodule(self._layout.layer_name(changed - 1))) as seen:
            final = self._run(self._model.get_submodule(self._layout.decoder[0]), ids)
        self._cached[key] = seen[0]
        while sum(output.hidden.nbytes for output in self._cached.values()) > self._max_bytes:
            self._cached.popitem(last=False)
        return final

    @staticmethod
    def _run(decoder: nn.Module, ids: Tensor) -> Tensor:
        hidden: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
        return hidden
