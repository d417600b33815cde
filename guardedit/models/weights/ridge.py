"""Closed-form solution of ridge edits, in its dual form. Linear algebra only: no model, no edits.

With M = lambda C + eps I fixed, n keys K [f, n] and residuals R [d, n]:

    Delta = R (I + K^T M^-1 K)^-1 K^T M^-1      (dual: one n x n system)
          = R K^T (M + K K^T)^-1                (primal; MEMIT, Meng et al. 2023, eq. 14)

All float64 on the CPU, by Cholesky, on one thread.
"""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged, EditError
from guardedit.models.threads import one_thread


class Ridge:
    """M and its Cholesky factor for one layer.

    Args:
        C: [f, f] float64, second moments of the keys, E[k k^T].
        spectrum: [f] float64, eigenvalues of C.
        background_weight: lambda, roughly the number of background tokens that one edit is weighed against.
        ridge: eps, added to the diagonal.

    Raises:
        EditError: when M is not positive definite.
    """

    def __init__(self, *, C: Tensor, spectrum: Tensor, background_weight: float, ridge: float) -> None:
        M = background_weight * C + ridge * torch.eye(C.shape[0], dtype=torch.float64)
        with one_thread():
            factor, failed = torch.linalg.cholesky_ex(M)
        if int(failed) or not bool(torch.isfinite(factor).all()):
            raise EditError(
                f"{background_weight} C + {ridge} I is not positive definite: raise the ridge, "
                "or collect the second moments from more text"
            )
        self.C = C
        self._factor = factor  # [f, f], lower triangle
        self._c = spectrum.clamp(min=0)  # rounding may leave tiny negative eigenvalues
        self._m = background_weight * self._c + ridge

    def solve(self, key: Tensor) -> Tensor:
        """M^-1 k [f] for one key k [f]: the direction in key space that an edit at k uses.

        One key at a time, so that the bytes of the result do not depend on other live keys.
        """
        with one_thread():
            return torch.cholesky_solve(key[:, None], self._factor)[:, 0]

    def solve_together(self, keys: Tensor) -> Tensor:
        """M^-1 K [f, n] for keys [f, n] in one solve; the last bits of a column may depend on other keys."""
        with one_thread():
            return torch.cholesky_solve(keys, self._factor)

    @property
    def expected_length(self) -> float:
        """E[k^T M^-1 k] over background keys, which equals tr(C M^-1)."""
        return float((self._c / self._m).sum())

    @property
    def free_rank(self) -> float:
        """Number of independent keys that the layer has room for: sum over eigenvectors of s / (s + m).

        m is M's eigenvalue in that direction and s = tr(C) = E||k||^2. An edit at a single key of average
        length in that direction writes the share s / (s + m) of its residual. So a direction that background
        text uses a lot counts as occupied, and an unused one as free. The sum is between 0 and f.
        """
        s = float(self._c.sum())
        return float((s / (s + self._m)).sum()) if s > 0 else 0.0


def dual_coefficients(R: Tensor, K: Tensor, U: Tensor) -> Tensor:
    """R (I + K^T U)^-1, the dual coefficients of the ridge solution for all keys together.

    The change is `coefficients @ U.T`. Column i of the coefficients and column i of U make the contribution
    of key i.

    Args:
        R: [d, n] residuals.
        K: [f, n] keys.
        U: [f, n], M^-1 K.

    Returns:
        [d, n].

    Raises:
        EditDiverged: when the system cannot be solved in float64.
    """
    with one_thread():
        G = K.t() @ U  # [n, n], symmetric up to rounding
        system = torch.eye(K.shape[1], dtype=torch.float64) + (G + G.t()) / 2
        factor, failed = torch.linalg.cholesky_ex(system)
        if int(failed):
            raise EditDiverged(f"the {K.shape[1]} keys cannot be solved together: are they finite?")
        return torch.cholesky_solve(R.t().contiguous(), factor).t()
