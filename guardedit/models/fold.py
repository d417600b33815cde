"""The fold: base model and live weight edits to the edited matrices. A pure function, the same bytes every time.

Knows canonical order, float64 and the one cast. Does not know where edits come from or whether they are good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from guardedit.core.probe import Inspection
from guardedit.core.proposal import WeightEdit
from guardedit.models.host import ModelHost
from guardedit.models.statistics import SecondMoments


class Fold:
    """fold(base, edits) for one base model, one set of second moments and one pair of weights.

    Per layer, with M = background_weight C + ridge I, keys K [f, n] and residuals R [d, n] of the live
    `ridge` edits:  W = W0 + R (I + K^T M^-1 K)^-1 K^T M^-1,  which equals R K^T (M + K K^T)^-1 added to
    W0 (MEMIT, Meng et al. 2023, eq. 14, with the history of all live edits). `direct` edits are added
    after it, in canonical order.
    """

    def __init__(
        self,
        host: ModelHost,
        moments: Mapping[int, SecondMoments],
        *,
        background_weight: float,
        ridge: float,
    ) -> None: ...

    def fold(self, edits: Sequence[WeightEdit]) -> dict[str, Tensor]:
        """Parameter name to stored tensor, for `ModelHost.patched`; empty when there are no edits.

        `edits` counts as a set: order and repetitions do not matter.

        Raises:
            EditDiverged: when a factor or a result is not finite.
            EditError: when an edit does not fit the model, or its layer has no second moments.
        """

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of base and folded matrices; the base's own digest when there are no edits."""

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers of each of `edits`, in their order, folded together with `live`.

        An edit that is not finite is reported as such, with NaN numbers, and left out of the others' fold.
        """

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over effective free rank, of the fullest layer; 0 without edits."""
