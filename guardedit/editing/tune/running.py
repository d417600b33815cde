"""Mean and variance of rows that come in parts, so that the whole is a fold over the parts.

Count, mean and sum of squared deviations are joined as by Chan, Golub & LeVeque (1979), the batched form of
Welford's update. Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Running:
    """Statistics of some rows of one width w.

    Attributes:
        count: rows.
        mean: [w] float64.
        squares: [w] float64, sum of squared deviations from the mean.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @staticmethod
    def of(rows: Tensor) -> Running:
        """Of rows [n, w], n at least 1."""
        rows = rows.double()
        mean = rows.mean(0)
        return Running(len(rows), mean, (rows - mean).square().sum(0))

    def joined(self, other: Running) -> Running:
        """Of both sets of rows."""
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        squares = self.squares + other.squares + apart.square() * (self.count * other.count / count)
        return Running(count, mean, squares)

    @property
    def deviation(self) -> Tensor:
        """[w]: standard deviation of a sample; one where it is zero, so that it can be divided by."""
        found = (self.squares / max(self.count - 1, 1)).sqrt()
        return torch.where(found > 0, found, torch.ones_like(found))

    @property
    def mean_square(self) -> Tensor:
        """[w]: mean of the squares of the rows themselves."""
        return self.mean.square() + self.squares / self.count


def joined(parts: Iterable[Running]) -> Running:
    """All parts in the order given, which matters for the last bits; at least one."""
    return reduce(Running.joined, parts)
