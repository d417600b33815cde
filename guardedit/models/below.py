"""Lower decoder layers that have already run, and what they put out for texts that are scored time and again.

An edit changes nothing below its lowest layer. Knows Hugging Face decoders; changes nothing of the model.
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

#: Hidden states that are kept; the longest unused go first.
KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Ran:
    """What a decoder layer put out.

    Attributes:
        hidden: [B, T, d].
        as_tuple: some architectures wrap it in one.
    """

    hidden: Tensor
    as_tuple: bool


@contextmanager
def running(layer: nn.Module) -> Iterator[list[Ran]]:
    """Collects what a decoder layer puts out in a `with` block, as it was before anybody changed it."""
    seen: list[Ran] = []

    def hook(_: nn.Module, __: Any, result: Any) -> None:
        whole = isinstance(result, tuple)
        # Some architectures go on adding to it in place.
        seen.append(Ran((result[0] if whole else result).clone(), whole))

    handle = layer.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def above(model: nn.Module, layout: Layout, layer: int, ran: Ran) -> nn.Module:
    """The decoder without the layers up to `layer`: a copy that shares every other module.

    Args:
        model: a Hugging Face causal language model.
        layout: of it.
        layer: the one whose output stands for it and for those below.
        ran: that output; the copy is called with the same ids.
    """
    path, name = layout.decoder
    decoder = model.get_submodule(path)
    layers = decoder.get_submodule(name)
    assert isinstance(layers, nn.ModuleList)
    given = _Given(ran)
    return with_module(decoder, name, nn.ModuleList([given] * (layer + 1) + list(layers[layer + 1 :])))


class _Given(nn.Module):
    """Stands for a decoder layer that has already run: puts out what it put out."""

    def __init__(self, ran: Ran) -> None:
        super().__init__()
        self.output: Any = (ran.hidden,) if ran.as_tuple else ran.hidden

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.output


def lowest_changed(patch: Patch, layout: Layout, layers: int) -> int:
    """The lowest decoder layer a patch changes; `layers` for none, 0 for what is in no layer known."""
    layer_of = {layout.matrix_name(layer): layer for layer in range(layers)}
    named = [layer_of.get(name, 0) for name in patch.matrices]
    return min([*named, *(bypass.layer for bypass in patch.bypasses)], default=layers)


class Below:
    """Final hidden states of texts, running only the layers that can have changed since they last ran.

    Args:
        model: a Hugging Face causal language model whose lower layers are never changed without saying so.
        layout: of it.
        kept_bytes: most that is kept.
    """

    def __init__(self, model: Any, layout: Layout, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._model, self._layout, self._most = model, layout, kept_bytes
        self._kept: OrderedDict[tuple[int, str], Ran] = OrderedDict()

    def final(self, ids: Tensor, changed: int) -> Tensor:
        """Final hidden states [B, T, d].

        Args:
            ids: [B, T], padded on the right.
            changed: the lowest decoder layer that is not the base model's; their number when all are.
        """
        if changed == 0:
            return self._run(self._model.get_submodule(self._layout.decoder[0]), ids)
        place = changed - 1, hashlib.sha256(repr(ids.tolist()).encode()).hexdigest()
        if place in self._kept:
            self._kept.move_to_end(place)
            ran = self._kept[place]
            fresh = Ran(ran.hidden.clone(), ran.as_tuple)
            return self._run(above(self._model, self._layout, changed - 1, fresh), ids)
        with running(self._model.get_submodule(self._layout.layer_name(changed - 1))) as seen:
            final = self._run(self._model.get_submodule(self._layout.decoder[0]), ids)
        self._kept[place] = seen[0]
        while sum(ran.hidden.nbytes for ran in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return final

    @staticmethod
    def _run(decoder: nn.Module, ids: Tensor) -> Tensor:
        hidden: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
        return hidden
