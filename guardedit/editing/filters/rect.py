"""RECT: keep only the entries of a change that are largest relative to the weights that they change.

Gu et al. 2024, arXiv:2401.04700. The result is not of low rank, so it is stored as a full matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Share of the entries that are kept; 0.2 in the paper's reference code, 0.4 in AlphaEdit's comparison.
SHARE = 0.4
#: Added to |W_ij|, as a share of the root mean square of W, so that weights of zero can be divided by.
FLOOR = 1e-8


def rect(W: Tensor, left: Tensor, right: Tensor, *, share: float = SHARE) -> tuple[Tensor, Tensor]:
    """Factors of the filtered change: the identity [d, d], and the filtered Delta transposed [f, d].

    Args:
        W: [d, f].
        left: [d, n].
        right: [f, n].
        share: share of the d f entries to keep, those with the largest |Delta_ij / W_ij|; entries that tie
            with the smallest kept one are kept too.
    """
    change = left @ right.t()  # [d, f]
    ratio = change.abs() / (W.abs() + FLOOR * W.square().mean().sqrt())
    kept = max(1, round(share * ratio.numel()))
    least = ratio.flatten().kthvalue(ratio.numel() - kept + 1).values
    filtered = torch.where(ratio >= least, change, torch.zeros_like(change))
    return torch.eye(len(change), dtype=change.dtype), filtered.t().contiguous()
