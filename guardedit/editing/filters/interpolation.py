"""Single-layer interpolation: walk back along the straight line to the base weights.

W(alpha) = (1 - alpha) W0 + alpha W_edited (1-LI, Brown et al. 2023, arXiv:2303.00046). There alpha is chosen
on validation data; here it is a dial.
"""

from __future__ import annotations

from torch import Tensor

#: Three quarters of the way: the first step back of a search over 1, 0.75, 0.5.
ALPHA = 0.75


def interpolation(W: Tensor, left: Tensor, right: Tensor, *, alpha: float = ALPHA) -> tuple[Tensor, Tensor]:
    """Factors of alpha Delta; `W` [d, f] does not matter.

    >>> import torch
    >>> left, right = interpolation(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1), alpha=0.5)
    >>> float(left @ right.t())
    0.5
    """
    del W
    return alpha * left, right
