"""Confidence intervals of shares and of means over cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

#: Confidence of every interval.
CONFIDENCE = 0.95
#: Samples of the bootstrap.
SAMPLES = 2000
#: Samples that are drawn together; a divisor of `SAMPLES`.
DRAWN_AT_ONCE = 50


class Interval(NamedTuple):
    """Lower and upper bound; NaN where there is nothing to bound."""

    low: float
    high: float


#: Where there are no cases.
UNDEFINED = Interval(math.nan, math.nan)


def wilson(right: float, asked: int) -> Interval:
    """Wilson's interval (1927) of a share.

    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    if not asked:
        return UNDEFINED
    z, share = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), right / asked
    centre = share + z * z / (2 * asked)
    width = z * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    scale = 1 + z * z / asked
    low = 0.0 if right == 0 else (centre - width) / scale  # exactly, in spite of rounding
    return Interval(low, 1.0 if right == asked else (centre + width) / scale)


def bootstrap(
    columns: Sequence[Sequence[float]], statistic: Callable[[Sequence[float]], float], *, seed: int
) -> Interval:
    """Percentile bootstrap over cases.

    Args:
        columns: for each quantity one value for each case, NaN where the case has none.
        statistic: of the quantities' means over the cases of a sample.
        seed: of the samples.
    """
    values = np.asarray(columns, dtype=float)  # [quantities, cases]
    if values.size == 0 or np.isnan(values).all(axis=1).any():
        return UNDEFINED
    known = ~np.isnan(values)
    filled, random = np.where(known, values, 0.0), np.random.default_rng(seed)
    found: list[float] = []
    for _ in range(SAMPLES // DRAWN_AT_ONCE):  # all at once would take gigabytes for a whole data set
        drawn = random.integers(values.shape[1], size=(DRAWN_AT_ONCE, values.shape[1]))
        with np.errstate(invalid="ignore"):
            means = filled[:, drawn].sum(axis=2) / known[:, drawn].sum(axis=2)  # [quantities, samples]
        found += [statistic(sample) for sample in means.T.tolist()]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high))


def mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN without any.

    >>> mean([1.0, math.nan, 0.0]), mean([])
    (0.5, nan)
    """
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def harmonic_mean(values: Sequence[float]) -> float:
    """Harmonic mean; 0 where a value is 0, NaN where one is NaN.

    >>> harmonic_mean([1.0, 0.5, 0.5]), harmonic_mean([1.0, 0.0]), harmonic_mean([math.nan, 1.0])
    (0.6, 0.0, nan)
    """
    if not values or any(map(math.isnan, values)):
        return math.nan
    return 0.0 if 0.0 in values else len(values) / math.fsum(1 / value for value in values)


def clopper_pearson_high(count: int, asked: int, confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of a share, after Clopper and Pearson (1934): exact. NaN without cases.

    It is the share at which `count` or fewer of `asked` have the probability 1 - confidence.

    >>> round(clopper_pearson_high(0, 299), 4), round(clopper_pearson_high(3, 100), 4)
    (0.01, 0.0757)
    """
    if not asked:
        return math.nan
    if count >= asked:
        return 1.0
    low, high = count / asked, 1.0
    while high - low > 1e-12:
        share = (low + high) / 2
        low, high = (share, high) if _at_most(count, asked, share) > 1 - confidence else (low, share)
    return high


def _at_most(count: int, asked: int, share: float) -> float:
    """Probability of `count` or fewer of `asked`, each with probability `share` in (0, 1)."""
    if share <= 0:
        return 1.0
    yes, no, whole = math.log(share), math.log1p(-share), math.lgamma(asked + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(n + 1) - math.lgamma(asked - n + 1) + n * yes + (asked - n) * no)
        for n in range(count + 1)
    )
