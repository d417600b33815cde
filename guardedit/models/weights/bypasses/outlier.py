"""CoachHook's bypass: at every token, choose between the edited matrix and the base matrix.

A token gets the edited output if it differs unusually much from the base output: if the norm of Delta k is
`alpha` standard deviations above its mean (Li et al. 2024, arXiv:2403.05330). In the paper, mean and
deviation are over the prompt's own tokens, which a cached decoding step of one token does not have. Here they
are over background text, computed from its second moments, so every token is tested separately and against
the same threshold. The threshold changes only with the set of live edits, never while serving.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.matrices import tensor_sha256
from guardedit.models.threads import one_thread
from guardedit.models.weights.inspection import Contribution
from guardedit.models.weights.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierBypass:
    """Adds Delta k where its norm reaches a threshold.

    Attributes:
        layer: decoder layer.
        left: [d, n] float32; Delta is `left @ right.T`.
        right: [f, n] float32.
        threshold: least norm of Delta k at which it is added.
    """

    layer: int
    left: Tensor = field(repr=False)
    right: Tensor = field(repr=False)
    threshold: float

    @property
    def sha256(self) -> str:
        """Digest of Delta's factors and the threshold."""
        parts = tensor_sha256(self.left), tensor_sha256(self.right), self.threshold.hex()
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __call__(self, keys: Tensor, values: Tensor, past: int = 0) -> Tensor:
        """As `Bypass`; no token's output depends on other tokens."""
        del past
        left, right = self.left.to(keys.device), self.right.to(keys.device)
        change = (keys.float() @ right) @ left.t()  # [B, T, d]
        outlier = change.norm(dim=-1, keepdim=True) >= self.threshold
        return torch.where(outlier, values + change.to(values), values)


def outlier_bypass(site: Site, parts: Sequence[Contribution]) -> OutlierBypass:
    """The bypass of all `hooked` edits of a layer, which the fold has solved together.

    Where edits were made with different values of `alpha`, the largest is used.

    Raises:
        EditError: when an edit has no `alpha`, or the layer has no second moments.
    """
    if site.moments is None or any("alpha" not in part.factors.extra for part in parts):
        raise EditError(
            f"hooked edits of layer {site.layer} need second moments, and an `alpha` each: "
            "collect the moments, and make the edits with coachhook"
        )
    left = torch.cat([part.left for part in parts], dim=1)  # [d, n]
    right = torch.cat([part.right for part in parts], dim=1)  # [f, n]
    mean, deviation = background_length(left, right, site.moments.C)
    alpha = max(float(part.factors.extra["alpha"]) for part in parts)
    return OutlierBypass(
        layer=site.layer,
        left=left.float().contiguous(),
        right=right.float().contiguous(),
        threshold=mean + alpha * deviation,
    )


def background_length(left: Tensor, right: Tensor, C: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of ||Delta k|| over background keys k, for Delta = left right^T.

    Second moments give E||Delta k||^2 = tr(Delta C Delta^T) exactly. The variance is that of a Gaussian with
    these moments, Var ||Delta k||^2 = 2 tr((Delta C Delta^T)^2). The norm is taken to be Nakagami
    distributed, which is exact if Delta C Delta^T has rank one or equal nonzero eigenvalues.

    Args:
        left: [d, n] float64.
        right: [f, n] float64.
        C: [f, f] float64.
    """
    with one_thread():
        product = (left.t() @ left) @ (right.t() @ (C @ right))  # [n, n], traces as of Delta C Delta^T
        power = float(product.diagonal().sum())
        squares = float((product * product.t()).sum())
    if power <= 0 or squares <= 0:
        return 0.0, 0.0
    shape = power**2 / (2 * squares)
    mean = math.exp(math.lgamma(shape + 0.5) - math.lgamma(shape)) * math.sqrt(power / shape)
    return mean, math.sqrt(max(0.0, power - mean**2))
