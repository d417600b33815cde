"""Tier 0 of the guard: measure a weight edit from its factors alone, without running the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.probe import Inspection
from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.factors import SOLVED, Factors
from guardedit.models.weights.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """The share of one edit in the joint solution of all live edits: it adds `left @ right.T` to the matrix.

    Attributes:
        factors: as proposed.
        left: [d, n] float64.
        right: [f, n] float64.
    """

    factors: Factors
    left: Tensor
    right: Tensor


#: The numbers of an edit that cannot be measured.
NOTHING = (math.nan, math.nan, math.nan, math.nan)


def inspection(edit: WeightEdit, parts: Sequence[tuple[Contribution, Site]]) -> Inspection:
    """The numbers of `core.probe.Inspection`; all NaN for an edit that is not finite, which has no parts.

    If there are several parts or keys, the largest number counts. `value_ratio` and `key_outlier` are NaN for
    an edit without keys. They and `background_error` are NaN where the layer has no second moments. Codebook
    and routed edits change no weight: their `relative_size` and `background_error` are 0, and their keys and
    values are measured like all others.
    """
    found = [_numbers(part, site) for part, site in parts]
    size, ratio, outlier, error = (
        (_worst(column) for column in zip(*found, strict=True)) if found else NOTHING
    )
    return Inspection(
        digest=edit.digest,
        facts=edit.facts,
        finite=bool(parts)
        and all(bool(torch.isfinite(p.left).all() and torch.isfinite(p.right).all()) for p, _ in parts),
        relative_size=size,
        value_ratio=ratio,
        key_outlier=outlier,
        background_error=error,
    )


def _worst(column: Sequence[float]) -> float:
    """The largest number; NaN only when all are."""
    return max((value for value in column if not math.isnan(value)), default=math.nan)


def _numbers(part: Contribution, site: Site) -> tuple[float, float, float, float]:
    """Relative size, value ratio, key outlier and background error of one part."""
    ratio = outlier = error = math.nan
    local = part.factors.kind in {"codebook", "routed"}
    size = 0.0 if local else math.sqrt(_quadratic(part.left, part.right, part.right)) / site.size
    if site.moments is not None and site.ridge is not None:
        error = (
            0.0 if local else _quadratic(part.left, part.right, site.moments.C @ part.right) / site.background
        )
        key = part.factors.key
        if key is not None:
            key = key.double()
            ratio = float(_new_values(part, site, key).norm(dim=0).max()) / site.moments.value_norm
            solved = part.factors.kind in SOLVED
            solved_key = (
                part.right if solved else torch.stack([site.ridge.solve(column) for column in key.t()], dim=1)
            )
            squared = (key * solved_key).sum(dim=0).max()
            outlier = math.sqrt(max(0.0, float(squared)) / site.ridge.expected_length)
    return size, ratio, outlier, error


def _new_values(part: Contribution, site: Site, key: Tensor) -> Tensor:
    """The outputs [d, m] that the down projection should have at the edit's keys [f, m]."""
    now = site.W @ key + site.bias[:, None]
    if part.factors.kind == "codebook":
        return part.factors.left.double()
    if part.factors.kind in SOLVED:
        return now + part.factors.left.double()
    return now + part.left @ (part.right.t() @ key)


def _quadratic(left: Tensor, right: Tensor, weighted: Tensor) -> float:
    """tr(Delta X Delta^T) for Delta = left right^T and `weighted` = X right, without computing Delta."""
    return max(0.0, float(((left.t() @ left) * (right.t() @ weighted)).sum()))
