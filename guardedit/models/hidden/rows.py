"""Hidden states of rows of tokens at the output of a layer: what is kept, and a store of it in memory.

A row begins at position 0 and each token sees only those before it, so its hidden states do not depend on
the batch in which they were computed: rows can be put together anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

#: Token ids of one row, without padding.
Row = tuple[int, ...]
#: Most bytes of hidden states in memory; the least recently used rows are dropped first.
MEMORY_BYTES = 256 * 2**20


class HiddenRows(Protocol):
    """A store of hidden states by layer and row. It raises no errors: what it lacks is computed again."""

    def layers(self) -> Sequence[int]:
        """The layers of which it has any row."""

    def get(self, layer: int, rows: Sequence[Row]) -> list[Tensor | None]:
        """For each row of t tokens its hidden states [t, d]; None for those that are not here."""

    def put(self, layer: int, found: Mapping[Row, Tensor]) -> None:
        """Add rows with their hidden states [t, d], each a tensor of its own."""

    def delete_files(self) -> None:
        """Delete its files, if it has any; called in any thread."""

    def forget(self) -> None:
        """Drop everything: it was computed with weights that are not the base model's."""


class RowsInMemory:
    """Implements `HiddenRows` on the device of the tensors.

    Args:
        max_bytes: most bytes of hidden states.
    """

    def __init__(self, *, max_bytes: int = MEMORY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._rows: OrderedDict[tuple[int, Row], Tensor] = OrderedDict()
        self._bytes = 0

    def layers(self) -> Sequence[int]:
        """The layers of which it has any row."""
        return sorted({layer for layer, _ in self._rows})

    def get(self, layer: int, rows: Sequence[Row]) -> list[Tensor | None]:
        """For each row its hidden states, or None."""
        found = [self._rows.get((layer, row)) for row in rows]
        for row, hidden in zip(rows, found, strict=True):
            if hidden is not None:
                self._rows.move_to_end((layer, row))
        return found

    def put(self, layer: int, found: Mapping[Row, Tensor]) -> None:
        """Add rows; drops the least recently used ones beyond the limit."""
        for row, hidden in found.items():
            old = self._rows.pop((layer, row), None)
            self._bytes += hidden.nbytes - (0 if old is None else old.nbytes)
            self._rows[layer, row] = hidden
        while self._bytes > self._max_bytes and self._rows:
            self._bytes -= self._rows.popitem(last=False)[1].nbytes

    def delete_files(self) -> None:
        """There are none."""

    def forget(self) -> None:
        """Drop everything."""
        self._rows.clear()
        self._bytes = 0
