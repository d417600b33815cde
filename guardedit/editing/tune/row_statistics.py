"""Mean and variance of rows that arrive in parts: the statistics of the parts can be combined.

Count, mean and sum of squared deviations are combined as in Chan, Golub & LeVeque (1979), the batched form of
Welford's update.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RowStatistics:
    """Statistics of rows [n, w].

    Attributes:
        count: n.
        mean: [w] float64.
        squares: [w] float64, sum of squared deviations from the mean.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @staticmethod
    def of(rows: Tensor) -> RowStatistics:
        """Statistics of rows [n, w], n at least 1."""
        rows = rows.double()
        mean = rows.mean(0)
        return RowStatistics(len(rows), mean, (rows - mean).square().sum(0))

    def joined(self, other: RowStatistics) -> RowStatistics:
        """Statistics of both sets of rows together."""
        count = self.count + other.count
        difference = other.mean - self.mean
        mean = self.mean + difference * (other.count / count)
        squares = self.squares + other.squares + difference.square() * (self.count * other.count / count)
        return RowStatistics(count, mean, squares)

    @property
    def deviation(self) -> Tensor:
        """[w]: sample standard deviation; 1 where it is zero, so that it can be divided by."""
        found = (self.squares / max(self.count - 1, 1)).sqrt()
        return torch.where(found > 0, found, torch.ones_like(found))

    @property
    def mean_square(self) -> Tensor:
        """[w]: mean of the squares of the rows themselves."""
        return self.mean.square() + self.squares / self.count


def joined(parts: Iterable[RowStatistics]) -> RowStatistics:
    """Statistics of all parts together; at least one. Their order affects the last bits."""
    return reduce(RowStatistics.joined, parts)
