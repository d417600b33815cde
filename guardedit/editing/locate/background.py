"""M = lambda C + eps I of the edited layers, factored when first asked for: ridge solvers spread keys by it.

Knows second moments. Does not know edits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.weights.ridge import Ridge
from guardedit.models.weights.statistics import SecondMoments


class Backgrounds:
    """One factor a layer.

    Args:
        moments: by layer.
        weight: lambda, about how many background tokens one edit is weighed against.
        ridge: eps, on the diagonal.
        ridge_share: added to eps, as a multiple of the mean squared length of the layer's keys, tr(C).
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

    def spread(self, layer: int, keys: Tensor) -> Tensor:
        """M^-1 K [f, n] for keys [f, n].

        Raises:
            EditError: when the layer has no second moments, or M is not positive definite.
        """
        if layer not in self._made:
            if layer not in self._moments:
                raise EditError(f"layer {layer} has no second moments: collect them for it")
            found = self._moments[layer]
            self._made[layer] = Ridge(
                C=found.C,
                spectrum=found.spectrum,
                background_weight=self._weight,
                ridge=self._ridge + self._ridge_share * float(found.spectrum.sum()),
            )
        columns = [self._made[layer].spread(key) for key in keys.T]
        return torch.stack(columns, dim=1) if columns else torch.zeros_like(keys)
