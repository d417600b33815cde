"""PRUNE: compress singular values of a change that are larger than the largest one of the base matrix.

Ma et al. 2024, arXiv:2405.16821. The paper applies this once, to the sum of all changes; this filter applies
it to each edit alone. A change without such singular values stays as it is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Base of the logarithm. The paper uses 1.2, 1.5, 2 and e; 1.2 compresses least.
BASE = 1.2


def prune(W: Tensor, left: Tensor, right: Tensor, *, base: float = BASE) -> tuple[Tensor, Tensor]:
    """Factors of U diag(s') V^T, with s' = log_a(s) - log_a(s_max) + s_max where s exceeds s_max.

    QR decompositions of both factors reduce left right^T to an n x n matrix with the same singular values, so
    no d x f matrix is decomposed.

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
    compressed = torch.where(s > limit, (s / limit).log() / math.log(base) + limit, s)
    return (Ql @ U) * compressed, Qr @ Vh.t()


def largest_singular_value(W: Tensor) -> float:
    """sigma_1 of W [d, f], from the smaller of its two Gram matrices."""
    gram = W @ W.t() if W.shape[0] <= W.shape[1] else W.t() @ W
    return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[-1])))
