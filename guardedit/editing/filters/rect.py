"""RECT: keep the entries of a change that are largest relative to the weights they change.

Gu et al. 2024, arXiv:2401.04700. What is left has no thin factors, so the result is a whole matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Share of entries kept; 0.2 in the reference code of the paper, 0.4 where AlphaEdit compares with it.
SHARE = 0.4
#: Added to |W_ij|, as a share of the matrix's root mean square, so that a weight of zero gives a number.
FLOOR = 1e-8


def rect(W: Tensor, left: Tensor, right: Tensor, *, share: float = SHARE) -> tuple[Tensor, Tensor]:
    """The identity [d, d] and the transpose of what is kept of Delta [f, d].

    Args:
        W: [d, f].
        left: [d, n].
        right: [f, n].
        share: of all d f entries, those with the largest |Delta_ij / W_ij|; entries as large as the last one
            that is kept are kept as well.
    """
    change = left @ right.t()  # [d, f]
    ratio = change.abs() / (W.abs() + FLOOR * W.square().mean().sqrt())
    kept = max(1, round(share * ratio.numel()))
    least = ratio.flatten().kthvalue(ratio.numel() - kept + 1).values
    filtered = torch.where(ratio >= least, change, torch.zeros_like(change))
    return torch.eye(len(change), dtype=change.dtype), filtered.t().contiguous()
