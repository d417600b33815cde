"""Whether a sample of questions is large enough for a limit on the share of right answers. Pure.

A sample of n questions passes when its share of right answers is at least the limit. It resolves the limit
when it tells two kinds of epochs apart: one that loses half of what the limit allows passes with a
probability of at least 0.9, and one that loses twice as much as allowed with a probability of at most 0.1.
The smallest such n is the least sample for the limit; larger ones are accepted as well.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import count

#: Probability of a right decision about epochs at half and at twice the allowed loss.
POWER = 0.9


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, probability).

    >>> round(binomial_tail(2, 3, 0.5), 6)
    0.5
    """
    if probability >= 1.0:
        return float(successes <= trials)
    return math.fsum(
        math.comb(trials, k) * probability**k * (1.0 - probability) ** (trials - k)
        for k in range(successes, trials + 1)
    )


def allowed_losses(sample: int, limit: float) -> int:
    """The most wrong answers of a sample that pass a limit.

    >>> allowed_losses(50, 0.98), allowed_losses(48, 0.98)
    (1, 0)
    """
    # 50 * (1 - 0.98) is 1.0000000000000009; another limit may fall as little below a whole number.
    return math.floor(sample * (1.0 - limit) + 1e-9)


def tells_apart(sample: int, limit: float) -> bool:
    """Whether a sample of exactly this size resolves the limit."""
    return _passes(sample, limit, 0.5) >= POWER and _passes(sample, limit, 2.0) <= 1.0 - POWER


def least_sample(limit: float) -> int:
    """The smallest sample that resolves a limit; 1 for the limits 0 (off) and 1 (no loss is allowed).

    >>> least_sample(0.98), least_sample(0.95), least_sample(1.0)
    (166, 65, 1)
    """
    if not 0.0 < limit < 1.0:
        return 1
    # Samples that allow equally many losses get stricter with their size. So in each such step the first size
    # at which the bad epoch fails is the one at which the good epoch passes most often.
    for losses in count():
        first, last = (math.ceil((losses + i) / (1.0 - limit) - 1e-9) for i in (0, 1))
        sizes = range(max(1, first), max(1, last))
        at = bisect_left(sizes, 1, key=lambda n: int(_passes(n, limit, 2.0) <= 1.0 - POWER))
        if at < len(sizes) and tells_apart(sizes[at], limit):
            return sizes[at]
    raise AssertionError  # the search always ends, because the probabilities converge


def strictest_limit(sample: int) -> float | None:
    """The largest limit in whole hundredths that a sample resolves; None where there is none.

    >>> strictest_limit(48)
    0.93
    """
    return next((n / 100 for n in range(99, 0, -1) if least_sample(n / 100) <= sample), None)


def refusal(sample: int, limit: float) -> str | None:
    """Why a sample is too small for a limit, and the remedy; None where it is large enough.

    >>> refusal(48, 0.98)
    '48 questions cannot tell 0.98 from 0.96: use 166 questions or a limit of 0.93'
    """
    needed = least_sample(limit)
    if sample >= needed:
        return None
    best = strictest_limit(sample)
    remedy = f"use {needed} questions" + (f" or a limit of {best:.4g}" if best and best < limit else "")
    worse = max(0.0, 1.0 - 2 * (1.0 - limit))
    return f"{sample} questions cannot tell {limit:.4g} from {worse:.4g}: {remedy}"


def _passes(sample: int, limit: float, factor: float) -> float:
    """Probability that an epoch passes which loses `factor` times what the limit allows."""
    return _at_most(allowed_losses(sample, limit), sample, factor * (1.0 - limit))


def _at_most(successes: int, trials: int, probability: float) -> float:
    """P(X <= successes) for X ~ Binomial(trials, probability)."""
    if probability >= 1.0:
        return float(successes >= trials)
    term = total = (1.0 - probability) ** trials
    for k in range(successes):
        term *= (trials - k) / (k + 1) * probability / (1.0 - probability)
        total += term
    return total
