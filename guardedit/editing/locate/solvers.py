"""Solvers that turn the keys and residuals of one layer into a weight change."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.history import History
from guardedit.editing.locate.solve import with_history
from guardedit.models.weights.ridge import dual_coefficients

#: (layer, keys K [f, n], residuals R [d, n]) -> left [d, n] and right [f, n]; the change is left right^T.
Solve = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


def ridge_solver(background: Backgrounds, history: History | None = None) -> Solve:
    """Delta = R (I + K^T B^-1 K)^-1 K^T B^-1 with B = M + H H^T; H are the layer's keys in the history."""

    def solve(layer: int, K: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
        U = background.solve(layer, K)
        if history is not None:
            H = history.keys(layer, K.shape[0])
            U = with_history(U, H, background.solve(layer, H))
        return dual_coefficients(R, K, U), U

    return solve
