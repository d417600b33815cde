"""Closed forms of single-layer editing, as functions of float64 tensors.

Knows no model. The solve over all live edits belongs to `models.ridge` and `models.fold`; here stand the
form they are compared with, what one ridge edit alone does, and ROME's update.

Notation: K [f, n] keys, R [d, n] residuals, M = lambda C + eps I [f, f].
"""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged


def ridge_primal(R: Tensor, K: Tensor, M: Tensor) -> Tensor:
    """Delta = R K^T (M + K K^T)^-1, [d, f] (MEMIT, Meng et al. 2023, eq. 14)."""
    solved: Tensor = torch.linalg.solve(M + K @ K.T, K @ R.T)
    return solved.T


def lone_direction(key: Tensor, spread: Tensor) -> Tensor:
    """The direction u = M^-1 k / (1 + k^T M^-1 k), [f]: an edit alone in the layer writes r u^T.

    So `u @ q` is the part of its residual that it brings to another key q; just below 1 at its own.

    Args:
        key: k, [f].
        spread: M^-1 k, [f].
    """
    return spread / (1.0 + key @ spread)


def rome_direction(C: Tensor, key: Tensor) -> Tensor:
    """The direction u = C^-1 k / ||C^-1 k||, [f] (ROME, Meng et al. 2022, eq. 2).

    Raises:
        EditDiverged: when C is singular.
    """
    factor, failed = torch.linalg.cholesky_ex(C)
    if int(failed):
        raise EditDiverged("the second moments are singular: collect them from more text")
    u: Tensor = torch.cholesky_solve(key[:, None], factor)[:, 0]
    return torch.nn.functional.normalize(u, dim=0)


def rome_residual(*, target: Tensor, value: Tensor, key: Tensor, direction: Tensor) -> Tensor:
    """(v* - W k) / (k^T u), [d]: left factor of ROME's update (eq. 2), the right one is u."""
    return (target - value) / (key @ direction)
