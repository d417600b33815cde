"""What edits bring to the positions of rows, as functions of the numbers that are optimised.

Each function returns an `Arrive` for an `Objective`. Knows how a change spreads over positions and layers;
does not know losses or steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from guardedit.editing.objective import Arrive
from guardedit.editing.rows import RowTensors
from guardedit.editing.upper import Arriving, UpperLayers

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


def all_together(
    upper: UpperLayers, rows: RowTensors, directions: Mapping[int, Tensor], *, seed: int | None = None
) -> Arrive:
    """Changes of all edits in all layers, [layers, n, d], each at every position of every row.

    With a seed, every row sees its own edit and a random part of the others, often none and at times nearly
    all of them, anew at each call. What is found so holds in any company: edits that were only ever seen
    together lean on each other, and leaving one out, which is what undo and bisection do, would take others
    along.

    Args:
        upper: from the first of the layers on.
        rows: B rows; those of a group from n on belong to no edit.
        directions: by layer, ascending, [n, f].
        seed: None for the full company.
    """
    layers = list(directions)
    columns = {layer: directions[layer].float().t().contiguous() for layer in layers}  # [f, n]
    shares = upper.keys @ columns[layers[0]]  # [B, S, n]
    edits = torch.arange(shares.shape[-1])
    dice = None if seed is None else torch.Generator().manual_seed(seed)

    def company(chunk: Tensor) -> Tensor:
        """[b, 1, n], which edits each row sees."""
        if dice is None:
            return torch.ones(len(chunk), 1, len(edits))
        share = (torch.rand(len(chunk), 1, generator=dice) * (1 + ALONE) - ALONE).clamp(min=0)
        others = torch.rand(len(chunk), len(edits), generator=dice) < share
        return (others | (rows.group[chunk, None] == edits)).float()[:, None]

    def arrive(change: Tensor, chunk: Tensor) -> Arriving:
        seen = company(chunk)
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
