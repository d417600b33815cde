"""A norm between an MLP and the residual stream (Gemma 2): what passes through it, and what must enter it.

Does not know layers or edits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def before_norm(norm: nn.Module | None, values: Tensor, residual: Tensor) -> Tensor:
    """What the down projection must add, so that the residual stream gets `residual`; both [n, d].

    They are one without a norm behind the MLP. A root-mean-square norm multiplies each coordinate by
    g / rms(v), which is taken back; it then lets the wanted direction through, though never more length.
    """
    if norm is None:
        return residual
    size = values.pow(2).mean(1, keepdim=True).sqrt()  # [n, 1]
    gain = normed(norm, torch.ones_like(values))  # [n, d]
    # What the norm wipes out cannot be reached from here.
    return torch.where(gain == 0, 0.0, residual * size / gain)


def normed(norm: nn.Module, values: Tensor) -> Tensor:
    """What the norm makes of values [n, d], float64 on the CPU."""
    parameter = next(norm.parameters())
    with torch.no_grad():
        found: Tensor = norm(values.to(parameter))
    return found.double().cpu()
