"""WISE's bypass: a side memory beside the matrix, and a router that opens it at the token that excites it.

The side memory W' = W0 + Delta is a copy of the matrix that edits were trained into (Wang et al. 2024,
arXiv:2405.14768). A token excites it by ||Delta k||; once that exceeds the threshold, this token and all
behind it get the side memory's output. The publication averages over a whole prompt and decides for a whole
batch; here the decision at a token is the running maximum over its row so far, which cached decoding, padding
on the right and other rows leave alone.

Edits of one shard are written into the same random columns and add up; several shards are merged by sign
(TIES, Yadav et al. 2023, arXiv:2306.01708). The threshold is the lowest that any live edit needs. All of it
is worked out from the set of live edits.
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

#: Share of the entries of each shard that a merge keeps, the largest ones (published).
DENSITY = 0.53
#: What an edit's `extra` must hold.
NAMES = ("shard", "activation", "ratio")


class RouterBypass:
    """Adds Delta k from the first token on that excites the side memory.

    Remembers, for rows that go on with a cache, how much they have excited it so far.

    Args:
        layer: decoder layer.
        change: [d, f] float32, Delta.
        least: the threshold on ||Delta k||.
    """

    def __init__(self, *, layer: int, change: Tensor, least: float) -> None:
        self.layer = layer
        self.change, self.least = change, least
        self._seen, self._highest = 0, torch.zeros(0)

    @property
    def sha256(self) -> str:
        """Digest of Delta and the threshold."""
        parts = tensor_sha256(self.change), self.least.hex()
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __call__(self, keys: Tensor, values: Tensor, past: int = 0) -> Tensor:
        """As `Bypass`. Rows that go on must follow the call that began them, as greedy decoding does."""
        if self.change.device != keys.device:
            self.change = self.change.to(keys.device)
        change = keys.float() @ self.change.t()  # [B, T, d]
        with torch.no_grad():
            # Padding on the left may be NaN, and would stay the maximum for ever.
            highest = change.norm(dim=-1).nan_to_num().cummax(dim=1).values  # [B, T]
            if past and past == self._seen and len(self._highest) == len(highest):
                highest = torch.maximum(highest, self._highest.to(highest.device)[:, None])
            self._seen, self._highest = past + highest.shape[1], highest[:, -1]
            side = (highest > self.least)[..., None]
        return torch.where(side, values + change.to(values), values)


def router_bypass(site: Site, parts: Sequence[Contribution]) -> RouterBypass:
    """One bypass of all `routed` edits of a layer, in canonical order.

    Raises:
        EditError: when an edit lacks its shard or threshold.
    """
    factors = [part.factors for part in parts]
    for each in factors:
        missing = [name for name in NAMES if name not in each.extra]
        if missing:
            raise EditError(f"a routed edit of layer {site.layer} names no {missing[0]}: make it with wise")
    change = merged(shard_changes(factors))
    least = min(float(each.extra["activation"]) * float(each.extra["ratio"]) for each in factors)
    return RouterBypass(layer=site.layer, change=change.float(), least=least)


def shard_changes(factors: Sequence[Factors]) -> dict[int, Tensor]:
    """By shard, ascending: what its edits add to the matrix, [d, f] float64."""
    found: dict[int, Tensor] = {}
    with one_thread():
        for part in factors:
            added = part.left.double() @ part.right.double().t()
            shard = int(part.extra["shard"])
            found[shard] = found[shard] + added if shard in found else added
    return {shard: found[shard] for shard in sorted(found)}


def merged(shards: Mapping[int, Tensor], *, density: float = DENSITY) -> Tensor:
    """One change [d, f] of several, by TIES; a single one is left as it is.

    Each keeps the `density` of its entries that are largest. Where shards meet, the sign of their sum
    counts, and those of that sign are averaged.
    """
    if len(shards) == 1:
        return next(iter(shards.values()))
    stacked = torch.stack([_trimmed(change, density) for change in shards.values()])  # [s, d, f]
    with one_thread():
        agreeing = stacked * (stacked.sign() == stacked.sum(0).sign())
        return agreeing.sum(0) / (agreeing != 0).sum(0).clamp(min=1)


def _trimmed(change: Tensor, density: float) -> Tensor:
    """The largest entries; ties at the border are all kept."""
    dropped = change.numel() - max(1, round(density * change.numel()))
    if dropped < 1:
        return change
    border = change.abs().flatten().kthvalue(dropped).values
    return torch.where(change.abs() > border, change, 0.0)
