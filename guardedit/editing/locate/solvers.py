"""Solvers of one layer for methods that spread a residual: what each key is weighed against.

Knows backgrounds and histories. Does not know models, values or layers' order.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.history import History
from guardedit.editing.locate.solve import after_history
from guardedit.models.weights.ridge import shares

#: From layer, keys K [f, n] and residuals R [d, n] to left [d, n] and right [f, n]: the change left right^T.
Solve = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


def ridge_solver(background: Backgrounds, history: History | None = None) -> Solve:
    """Delta = R (I + K^T B^-1 K)^-1 K^T B^-1 with B = M + H H^T, H the history's keys of the layer."""

    def solve(layer: int, K: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
        U = background.spread(layer, K)
        if history is not None:
            H = history.keys(layer, K.shape[0])
            U = after_history(U, H, background.spread(layer, H))
        return shares(R, K, U), U

    return solve
