"""Closed forms of single-layer editing, as functions of float64 tensors.

Knows no model. The solve over all live edits belongs to `models.ridge` and `models.fold`; here stand the
form they are compared with, what one ridge edit alone does, ROME's update, and what the methods that
spread a residual differ in: each change is `left @ right.T` with one column an edit.

Notation: K [f, n] keys, R [d, n] residuals, H [f, p] keys of earlier edits, M = lambda C + eps I [f, f].
"""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.models.threads import one_thread
from guardedit.models.weights.ridge import shares


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


def after_history(U: Tensor, H: Tensor, V: Tensor) -> Tensor:
    """B^-1 K [f, n] for B = M + H H^T, from what M alone gives (Woodbury); U itself without a history.

    M stays factored once for all, however long the history.

    Args:
        U: M^-1 K, [f, n].
        H: [f, p].
        V: M^-1 H, [f, p].

    Raises:
        EditDiverged: when the history cannot be solved in float64.
    """
    return U - V @ shares(U.T @ H, H, V).T if H.shape[1] else U


def equality_shares(R: Tensor, K: Tensor, U: Tensor, *, slack: float) -> Tensor:
    """R (K^T U + slack I)^-1 [d, n] with U = C^-1 K (EMMET, Gupta et al. 2024, arXiv:2403.14236).

    Without slack each key gets its whole residual. Slack gives way where keys are nearly parallel.

    Raises:
        EditDiverged: when keys are parallel and there is no slack.
    """
    with one_thread():
        G = K.T @ U
        system = (G + G.T) / 2 + slack * torch.eye(K.shape[1], dtype=K.dtype)
        factor, failed = torch.linalg.cholesky_ex(system)
        if int(failed):
            raise EditDiverged(f"the {K.shape[1]} keys are parallel: edit fewer at once, or allow slack")
        found: Tensor = torch.cholesky_solve(R.T.contiguous(), factor)
        return found.T


def taken_directions(C: Tensor, *, free_share: float) -> Tensor:
    """The eigenvectors of C that background text uses, [f, r]; P = I - T T^T projects on the others.

    The others are as many of the weakest as hold at most `free_share` of the trace of C, the mean squared
    length of a key, between them. (AlphaEdit, Fang et al. 2025, compares each eigenvalue with 2e-2, which
    means something else for every scale of C.)
    """
    with one_thread():
        spectrum, vectors = torch.linalg.eigh(C)
    held = spectrum.clamp(min=0).cumsum(0)
    free = int((held <= free_share * held[-1]).sum())
    taken: Tensor = vectors[:, free:].contiguous()
    return taken


def into_null_space(taken: Tensor, K: Tensor) -> Tensor:
    """P K [f, n]: the part of each key that background text does not use."""
    return K - taken @ (taken.T @ K)
