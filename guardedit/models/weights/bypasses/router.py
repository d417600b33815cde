"""WISE's bypass: a side memory, and a router that switches to it (Wang et al. 2024, arXiv:2405.14768).

The side memory W' = W0 + Delta is a copy of the matrix that edits were trained into. A token's routing
activation is ||Delta k||. The first token of a row whose activation exceeds the threshold, and all tokens
after it, get the side memory's output. The paper averages the activation over a whole prompt and routes a
whole batch; here the running maximum over the row so far decides, which does not depend on cached decoding,
on padding on the right or on other rows.

Edits of one shard are written into the same random columns and add up. Several shards are merged by sign
(TIES, Yadav et al. 2023, arXiv:2306.01708). The threshold is the lowest that any live edit needs. Everything
is computed from the set of live edits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.matrices import tensor_sha256
from guardedit.models.threads import one_thread
from guardedit.models.weights.factors import Factors
from guardedit.models.weights.inspection import Contribution
from guardedit.models.weights.sites import Site

#: Share of the entries of each shard, the largest ones, that a merge keeps (as published).
DENSITY = 0.53
#: Required entries of an edit's `extra`.
NAMES = ("shard", "activation", "ratio")


class RouterBypass:
    """Adds Delta k to the output of each row from the first token on that activates the router.

    For cached decoding it remembers the highest activation of each row so far.

    Args:
        layer: decoder layer.
        change: [d, f] float32, Delta.
        threshold: limit on ||Delta k||; a token above it activates the router.
    """

    def __init__(self, *, layer: int, change: Tensor, threshold: float) -> None:
        self.layer = layer
        self.change, self.threshold = change, threshold
        self._seen, self._highest = 0, torch.zeros(0)

    @property
    def sha256(self) -> str:
        """Digest of Delta and the threshold."""
        parts = tensor_sha256(self.change), self.threshold.hex()
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __call__(self, keys: Tensor, values: Tensor, past: int = 0) -> Tensor:
        """As `Bypass`. With `past`, rows must continue those of the previous call, as in greedy decoding."""
        if self.change.device != keys.device:
            self.change = self.change.to(keys.device)
        change = keys.float() @ self.change.t()  # [B, T, d]
        with torch.no_grad():
            # Padding on the left may be NaN, which would stay the running maximum.
            highest = change.norm(dim=-1).nan_to_num().cummax(dim=1).values  # [B, T]
            if past and past == self._seen and len(self._highest) == len(highest):
                highest = torch.maximum(highest, self._highest.to(highest.device)[:, None])
            self._seen, self._highest = past + highest.shape[1], highest[:, -1]
            routed = (highest > self.threshold)[..., None]
        return torch.where(routed, values + change.to(values), values)


def router_bypass(site: Site, parts: Sequence[Contribution]) -> RouterBypass:
    """The bypass of all `routed` edits of a layer; `parts` is in canonical order.

    Raises:
        EditError: when an edit lacks its shard, activation or ratio.
    """
    factors = [part.factors for part in parts]
    for each in factors:
        missing = [name for name in NAMES if name not in each.extra]
        if missing:
            raise EditError(f"a routed edit of layer {site.layer} has no {missing[0]}: make it with wise")
    change = merged(shard_changes(factors))
    threshold = min(float(each.extra["activation"]) * float(each.extra["ratio"]) for each in factors)
    return RouterBypass(layer=site.layer, change=change.float(), threshold=threshold)


def shard_changes(factors: Sequence[Factors]) -> dict[int, Tensor]:
    """Shard -> the sum of its edits' changes of the matrix, [d, f] float64; shards ascending."""
    found: dict[int, Tensor] = {}
    with one_thread():
        for part in factors:
            added = part.left.double() @ part.right.double().t()
            shard = int(part.extra["shard"])
            found[shard] = found[shard] + added if shard in found else added
    return {shard: found[shard] for shard in sorted(found)}


def merged(shards: Mapping[int, Tensor], *, density: float = DENSITY) -> Tensor:
    """Merge the changes of several shards into one [d, f] by TIES; a single one is returned unchanged.

    Each shard keeps its largest entries, a share `density` of all. Where several shards keep an entry, the
    sign of their sum is chosen, and the values of that sign are averaged.
    """
    if len(shards) == 1:
        return next(iter(shards.values()))
    stacked = torch.stack([_trimmed(change, density) for change in shards.values()])  # [s, d, f]
    with one_thread():
        agreeing = stacked * (stacked.sign() == stacked.sum(0).sign())
        return agreeing.sum(0) / (agreeing != 0).sum(0).clamp(min=1)


def _trimmed(change: Tensor, density: float) -> Tensor:
    """The change with only its largest entries; entries equal to the largest dropped one are dropped too."""
    dropped = change.numel() - max(1, round(density * change.numel()))
    if dropped < 1:
        return change
    limit = change.abs().flatten().kthvalue(dropped).values
    return torch.where(change.abs() > limit, change, 0.0)
