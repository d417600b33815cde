"""A product of two factors in fewer columns. Knows nothing but linear algebra."""

from __future__ import annotations

import torch
from torch import Tensor


def thinned(left: Tensor, right: Tensor, *, lost: float = 1e-4) -> tuple[Tensor, Tensor]:
    """A product [d, t] [t, f] in as few columns as leave out at most `lost` of its squared norm.

    The gradients of one fact point in few directions, its tokens are many.
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
