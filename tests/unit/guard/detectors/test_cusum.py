"""CUSUM on seeded streams: exact indices, and the sum from its closed form."""

from __future__ import annotations

import random

import numpy as np
import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import Cusum


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


@pytest.mark.parametrize(("seed", "first"), [(0, 214), (1, 206), (2, 207)])
def test_a_sustained_rise_is_found_soon_and_calm_raises_no_alarm(seed, first):
    found = _alarms(Cusum(slack=0.003, threshold=0.03), _stream(seed))
    assert found[0] == first


def test_the_sum_is_the_height_above_the_lowest_point_so_far():
    stream = _stream(3)
    detector = Cusum(slack=0.001, threshold=100.0, target=0.0005)
    walk = np.concatenate([[0.0], np.cumsum(np.array(stream) - 0.0015)])
    for index, x in enumerate(stream):
        detector.update(x)
        expected = walk[index + 1] - walk[: index + 2].min()
        assert detector.value == pytest.approx(float(expected), abs=1e-12)


def test_a_fall_is_no_alarm_and_leaves_no_credit():
    detector = Cusum(slack=0.0, threshold=0.05)
    for x in [-10.0] * 5 + [0.06]:
        detector.update(x)
    assert detector.drift_detected


def test_a_value_on_the_threshold_is_no_alarm():
    detector = Cusum(slack=0.0, threshold=0.5)
    detector.update(0.5)
    assert not detector.drift_detected
    detector.update(0.001)
    assert detector.drift_detected


@pytest.mark.parametrize("settings", [{"slack": -1.0}, {"threshold": 0.0}, {"target": float("nan")}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(GuardError):
        Cusum(**settings)
