"""M = lambda C + eps I of the edited layers, factored when first used.

C is the layer's second moment of background keys, the covariance of the ROME and MEMIT papers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.weights.ridge import Ridge
from guardedit.models.weights.second_moments import SecondMoments


class Backgrounds:
    """One factored M for each layer.

    Args:
        moments: layer -> second moments.
        weight: lambda, roughly the number of background tokens that one edit is weighed against.
        ridge: eps, added to the diagonal.
        ridge_share: added to eps, as a multiple of the mean squared norm of the layer's keys, tr(C).
    """

    def __init__(
        self,
        moments: Mapping[int, SecondMoments],
        *,
        weight: float,
        ridge: float,
        ridge_share: float = 0.0,
    ) -> None:
        self._moments, self._weight, self._ridge = moments, weight, ridge
        self._ridge_share = ridge_share
        self._made: dict[int, Ridge] = {}

    def solve(self, layer: int, keys: Tensor) -> Tensor:
        """M^-1 K [f, n] for keys K [f, n].

        Raises:
            EditError: when the layer has no second moments, or M is not positive definite.
        """
        if layer not in self._made:
            if layer not in self._moments:
                raise EditError(f"layer {layer} has no second moments: collect them for this layer")
            found = self._moments[layer]
            self._made[layer] = Ridge(
                C=found.C,
                spectrum=found.spectrum,
                background_weight=self._weight,
                ridge=self._ridge + self._ridge_share * float(found.spectrum.sum()),
            )
        columns = [self._made[layer].solve(key) for key in keys.T]
        return torch.stack(columns, dim=1) if columns else torch.zeros_like(keys)
