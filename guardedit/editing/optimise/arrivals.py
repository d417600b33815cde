"""What edits bring to the positions of rows, as functions of the numbers that are optimised.

Each function returns an `Arrive` for an `Objective`. Knows how a change spreads over positions and layers;
does not know losses or steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from guardedit.editing.optimise.objective import Arrive
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.upper import Arriving, UpperLayers

#: How often a row sees no other edit, as odds: one row in 3.5.
ALONE = 0.4


def at_subject(upper: UpperLayers, rows: RowTensors) -> Arrive:
    """A change a group, [n, d], at the subject's last token only (ROME, Meng et al. 2022, section 3.1)."""

    def arrive(change: Tensor, chunk: Tensor) -> Arriving:
        here = torch.zeros(len(chunk), upper.length(chunk), change.shape[-1])
        at_first = torch.arange(here.shape[1]) == 0
        return Arriving(torch.where(at_first[:, None], change[rows.group[chunk]][:, None], here))

    return arrive


def by_direction(upper: UpperLayers, rows: RowTensors, directions: Tensor) -> Arrive:
    """A change a group, [n, d], at every position by the share that the group's edit alone brings there.

    Args:
        upper: over the same rows.
        rows: B rows of n groups.
        directions: [n, f]; the share at a key q is `direction @ q`.
    """
    shares = torch.einsum("bsf,bf->bs", upper.keys, directions[rows.group].float())

    def arrive(change: Tensor, chunk: Tensor) -> Arriving:
        share = shares[chunk, : upper.length(chunk), None]
        return Arriving(share * change[rows.group[chunk]][:, None])

    return arrive


class Company:
    """Which other edits each row sees: a random part of them, often none and at times nearly all.

    What is found so holds in any company: edits that were only ever seen together lean on each other, and
    leaving one out, which is what undo and bisection do, would take others along. Drawn for all rows at
    once, so that it does not matter which of them run together.

    Attributes:
        seen: [B, n] float32, one where a row sees an edit; always its own.
    """

    def __init__(self, rows: RowTensors, edits: int, *, seed: int) -> None:
        self._own = rows.group[:, None] == torch.arange(edits)
        self._dice = torch.Generator().manual_seed(seed)
        self.draw()

    def draw(self) -> None:
        """Another company for every row."""
        rows, edits = self._own.shape
        share = (torch.rand(rows, 1, generator=self._dice) * (1 + ALONE) - ALONE).clamp(min=0)
        others = torch.rand(rows, edits, generator=self._dice) < share
        self.seen = (others | self._own).float()


def all_together(
    upper: UpperLayers, directions: Mapping[int, Tensor], *, company: Company | None = None
) -> Arrive:
    """Changes of all edits in all layers, [layers, n, d], each at every position of every row.

    Args:
        upper: from the first of the layers on.
        directions: by layer, ascending, [n, f].
        company: of the same rows and edits; None: every row sees all.
    """
    layers = list(directions)
    columns = {layer: directions[layer].float().t().contiguous() for layer in layers}  # [f, n]
    shares = upper.keys @ columns[layers[0]]  # [B, S, n]

    def arrive(change: Tensor, chunk: Tensor) -> Arriving:
        seen = torch.ones(()) if company is None else company.seen[chunk, None]  # [b, 1, n]
        above = {
            layer: (lambda keys, n=n, layer=layer: (keys.float() @ columns[layer] * seen) @ change[n])
            for n, layer in enumerate(layers)
            if n
        }
        return Arriving((shares[chunk, : upper.length(chunk)] * seen) @ change[0], above)

    return arrive


def by_matrix(upper: UpperLayers, rows: RowTensors) -> Arrive:
    """A change of the whole matrix a group, [n, d, f], at every position (fine-tuning)."""

    def arrive(change: Tensor, chunk: Tensor) -> Arriving:
        keys = upper.keys[chunk, : upper.length(chunk)]
        return Arriving(torch.einsum("bsf,bdf->bsd", keys, change[rows.group[chunk]]))

    return arrive
