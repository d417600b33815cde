from __future__ import annotations

import math

import pytest

from guardedit.lab.field.intervals import bootstrap, harmonic_mean, mean, wilson


def test_wilson_against_the_published_formula():
    # Newcombe 1998, table I: 81 of 263 is .2553 to .3662.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert math.isnan(wilson(0, 0).low)


def test_the_bootstrap_is_near_the_normal_interval_and_repeats():
    values = [0.0, 1.0] * 200
    found = bootstrap([values], lambda means: means[0], seed=1)
    assert found == pytest.approx((0.451, 0.549), abs=0.01)  # 1.96 * 0.5 / 20
    assert found == bootstrap([values], lambda means: means[0], seed=1)
    assert found != bootstrap([values], lambda means: means[0], seed=2)


def test_the_bootstrap_draws_whole_cases():
    # In every sample the two quantities add up to 1; drawn apart, they would not.
    first, second = [0.0, 1.0] * 20, [1.0, 0.0] * 20
    assert bootstrap([first, second], sum, seed=0) == pytest.approx((1.0, 1.0))


def test_nothing_is_undefined():
    assert math.isnan(bootstrap([[math.nan, math.nan]], sum, seed=0).low)
    assert math.isnan(mean([]))
    assert math.isnan(harmonic_mean([]))
    assert mean([math.nan, 1.0, 0.0]) == 0.5
    assert harmonic_mean([1.0, 0.5, 0.5]) == pytest.approx(0.6)
