"""The exact tests: their level by enumeration, their power, and that more losses are more evidence."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardedit.guard.noise import KindNoise
from guardedit.guard.significance import beta_binomial_tail, loss_tail, mcnemar_tail
from guardedit.policy.resolution import binomial_tail

ASKED = st.integers(1, 80)
SHARES = st.integers(0, 40).map(lambda n: n / 100)
NOISE = st.builds(KindNoise, share=SHARES, questions=st.integers(0, 400).map(float))
ALPHA = 0.05


def _binomial(k, n, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@given(ASKED, SHARES)
def test_without_noise_at_most_one_in_twenty_allowed_epochs_is_rejected(asked, spared):
    rejected = [k for k in range(asked + 1) if loss_tail(k, asked, spared=spared, noise=KindNoise()) < ALPHA]
    assert sum(_binomial(k, asked, spared) for k in rejected) <= ALPHA + 1e-9


@given(ASKED, SHARES, NOISE)
def test_more_losses_are_more_evidence(asked, spared, noise):
    tails = [loss_tail(k, asked, spared=spared, noise=noise) for k in range(asked + 1)]
    assert tails[0] == pytest.approx(1.0)
    assert all(0 <= b <= a + 1e-9 for a, b in pairwise(tails))


@given(ASKED, SHARES, st.integers(1, 400), SHARES)
def test_noise_makes_losses_less_surprising(asked, spared, questions, share):
    for lost in range(1, asked + 1):
        quiet = loss_tail(lost, asked, spared=0.0, noise=KindNoise())
        assert quiet <= loss_tail(lost, asked, spared=spared, noise=KindNoise(share, float(questions)))


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 60))
def test_noise_alone_has_the_level_of_the_posterior(asked, questions, changed):
    """The probabilities are those of a binomial whose own probability is drawn from the posterior."""
    changed = min(changed, questions)
    noise = KindNoise(changed / questions, float(questions))
    alpha, beta = changed + 0.5, questions - changed + 0.5
    lost = (asked + 1) // 2
    direct = beta_binomial_tail(lost, asked, alpha=alpha, beta=beta)
    assert loss_tail(lost, asked, spared=0.0, noise=noise) == pytest.approx(direct, rel=1e-6)
    total = sum(_beta_binomial(k, asked, alpha, beta) for k in range(lost, asked + 1))
    assert direct == pytest.approx(min(1.0, total), rel=1e-6)


def _beta_binomial(k, n, alpha, beta):
    """By rising factorials, without the gamma function."""
    top = math.prod(alpha + i for i in range(k)) * math.prod(beta + i for i in range(n - k))
    return math.comb(n, k) * top / math.prod(alpha + beta + i for i in range(n))


def test_much_measured_noise_is_the_binomial_test_at_the_allowed_share():
    found = loss_tail(9, 100, spared=0.02, noise=KindNoise(0.03, 1e7))
    assert found == pytest.approx(binomial_tail(9, 100, 0.05), rel=1e-3)
    assert loss_tail(9, 100, spared=0.02, noise=KindNoise(0.03, 50.0)) > 2 * found


def test_what_is_certain_without_noise_is_doubtful_where_noise_is_hardly_known():
    assert loss_tail(1, 5, spared=0.0, noise=KindNoise()) == 0.0
    assert loss_tail(1, 5, spared=0.0, noise=KindNoise(0.0, 200.0)) < ALPHA
    assert loss_tail(1, 5, spared=0.0, noise=KindNoise(0.0, 20.0)) > ALPHA


def test_the_power_against_four_times_the_allowed_loss():
    asked, spared = 166, 0.02
    least = next(k for k in range(asked) if loss_tail(k, asked, spared=spared, noise=KindNoise()) < ALPHA)
    assert binomial_tail(least, asked, 4 * spared) > 0.9


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_symmetric_exact_and_monotonic(lost, gained):
    here = mcnemar_tail(lost, gained)
    pairs = lost + gained
    exact = sum(math.comb(pairs, k) for k in range(lost, pairs + 1)) / 2**pairs
    assert here == pytest.approx(exact)
    assert mcnemar_tail(lost + 1, gained) <= here <= mcnemar_tail(lost, gained + 1) + 1e-12


@given(st.integers(1, 60))
def test_mcnemar_rejects_at_most_one_in_twenty_when_changes_go_either_way(pairs):
    rejected = [k for k in range(pairs + 1) if mcnemar_tail(k, pairs - k) < ALPHA]
    assert sum(_binomial(k, pairs, 0.5) for k in rejected) <= ALPHA + 1e-12


def test_the_tails_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    for lost, asked, alpha, beta in [(3, 48, 1.5, 60.0), (1, 5, 0.5, 20.5), (20, 166, 4.0, 90.0)]:
        known = stats.betabinom(asked, alpha, beta).sf(lost - 1)
        assert beta_binomial_tail(lost, asked, alpha=alpha, beta=beta) == pytest.approx(known, rel=1e-8)
        known = stats.binom(asked, alpha / beta).sf(lost - 1)
        assert binomial_tail(lost, asked, alpha / beta) == pytest.approx(known, rel=1e-8)
