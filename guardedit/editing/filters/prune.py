"""PRUNE: squash those singular values of a change that exceed the largest one of the base matrix.

Ma et al. 2024, arXiv:2405.16821. The paper does so once, to the sum of all changes; as a filter it meets each
edit by itself. A change that nowhere exceeds the matrix passes unchanged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Base of the logarithm, of those in the paper the one that squashes least: 1.2 of 1.2, 1.5, 2 and e.
BASE = 1.2


def prune(W: Tensor, left: Tensor, right: Tensor, *, base: float = BASE) -> tuple[Tensor, Tensor]:
    """Factors of U diag(s') V^T, where s' = log_a(s) - log_a(s_max) + s_max wherever s exceeds s_max.

    The singular values of left right^T are those of an n x n matrix between two orthonormal bases, so
    nothing of size d x f is decomposed.

    Args:
        W: [d, f]; s_max is its largest singular value.
        left: [d, n].
        right: [f, n].
        base: a.
    """
    limit = largest_singular_value(W)
    Ql, Rl = torch.linalg.qr(left)
    Qr, Rr = torch.linalg.qr(right)
    U, s, Vh = torch.linalg.svd(Rl @ Rr.t(), full_matrices=False)
    if not len(s) or float(s[0]) <= limit:
        return left, right
    squashed = torch.where(s > limit, (s / limit).log() / math.log(base) + limit, s)
    return (Ql @ U) * squashed, Qr @ Vh.t()


def largest_singular_value(W: Tensor) -> float:
    """sigma_1 of W [d, f], from the smaller of its two Gram matrices."""
    gram = W @ W.t() if W.shape[0] <= W.shape[1] else W.t() @ W
    return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[-1])))
