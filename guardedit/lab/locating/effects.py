"""Averages indirect effects, by kind of token and layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Effects [kinds of tokens, layers] or [layers].
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
    """Positions of each kind of `TOKENS` in a prompt of `length` tokens. No position has two kinds.

    A subject of one token has only a last token. A prompt that ends with its subject has no separate last
    token; a prompt that ends one token later has no first subsequent token.

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
    """An average over facts. NaN where no fact has that kind of token.

    Attributes:
        mean: any shape.
        error: standard error of the mean, same shape; NaN for fewer than two facts.
        facts: number of facts in each mean, same shape.
    """

    mean: Array
    error: Array
    facts: NDArray[np.int64]


def average(each: Sequence[Array]) -> Average:
    """Average over facts, ignoring NaN. All arrays have the same shape.

    >>> average([np.array([1.0, math.nan]), np.array([3.0, math.nan])]).mean.tolist()
    [2.0, nan]
    """
    values = np.stack(each)
    defined = ~np.isnan(values)
    facts = defined.sum(axis=0)
    mean = _quotient(np.where(defined, values, 0.0).sum(axis=0), facts)
    squares = np.where(defined, values - mean, 0.0) ** 2
    return Average(mean, np.sqrt(_quotient(_quotient(squares.sum(axis=0), facts - 1), facts)), facts)


def peak(effects: Array) -> int | None:
    """The layer with the greatest effect; None when all effects are NaN."""
    return None if np.isnan(effects).all() else int(np.nanargmax(effects))


def _quotient(numerator: Array, denominator: NDArray[np.int64]) -> Array:
    """The quotient; NaN where the denominator is not positive."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), math.nan)
