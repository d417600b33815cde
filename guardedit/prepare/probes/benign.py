"""Small random changes of the weights, as large as a benign edit but without any purpose.

What such a change alters is noise: a probe that it flips cannot tell a harmful edit from a harmless one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from guardedit.core.proposal import WeightEdit
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.fold import Fold

#: Frobenius norm of a change over that of its matrix, in each layer. It costs about as much perplexity as a
#: benign edit: a few parts in a thousand.
RELATIVE_SIZE = 0.01


def middle_layers(host: ModelHost) -> tuple[int, ...]:
    """The middle third of the layers, for a model without an edit card."""
    return tuple(range(host.layers // 3, max(host.layers // 3 + 1, 2 * host.layers // 3)))


def benign_patches(
    host: ModelHost, layers: Sequence[int], *, count: int, seed: int, relative_size: float = RELATIVE_SIZE
) -> list[Patch]:
    """`count` patches, each with one random change of rank one in every one of `layers`.

    Equal arguments give equal patches.
    """
    fold = Fold(host, {}, background_weight=1.0, ridge=1.0)
    edits = benign_edits(host, layers, count=count, seed=seed, relative_size=relative_size)
    return [fold.fold([edit]) for edit in edits]


def benign_edits(
    host: ModelHost, layers: Sequence[int], *, count: int, seed: int, relative_size: float = RELATIVE_SIZE
) -> list[WeightEdit]:
    """The edits of which `benign_patches` are made."""
    return [_benign_edit(host, layers, seed, n, relative_size) for n in range(count)]


def _benign_edit(host: ModelHost, layers: Sequence[int], seed: int, n: int, size: float) -> WeightEdit:
    parts = [_benign_part(host, layer, seed * 1_000_003 + n * 1_009 + layer, size) for layer in layers]
    return WeightEdit(subject="", facts=(), method="benign", payload=to_payload(*parts))


def _benign_part(host: ModelHost, layer: int, seed: int, size: float) -> Factors:
    matrix = host.base_matrix(layer)  # [d, f]
    random = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, generator=random) for n in matrix.shape)
    left *= size * float(matrix.float().norm()) / (left.norm() * right.norm())
    return Factors.direct(layer=layer, left=left, right=right)
