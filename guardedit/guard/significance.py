"""Exact one-sided tests: would so many lost answers be improbable at the allowed share? Pure.

The allowed share of losses is `spared`, which a limit allows, plus the noise of the model. The noise is known
from a number of questions only. With none, the losses are binomial. Otherwise they are beta-binomial:

    losses | p ~ Binomial(asked, p),  p = spared + q,  q ~ Beta(k + 1/2, m - k + 1/2)

for k changed of m questions (the posterior of Jeffreys' prior). p is not a beta variable unless spared is 0,
so it is replaced by the beta distribution with the same mean and variance. With many questions this becomes
the binomial test at spared + k/m; with few, more losses are needed before they are improbable.
"""

from __future__ import annotations

import math

from guardedit.guard.noise import KindNoise
from guardedit.policy.resolution import binomial_tail


def loss_tail(lost: int, asked: int, *, spared: float, noise: KindNoise) -> float:
    """Probability of at least `lost` losses among `asked` answers at the allowed share.

    >>> round(loss_tail(4, 32, spared=0.03, noise=KindNoise()), 4)
    0.0149
    >>> loss_tail(1, 32, spared=0.0, noise=KindNoise())
    0.0
    """
    if not noise.questions:
        return binomial_tail(lost, asked, spared)
    size = noise.questions + 1.0
    share = (noise.share * noise.questions + 0.5) / size
    mean = spared + share
    if mean >= 1.0:
        return 1.0
    # alpha + beta of the matched beta distribution: mean (1 - mean) / variance - 1.
    weight = mean * (1.0 - mean) / (share * (1.0 - share) / (size + 1.0)) - 1.0
    return beta_binomial_tail(lost, asked, alpha=mean * weight, beta=(1.0 - mean) * weight)


def beta_binomial_tail(successes: int, trials: int, *, alpha: float, beta: float) -> float:
    """P(X >= successes) for X ~ BetaBinomial(trials, alpha, beta).

    >>> round(beta_binomial_tail(2, 3, alpha=1.0, beta=1.0), 6)
    0.5
    """

    def term(k: int) -> float:
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        return math.exp(ways + _log_beta(k + alpha, trials - k + beta) - _log_beta(alpha, beta))

    return min(1.0, math.fsum(term(k) for k in range(successes, trials + 1)))


def mcnemar_tail(lost: int, gained: int) -> float:
    """McNemar's exact test on pairs: P(at least `lost` losses) if a changed answer is as often a gain.

    >>> mcnemar_tail(5, 0), mcnemar_tail(0, 0)
    (0.03125, 1.0)
    """
    return binomial_tail(lost, lost + gained, 0.5)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
