"""Reduce the rank of a product of two factors."""

from __future__ import annotations

import torch
from torch import Tensor


def truncated(left: Tensor, right: Tensor, *, lost: float = 1e-4) -> tuple[Tensor, Tensor]:
    """Factors of the best low-rank approximation of a product, by a truncated singular value decomposition.

    Used for facts with many tokens, whose gradients span only a few directions.

    Args:
        left: [d, t].
        right: [f, t].
        lost: share of the squared Frobenius norm that may be lost.

    Returns:
        [d, r] and [f, r] float32, with the smallest possible r.
    """
    q_left, r_left = torch.linalg.qr(left.double())
    q_right, r_right = torch.linalg.qr(right.double())
    U, s, Vh = torch.linalg.svd(r_left @ r_right.t(), full_matrices=False)
    rest = s.square().flip(0).cumsum(0).flip(0)  # [r]: squared norm from each column on
    rank = max(1, int((rest > lost * rest[0]).sum()))
    return (
        (q_left @ U[:, :rank] * s[:rank]).float(),
        (q_right @ Vh[:rank].t()).float(),
    )
