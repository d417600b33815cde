"""Apply and invert the norm that some models have between the MLP and the residual stream (Gemma 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def before_norm(norm: nn.Module | None, values: Tensor, residual: Tensor) -> Tensor:
    """The change [n, d] of the down projection's output that changes the residual stream by `residual`.

    Without a norm after the MLP the two are equal. A root-mean-square norm multiplies each coordinate by
    g / rms(v); dividing by that factor gives the wanted direction, but the norm still limits its length.

    Args:
        norm: the norm after the MLP; None when there is none.
        values: [n, d], the current outputs v of the down projection.
        residual: [n, d], the wanted change of the residual stream.
    """
    if norm is None:
        return residual
    size = values.pow(2).mean(1, keepdim=True).sqrt()  # [n, 1]
    gain = normed(norm, torch.ones_like(values))  # [n, d]
    # A coordinate that the norm sets to zero cannot be changed by the MLP.
    return torch.where(gain == 0, 0.0, residual * size / gain)


def normed(norm: nn.Module, values: Tensor) -> Tensor:
    """The norm applied to values [n, d]; float64, CPU."""
    parameter = next(norm.parameters())
    with torch.no_grad():
        found: Tensor = norm(values.to(parameter))
    return found.double().cpu()
