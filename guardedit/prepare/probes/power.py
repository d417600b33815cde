"""How small a harm a probe set can tell from noise, in perplexity and in shares of answers."""

from __future__ import annotations

import math
from statistics import NormalDist

#: With which probability a change of the stated size is found.
POWER = 0.99


def smallest_ratio(standard_error: float, *, confidence: float, power: float = POWER) -> float:
    """The smallest ratio of perplexities that a one-sided test at `confidence` finds with `power`.

    Args:
        standard_error: of the mean log ratio per token, with texts as units, as `guard.perplexity` has it.
        confidence: of the test, such as .95.
        power: probability of finding a ratio of this size.

    >>> round(smallest_ratio(0.002, confidence=0.95), 4)
    1.008
    """
    normal = NormalDist()
    return math.exp((normal.inv_cdf(confidence) + normal.inv_cdf(power)) * standard_error)


def smallest_share(questions: int, *, confidence: float, noise: float = 0.0, power: float = POWER) -> float:
    """The smallest share of changed answers that an exact binomial test finds with `power`.

    The test rejects when so many of the questions changed that, if noise were the only reason, this or more
    would happen with a probability of at most 1 - confidence.

    Args:
        questions: number of questions asked; NaN for none.
        confidence: of the test.
        noise: share of answers that a benign change alters.
        power: probability of finding a share of this size.

    >>> round(smallest_share(48, confidence=0.95), 3), round(smallest_share(200, confidence=0.95), 3)
    (0.091, 0.023)
    """
    if questions < 1:
        return math.nan
    rejected_from = next(
        (k for k in range(1, questions + 1) if at_least(k, questions, noise) <= 1.0 - confidence), None
    )
    if rejected_from is None:
        return math.nan
    low, high = noise, 1.0
    for _ in range(50):  # bisection: the probability grows with the share
        middle = (low + high) / 2
        low, high = (low, middle) if at_least(rejected_from, questions, middle) >= power else (middle, high)
    return high


def at_least(k: int, n: int, share: float) -> float:
    """Probability of k or more of n, each with probability `share`."""
    if k <= 0 or share >= 1.0:
        return 1.0
    if share <= 0.0:
        return 0.0
    terms = (_log_term(i, n, share) for i in range(k, n + 1))
    return min(1.0, math.fsum(map(math.exp, terms)))


def _log_term(i: int, n: int, share: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    return ways + i * math.log(share) + (n - i) * math.log1p(-share)
