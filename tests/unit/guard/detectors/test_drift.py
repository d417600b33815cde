"""The drift watch: budgets, detectors, rollbacks, and replay from the same readings."""

from __future__ import annotations

import math
import random

import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import Cusum, DriftLimits, DriftWatch, Reading, usual_detectors

LIMITS = DriftLimits(max_ratio_to_base=1.05, max_ratio_to_last_good=1.03)


def _watch(limits=LIMITS, *, detectors=None):
    return DriftWatch(limits, usual_detectors(limits) if detectors is None else detectors)


def _readings(levels, *, start=1, restart=()):
    return [
        Reading(epoch=epoch, log_ratio_to_base=x, log_ratio_to_last_good=0.0, restart=epoch in restart)
        for epoch, x in enumerate(levels, start=start)
    ]


def _feed(watch, readings):
    return [watch.update(reading) for reading in readings]


def test_noise_around_the_base_model_is_no_breach():
    rng = random.Random(0)
    watch = _watch()
    assert set(_feed(watch, _readings(rng.gauss(0, 0.001) for _ in range(300)))) == {None}


def test_the_budget_against_the_base_model_is_a_ratio():
    watch = _watch(detectors=())
    breach = _feed(watch, _readings([math.log(1.049), math.log(1.051)]))
    assert breach[0] is None
    assert (breach[1].reason, breach[1].limit, breach[1].epoch) == ("ratio_to_base", 1.05, 2)
    assert breach[1].value == pytest.approx(1.051)
    assert str(breach[1]) == "Halt: ratio_to_base 1.051 > 1.05 at epoch 2"


def test_the_budget_against_last_good_counts_on_its_own():
    watch = _watch(detectors=())
    reading = Reading(epoch=7, log_ratio_to_base=-0.5, log_ratio_to_last_good=math.log(1.04))
    assert watch.update(reading).reason == "ratio_to_last_good"


def test_a_ratio_that_overflows_is_a_breach_and_no_crash():
    assert _watch().update(_readings([5_000.0])[0]).value > 1e300


def test_steady_growth_is_found_before_the_budget_is_spent():
    # 0.4 % an epoch: the budget of 5 % would last for twelve epochs.
    found = _feed(_watch(DriftLimits(cusum_threshold_nats=0.015)), _readings(0.004 * i for i in range(1, 13)))
    first = next(breach for breach in found if breach)
    assert (first.reason, first.epoch) == ("cusum", 8)
    assert first.value > first.limit == 0.015


def test_a_jump_is_seen_by_the_average():
    found = _feed(_watch(), _readings([0.0] * 20 + [0.045]))
    assert found[:-1] == [None] * 20
    assert found[-1].reason == "cusum"
    ewma = usual_detectors(LIMITS)[1]
    assert _feed(_watch(detectors=(ewma,)), _readings([0.0] * 20 + [0.048]))[-1].reason == "ewma"


def test_after_a_breach_the_fall_of_the_rollback_counts_for_nothing():
    detector = Cusum(slack=0.0, threshold=0.02)
    watch = _watch(DriftLimits(max_ratio_to_base=9.0), detectors=(detector,))
    assert watch.update(_readings([0.03])[0]).reason == "cusum"
    assert _feed(watch, _readings([0.0, 0.01], start=2)) == [None, None]
    assert detector.value == pytest.approx(0.01)


def test_an_undo_starts_the_detectors_anew_from_its_level():
    ewma = usual_detectors(LIMITS)[1]
    watch = _watch(detectors=(ewma,))
    _feed(watch, _readings([0.01, 0.02, 0.03, 0.001], restart=(4,)))
    assert ewma.state == {"average": 0.0, "count": 0.0, "drift": 0.0}
    watch.update(Reading(epoch=5, log_ratio_to_base=0.004, log_ratio_to_last_good=0.0))
    assert ewma.value == pytest.approx(LIMITS.ewma_weight * 0.003)


def test_replay_of_the_same_readings_gives_the_same_watch():
    rng = random.Random(5)
    level, levels = 0.0, []
    for _ in range(200):
        level += rng.gauss(0.001, 0.003)
        level = 0.0 if level > 0.06 else level
        levels.append(level)
    readings = _readings(levels, restart=(50, 120))
    first, second = _watch(), _watch()
    breaches = _feed(first, readings)
    assert any(breaches)
    second.update(Reading(epoch=0, log_ratio_to_base=0.01, log_ratio_to_last_good=0.0))
    assert second.replay(readings) == breaches[-1]
    assert [d.state for d in second.detectors] == [d.state for d in first.detectors]
    following = _readings([level + 0.02], start=201)
    assert _feed(first, following) == _feed(second, following)


def test_replay_forgets_what_was_seen_before():
    used, fresh, calm = _watch(), _watch(), _readings([0.001, 0.004])
    _feed(used, _readings([0.01, 0.02]))
    assert used.replay(calm) is None
    _feed(fresh, calm)
    assert [d.state for d in used.detectors] == [d.state for d in fresh.detectors]
    assert used.replay([]) is None
    assert [d.value for d in used.detectors] == [0.0, 0.0]


@pytest.mark.parametrize("field", ["log_ratio_to_base", "log_ratio_to_last_good"])
def test_an_epoch_that_was_not_measured_is_refused_and_changes_nothing(field):
    watch = _watch()
    watch.update(_readings([0.004])[0])
    before = [detector.state for detector in watch.detectors]
    numbers = {"log_ratio_to_base": 0.0, "log_ratio_to_last_good": 0.0, field: math.nan}
    with pytest.raises(GuardError, match="epoch 2 has no finite perplexity ratio"):
        watch.update(Reading(epoch=2, **numbers))
    assert [detector.state for detector in watch.detectors] == before
