"""Textbook forms that the package's own solutions are compared with."""

from __future__ import annotations

import torch
from torch import Tensor


def ridge_primal(R: Tensor, K: Tensor, M: Tensor) -> Tensor:
    """Delta = R K^T (M + K K^T)^-1, [d, f] (MEMIT, Meng et al. 2023, eq. 14)."""
    solved: Tensor = torch.linalg.solve(M + K @ K.T, K @ R.T)
    return solved.T
