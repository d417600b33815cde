"""Closed-form solutions for editing one layer, as functions of float64 tensors.

They are: a single ridge edit, ROME's update, and the parts in which MEMIT, EMMET, ENCORE and AlphaEdit
differ. Each change is `left @ right.T` with one column per edit. The joint solution for all live edits is in
`models.weights`.

Notation: K [f, n] keys, R [d, n] residuals, H [f, p] keys of earlier edits, M = lambda C + eps I [f, f].
"""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.models.threads import one_thread
from guardedit.models.weights.ridge import dual_coefficients


def single_edit_direction(key: Tensor, solved: Tensor) -> Tensor:
    """The direction u = M^-1 k / (1 + k^T M^-1 k), [f]: a ridge edit that is alone in its layer writes r u^T.

    Another key q therefore receives the share `u @ q` of the residual r. At the edit's own key that share is
    just below 1.

    Args:
        key: k, [f].
        solved: M^-1 k, [f].
    """
    return solved / (1.0 + key @ solved)


def rome_direction(C: Tensor, key: Tensor) -> Tensor:
    """The direction u = C^-1 k / ||C^-1 k||, [f], of ROME's update (Meng et al. 2022, eq. 2). C is [f, f].

    Raises:
        EditDiverged: when C is singular.
    """
    factor, failed = torch.linalg.cholesky_ex(C)
    if int(failed):
        raise EditDiverged("the second moments are singular: collect them from more text")
    u: Tensor = torch.cholesky_solve(key[:, None], factor)[:, 0]
    return torch.nn.functional.normalize(u, dim=0)


def rome_residual(*, target: Tensor, value: Tensor, key: Tensor, direction: Tensor) -> Tensor:
    """(v* - W k) / (k^T u), [d]: left factor of ROME's update (eq. 2); `direction` u [f] is the right one."""
    return (target - value) / (key @ direction)


def with_history(U: Tensor, H: Tensor, V: Tensor) -> Tensor:
    """B^-1 K [f, n] for B = M + H H^T, by the Woodbury identity; U itself when H has no columns.

    This way M is factored only once, regardless of the history.

    Args:
        U: M^-1 K, [f, n].
        H: [f, p].
        V: M^-1 H, [f, p].

    Raises:
        EditDiverged: when the system is singular in float64.
    """
    return U - V @ dual_coefficients(U.T @ H, H, V).T if H.shape[1] else U


def equality_coefficients(R: Tensor, K: Tensor, U: Tensor, *, slack: float) -> Tensor:
    """R (K^T U + slack I)^-1 [d, n] with U = C^-1 K (EMMET, Gupta et al. 2024, arXiv:2403.14236).

    Without slack, each key receives its whole residual. Slack relaxes this when keys are nearly parallel.

    Args:
        R: residuals, [d, n].
        K: keys, [f, n].
        U: C^-1 K, [f, n].
        slack: added to the diagonal.

    Raises:
        EditDiverged: when keys are parallel and there is no slack.
    """
    with one_thread():
        G = K.T @ U
        system = (G + G.T) / 2 + slack * torch.eye(K.shape[1], dtype=K.dtype)
        factor, failed = torch.linalg.cholesky_ex(system)
        if int(failed):
            raise EditDiverged(
                f"the {K.shape[1]} keys are parallel: edit fewer facts at once, or allow slack"
            )
        solved: Tensor = torch.cholesky_solve(R.T.contiguous(), factor)
        return solved.T


def used_directions(C: Tensor, *, free_share: float) -> Tensor:
    """T [f, r], the eigenvectors of C [f, f] that background text uses; P = I - T T^T projects them out.

    The null space is spanned by the eigenvectors with the smallest eigenvalues, as many as sum to at most
    `free_share` of the trace of C, which is the mean squared norm of a key. (AlphaEdit, Fang et al. 2025,
    instead compares each eigenvalue with 2e-2, whose meaning depends on the scale of C.)
    """
    with one_thread():
        spectrum, vectors = torch.linalg.eigh(C)
    held = spectrum.clamp(min=0).cumsum(0)
    free = int((held <= free_share * held[-1]).sum())
    used: Tensor = vectors[:, free:].contiguous()
    return used


def project_to_null_space(used: Tensor, K: Tensor) -> Tensor:
    """P K [f, n]: the part of keys K [f, n] in the null space; `used` is T [f, r] of `used_directions`."""
    return K - used @ (used.T @ K)
