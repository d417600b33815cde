"""Keys of the live edits, which methods with a history must not overwrite.

Edits of every method are included, as long as their payload contains keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.factors import parts_of


class History:
    """Keys of live edits by layer. Equal sets of edits give equal bytes in any order.

    Args:
        live: edits as stored in the ledger.

    Raises:
        EditError: when a payload cannot be read.
    """

    def __init__(self, live: Sequence[WeightEdit]) -> None:
        named = {edit.digest: edit for edit in live}
        self._parts = [part for digest in sorted(named) for part in parts_of(named[digest].payload)]

    def keys(self, layer: int, width: int) -> Tensor:
        """[f, p] float64, one column for each key of the layer; `width` is f."""
        found = [p.key.double() for p in self._parts if p.layer == layer and p.key is not None]
        return torch.cat([torch.zeros(width, 0, dtype=torch.float64), *found], dim=1)
