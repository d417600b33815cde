"""Attention keys and values of a batch whose rows come and go.

The rows are aligned on the right: their newest tokens share the last column, and a shorter row has padding on
its left. transformers' own cache is copied whole for each new token; this one has room at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

#: Columns that are allocated at once.
_ROOM = 64


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers is untyped there
    """The keys and values of one layer, [B, heads, T, width], in tensors with room for more columns."""

    def __init__(self, **_: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._length = 0
        self._all: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make room for the first columns."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True
        shapes = [(*part.shape[:2], _ROOM, part.shape[-1]) for part in (key_states, value_states)]
        self._all = (key_states.new_zeros(shapes[0]), value_states.new_zeros(shapes[1]))

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append columns; returns all of them as views."""
        if self._all is None:
            self.lazy_initialization(key_states, value_states)
        assert self._all is not None
        length = self._length + key_states.shape[-2]
        if length > self._all[0].shape[-2]:
            more = length + _ROOM - self._all[0].shape[-2]
            keys, values = (torch.nn.functional.pad(part, (0, 0, 0, more)) for part in self._all)
            self._all = (keys, values)
        for part, new in zip(self._all, (key_states, value_states), strict=True):
            part[:, :, self._length : length] = new
        return self._show(length)

    def get_seq_length(self) -> int:
        """Number of columns."""
        return self._length

    def cut(self, rows: Sequence[int], first: int) -> None:
        """Take these rows in this order, one perhaps several times, and the columns from `first` on."""
        if self._all is None:
            return
        at = torch.tensor(rows, device=self._all[0].device)
        keys, values = (part[at, :, first:] for part in self._all)
        self._all = (keys, values)
        self._show(self._length - first)

    def append_rows(self, other: RoomyLayer) -> None:
        """Append the rows of another batch; the shorter of both is padded on the left."""
        if self._all is None or other._all is None:
            raise ValueError("a layer without columns has no rows")
        T = max(self._length, other._length)
        joined = []
        for mine, theirs in zip(self._all, other._all, strict=True):
            room = mine.new_zeros((len(mine) + len(theirs), mine.shape[1], T + _ROOM, mine.shape[-1]))
            room[: len(mine), :, T - self._length : T] = mine[:, :, : self._length]
            room[len(mine) :, :, T - other._length : T] = theirs[:, :, : other._length]
            joined.append(room)
        self._all = (joined[0], joined[1])
        self._show(T)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        assert self._all is not None
        self._length = length
        self.keys, self.values = (part[:, :, :length] for part in self._all)
        return self.keys, self.values


class RowCache(Cache):
    """Keys and values of all layers. Every layer keeps all columns, also one that attends to a window."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=RoomyLayer)

    def cut(self, rows: Sequence[int], first: int) -> None:
        """Keep these rows, and the columns from `first` on."""
        for layer in self._roomy():
            layer.cut(rows, first)

    def append_rows(self, other: RowCache) -> None:
        """Append the rows of another batch; the shorter of both is padded on the left."""
        for mine, theirs in zip(self._roomy(), other._roomy(), strict=True):
            mine.append_rows(theirs)

    def _roomy(self) -> list[RoomyLayer]:
        return [layer for layer in self.layers if isinstance(layer, RoomyLayer)]
