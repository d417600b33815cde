"""How each edit parameter changes the activations at each token.

Each function returns a `Perturb`, which maps the parameters that are optimised to the tensors that are added
to the outputs of the edited down projections. It is differentiable.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from guardedit.editing.optimise.objective import Perturb
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.upper_layers import Perturbation, UpperLayers

#: Controls how often a row sees no other edit: with probability ALONE / (1 + ALONE), one draw in 3.5.
ALONE = 0.4


def at_subject(upper: UpperLayers, rows: RowTensors) -> Perturb:
    """One change per group, [n, d], added at the subject's last token only (ROME, section 3.1)."""

    def perturb(change: Tensor, chunk: Tensor) -> Perturbation:
        nothing = torch.zeros(len(chunk), upper.suffix_length(chunk), change.shape[-1])
        at_first = torch.arange(nothing.shape[1]) == 0
        return Perturbation(torch.where(at_first[:, None], change[rows.group[chunk]][:, None], nothing))

    return perturb


def along_directions(upper: UpperLayers, rows: RowTensors, directions: Tensor) -> Perturb:
    """One change per group, [n, d], added at every token in proportion to the product of direction and key.

    This is the rank-one edit `change direction^T` of the group alone.

    Args:
        upper: the upper layers of the same rows.
        rows: B rows of n groups.
        directions: [n, f].
    """
    shares = torch.einsum("bsf,bf->bs", upper.keys, directions[rows.group].float())

    def perturb(change: Tensor, chunk: Tensor) -> Perturbation:
        share = shares[chunk, : upper.suffix_length(chunk), None]
        return Perturbation(share * change[rows.group[chunk]][:, None])

    return perturb


class VisibleEdits:
    """Chooses which other edits each row sees: a random subset, often empty and sometimes nearly all.

    Changes that are optimised this way work beside any subset of the other edits. If every row always saw all
    edits, the edits would come to depend on each other, and leaving one out, as undo and bisection do, would
    break others. The subsets are drawn for all rows at once, so the result does not depend on which rows run
    together.

    Args:
        rows: B rows.
        edits: n.
        seed: of the random subsets.

    Attributes:
        mask: [B, n] float32, 1 where a row sees an edit; it always sees its own.
    """

    def __init__(self, rows: RowTensors, edits: int, *, seed: int) -> None:
        self._own = rows.group[:, None] == torch.arange(edits)
        self._generator = torch.Generator().manual_seed(seed)
        self.draw()

    def draw(self) -> None:
        """Draw a new subset for every row."""
        rows, edits = self._own.shape
        share = (torch.rand(rows, 1, generator=self._generator) * (1 + ALONE) - ALONE).clamp(min=0)
        others = torch.rand(rows, edits, generator=self._generator) < share
        self.mask = (others | self._own).float()


def of_all_edits(
    upper: UpperLayers, directions: Mapping[int, Tensor], *, visible: VisibleEdits | None = None
) -> Perturb:
    """Changes of all edits in all edited layers, [layers, n, d], added at every token of every row.

    Args:
        upper: the upper layers, from the first of the edited layers on.
        directions: layer -> [n, f], layers ascending.
        visible: which edits each row sees; None: every row sees all of them.
    """
    layers = list(directions)
    columns = {layer: directions[layer].float().t().contiguous() for layer in layers}  # [f, n]
    shares = upper.keys @ columns[layers[0]]  # [B, S, n]

    def perturb(change: Tensor, chunk: Tensor) -> Perturbation:
        seen = torch.ones(()) if visible is None else visible.mask[chunk, None]  # [b, 1, n]
        above = {
            layer: (lambda keys, n=n, layer=layer: (keys.float() @ columns[layer] * seen) @ change[n])
            for n, layer in enumerate(layers)
            if n
        }
        return Perturbation((shares[chunk, : upper.suffix_length(chunk)] * seen) @ change[0], above)

    return perturb


def of_whole_matrix(upper: UpperLayers, rows: RowTensors) -> Perturb:
    """One change of the whole matrix per group, [n, d, f], at every token (fine-tuning)."""

    def perturb(change: Tensor, chunk: Tensor) -> Perturbation:
        keys = upper.keys[chunk, : upper.suffix_length(chunk)]
        return Perturbation(torch.einsum("bsf,bdf->bsd", keys, change[rows.group[chunk]]))

    return perturb
