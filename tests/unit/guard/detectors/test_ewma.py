"""EWMA on seeded streams: exact indices, and average and limit from their closed forms."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import Ewma


def _stream(seed, *, calm=200, drifting=200, rise=0.006, noise=0.004):
    rng = random.Random(seed)
    return [rng.gauss(0.0 if i < calm else rise, noise) for i in range(calm + drifting)]


def _alarms(detector, stream):
    found = []
    for index, x in enumerate(stream):
        detector.update(x)
        if detector.drift_detected:
            found.append(index)
            detector.reset()
    return found


@pytest.mark.parametrize(("seed", "first"), [(0, 212), (1, 204), (2, 206)])
def test_a_sustained_rise_is_found_soon_and_calm_raises_no_alarm(seed, first):
    found = _alarms(Ewma(weight=0.1, deviation=0.004, limit_deviations=3.5), _stream(seed))
    assert found[0] == first


def test_the_average_is_the_weighted_sum_of_all_numbers():
    stream, w, target = _stream(4, calm=30, drifting=30), 0.15, 0.002
    detector = Ewma(weight=w, deviation=1.0, target=target)
    for count, x in enumerate(stream, start=1):
        detector.update(x)
        weights = w * (1 - w) ** np.arange(count)
        expected = weights @ np.array(stream[:count][::-1]) + (1 - w) ** count * target
        assert detector.value == pytest.approx(float(expected), abs=1e-14)


def test_the_limit_is_the_standard_deviation_of_the_average_times_its_width():
    w, rng = 0.2, np.random.default_rng(0)
    draws = rng.normal(0.0, 0.5, size=(100_000, 6))
    detector = Ewma(weight=w, deviation=0.5, limit_deviations=3.0)
    averages = np.zeros(100_000)
    for step in range(6):
        detector.update(0.0)
        averages = (1 - w) * averages + w * draws[:, step]
        assert detector.limit == pytest.approx(3 * float(averages.std()), rel=0.01)


def test_weight_one_is_a_chart_of_single_values():
    detector = Ewma(weight=1.0, deviation=0.5, limit_deviations=2.0)
    for x, alarm in [(0.9, False), (1.0, False), (1.01, True)]:
        detector.update(x)
        assert detector.limit == 1.0
        assert detector.drift_detected is alarm


@pytest.mark.parametrize(
    "settings",
    [
        {"weight": 0.0},
        {"weight": 1.1},
        {"deviation": 0.0},
        {"limit_deviations": math.nan},
        {"target": math.inf},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(GuardError):
        Ewma(**settings)
