"""The keys that live edits hold: what a method with a memory of the past must not overwrite.

Knows payloads. Does not know methods: an edit of any method that names its keys counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.factors import parts_of


class History:
    """Keys of live edits by layer. Equal sets of edits give equal bytes, whatever their order.

    Args:
        live: edits as the ledger holds them.

    Raises:
        EditError: when a payload cannot be read.
    """

    def __init__(self, live: Sequence[WeightEdit]) -> None:
        named = {edit.digest: edit for edit in live}
        self._parts = [part for digest in sorted(named) for part in parts_of(named[digest].payload)]

    def keys(self, layer: int, width: int) -> Tensor:
        """[f, p] float64, one column a key; `width` is f."""
        found = [p.key.double() for p in self._parts if p.layer == layer and p.key is not None]
        return torch.cat([torch.zeros(width, 0, dtype=torch.float64), *found], dim=1)
