"""How small a harm can be told: against simulation-free identities of the tests that are used."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from guardedit.prepare.probes.power import at_least, smallest_ratio, smallest_share


def test_a_change_of_the_smallest_ratio_is_found_with_the_stated_power():
    error, confidence = 0.003, 0.95
    shift = math.log(smallest_ratio(error, confidence=confidence))
    critical = NormalDist().inv_cdf(confidence) * error
    assert 1 - NormalDist(shift, error).cdf(critical) == pytest.approx(0.99)


def test_a_share_of_the_smallest_size_is_found_with_the_stated_power():
    for n, noise in ((48, 0.0), (200, 0.01), (400, 0.03)):
        share = smallest_share(n, confidence=0.95, noise=noise)
        rejected = next(k for k in range(1, n + 1) if at_least(k, n, noise) <= 0.05)
        assert at_least(rejected, n, share) == pytest.approx(0.99, abs=1e-6)
        assert at_least(rejected, n, share * 0.99) < 0.99


def test_binomial_tails_are_those_of_counting():
    n, share = 7, 0.3
    exact = sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(3, n + 1))
    assert at_least(3, n, share) == pytest.approx(exact)
    assert (at_least(0, n, share), at_least(1, n, 0.0), at_least(7, n, 1.0)) == (1.0, 0.0, 1.0)


def test_more_questions_tell_more_and_noise_tells_less():
    shares = [smallest_share(n, confidence=0.95) for n in (48, 96, 200)]
    assert shares == sorted(shares, reverse=True)
    assert smallest_share(200, confidence=0.95, noise=0.02) > shares[-1]


def test_without_questions_nothing_is_known():
    assert math.isnan(smallest_share(0, confidence=0.95))
    assert math.isnan(smallest_share(1, confidence=0.95, noise=0.5))
