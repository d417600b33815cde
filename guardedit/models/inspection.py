"""Tier 0: what can be said of a weight edit from its factors alone. Pure; no model runs here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.probe import Inspection
from guardedit.core.proposal import WeightEdit
from guardedit.models.factors import Factors
from guardedit.models.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one edit adds to its matrix when all live edits are solved together: `left @ right.T`.

    Attributes:
        factors: as proposed.
        left: [d, n] float64.
        right: [f, n] float64.
    """

    factors: Factors
    left: Tensor
    right: Tensor


def inspection(edit: WeightEdit, part: Contribution | None, site: Site | None) -> Inspection:
    """The numbers of `core.probe.Inspection`; all NaN for an edit that is not finite (`part` None).

    Of several keys the worst counts. `value_ratio` and `key_outlier` are NaN for an edit that names no
    key; with `background_error` they are NaN as well where the layer has no second moments.
    """
    size = ratio = outlier = error = math.nan
    finite = False
    if part is not None and site is not None:
        size = math.sqrt(_quadratic(part.left, part.right, part.right)) / site.size
        if site.moments is not None and site.ridge is not None:
            spread = part.right
            error = _quadratic(part.left, part.right, site.moments.C @ part.right) / site.background
            key = part.factors.key
            if key is not None:
                key = key.double()
                ratio = float(_new_values(part, site, key).norm(dim=0).max()) / site.moments.value_norm
                if part.factors.kind == "direct":
                    spread = torch.stack([site.ridge.spread(column) for column in key.t()], dim=1)
                squared = (key * spread).sum(dim=0).max()
                outlier = math.sqrt(max(0.0, float(squared)) / site.ridge.expected_length)
        finite = bool(torch.isfinite(part.left).all() and torch.isfinite(part.right).all())
    return Inspection(
        digest=edit.digest,
        facts=edit.facts,
        finite=finite,
        relative_size=size,
        value_ratio=ratio,
        key_outlier=outlier,
        background_error=error,
    )


def _new_values(part: Contribution, site: Site, key: Tensor) -> Tensor:
    """What the edit wants the down projection to put out at its keys [f, m], as [d, m]."""
    now = site.W @ key + site.bias[:, None]
    if part.factors.kind == "ridge":
        return now + part.factors.left.double()
    return now + part.left @ (part.right.t() @ key)


def _quadratic(left: Tensor, right: Tensor, weighted: Tensor) -> float:
    """tr(Delta X Delta^T) for Delta = left right^T and `weighted` = X right, without making Delta."""
    return max(0.0, float(((left.t() @ left) * (right.t() @ weighted)).sum()))
