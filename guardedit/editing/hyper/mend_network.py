"""MEND's hypernetwork: transforms the factors of a gradient, token by token, into the factors of an edit.

Mitchell et al. 2022, arXiv:2110.11309, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from guardedit.editing.hyper.gradients import Gradient, LowRankChange
from guardedit.editing.hyper.network import EditCondition, HyperNetwork

#: Added to standard deviations.
EPSILON = 1e-7


class RunningNorm(nn.Module):
    """Normalises each coordinate by the mean and standard deviation of observed rows (Welford, in chunks).

    It is the identity until two rows have been observed.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.count: Tensor
        self.mean: Tensor
        self.squares: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("squares", torch.zeros(width))

    def observe(self, rows: Tensor) -> None:
        """Add rows [n, width]."""
        if len(rows) == 0:
            return
        mean, n = rows.mean(0), len(rows)
        total = self.count + n
        off = mean - self.mean
        self.squares += (rows - mean).square().sum(0) + off.square() * (self.count * n / total).float()
        self.mean += off * (n / total).float()
        self.count.copy_(total)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [..., width], normalised to mean 0 and standard deviation 1 in every coordinate."""
        if self.count < 2:
            return rows
        deviation = (self.squares / (self.count - 1).float()).sqrt()
        normal: Tensor = (rows - self.mean) / (deviation + EPSILON)
        return normal


class LowRankLayer(nn.Module):
    """`u + max(0, (U V u + b) * scale + shift)`; initially the identity, since U, b and the shifts are 0.

    Args:
        width: of u.
        rank: of U V.
        places: number of matrices that share the layer, each with its own scale and shift.
        generator: for the initial V.
    """

    def __init__(self, width: int, rank: int, places: int, generator: torch.Generator) -> None:
        super().__init__()
        self.V = nn.Parameter(torch.randn(rank, width, generator=generator) / width**0.5)
        self.U = nn.Parameter(torch.zeros(width, rank))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(places, width))
        self.shift = nn.Parameter(torch.zeros(places, width))

    def forward(self, u: Tensor, place: int) -> Tensor:
        """[..., width], the output for u [..., width] of matrix number `place`."""
        inner = (u @ self.V.t()) @ self.U.t() + self.bias
        return u + torch.relu(inner * self.scale[place] + self.shift[place])


class MendNetwork(HyperNetwork):
    """One network for the down projections of all edited layers, which have the same shape.

    An edit of W is `step * sum_t g~_t x~_t^T`, one column for each token, where the network transforms a
    token's key and output gradient (x, g) to (x~, g~).

    Args:
        layers: the edited layers.
        width: d.
        inner: f.
        rank: of the hidden layers.
        seed: of the initial weights.
    """

    method = "mend"

    def __init__(self, layers: Sequence[int], *, width: int, inner: int, rank: int, seed: int = 0) -> None:
        super().__init__(layers)
        self._sizes = {"width": width, "inner": inner, "rank": rank}
        generator = torch.Generator().manual_seed(seed)
        places = len(self.layers)
        self.norms = nn.ModuleList([RunningNorm(inner + width) for _ in self.layers])
        self.transforms = nn.ModuleList(
            [LowRankLayer(inner + width, min(rank, inner + width), places, generator) for _ in range(2)]
        )
        # Negative, so that an edit is initially a step of gradient descent.
        self.steps = nn.Parameter(torch.full((places,), -1e-3))

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the matrix, and the rank."""
        return dict(self._sizes)

    def observe(self, gradients: Mapping[int, Gradient]) -> None:
        """Update the running norms. For training only: the statistics decide how inputs are normalised."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            found = gradients[layer]
            assert isinstance(norm, RunningNorm)
            norm.observe(torch.cat([found.keys, found.outputs], dim=-1)[found.used])

    def transformed(self, gradient: Gradient, place: int) -> tuple[Tensor, Tensor]:
        """x~ [E, T, f] and g~ [E, T, d] of matrix number `place`; zero at tokens that are not used."""
        u: Tensor = self.norms[place](torch.cat([gradient.keys, gradient.outputs], dim=-1))
        for layer in self.transforms:
            u = layer(u, place)
        u = u.masked_fill(~gradient.used[..., None], 0)
        inner = self._sizes["inner"]
        return u[..., :inner], u[..., inner:]

    def forward(
        self, gradients: Mapping[int, Gradient], condition: EditCondition | None
    ) -> dict[int, LowRankChange]:
        """Layer -> changes of rank T at most."""
        del condition
        found = {}
        for place, layer in enumerate(self.layers):
            x, g = self.transformed(gradients[layer], place)
            found[layer] = LowRankChange(
                left=(self.steps[place] * g).transpose(1, 2), right=x.transpose(1, 2)
            )
        return found
