"""What a trace measured, averaged: indirect effects by kind of token and layer.

Knows positions and numbers. Does not know models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Effects by kind of token and layer, or by layer alone.
Array = NDArray[np.float64]

#: The kinds of tokens over which effects are averaged (Meng et al. 2022, figure 2).
TOKENS = (
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first subsequent token",
    "further tokens",
    "last token",
)
SUBJECT_LAST, LAST = TOKENS.index("last subject token"), TOKENS.index("last token")


def kinds(subject: range, length: int) -> list[list[int]]:
    """Positions of each kind of `TOKENS` in a prompt of `length` tokens; every position has one kind at most.

    A subject of one token has its last token only. A prompt that ends with its subject has no last token
    beside the subject's, and one that ends one token behind it has no first subsequent token.

    >>> kinds(range(1, 4), 7)
    [[1], [2], [3], [4], [5], [6]]
    >>> kinds(range(0, 1), 2)
    [[], [], [0], [], [], [1]]
    """
    last = subject[-1]
    before, behind = list(subject[:-1]), list(range(last + 1, length))
    return [before[:1], before[1:], [last], behind[:-1][:1], behind[:-1][1:], behind[-1:]]


@dataclass(frozen=True, slots=True)
class Average:
    """Over facts. NaN where no fact has the kind of token.

    Attributes:
        mean: any shape.
        error: standard error of the mean, same shape; NaN for fewer than two facts.
        facts: how many facts each mean is of, same shape.
    """

    mean: Array
    error: Array
    facts: NDArray[np.int64]


def average(each: Sequence[Array]) -> Average:
    """Average over facts, leaving out what is NaN.

    >>> average([np.array([1.0, math.nan]), np.array([3.0, math.nan])]).mean.tolist()
    [2.0, nan]
    """
    values = np.stack(each)
    there = ~np.isnan(values)
    facts = there.sum(axis=0)
    mean = _over(np.where(there, values, 0.0).sum(axis=0), facts)
    squares = np.where(there, values - mean, 0.0) ** 2
    return Average(mean, np.sqrt(_over(_over(squares.sum(axis=0), facts - 1), facts)), facts)


def peak(effects: Array) -> int | None:
    """The layer with the greatest effect; None where nothing is defined."""
    return None if np.isnan(effects).all() else int(np.nanargmax(effects))


def _over(above: Array, below: NDArray[np.int64]) -> Array:
    """The quotient, NaN where the divisor is not positive."""
    return np.where(below > 0, above / np.maximum(below, 1), math.nan)
