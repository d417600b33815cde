"""Every detector in `guard.DETECTORS` keeps the same promises."""

from __future__ import annotations

import inspect
import math
import pickle
import random

import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import DETECTORS, NoDrift

#: Never alarms by design; everything else must find a plain rise.
SILENT = (NoDrift,)


def _stream(seed, count=120):
    rng = random.Random(seed)
    return [rng.gauss(0.0 if i < 60 else 0.02, 0.003) for i in range(count)]


@pytest.fixture(params=DETECTORS, ids=lambda kind: kind.name)
def kind(request):
    return request.param


def _states(detector, stream):
    rows = []
    for x in stream:
        detector.update(x)
        rows.append((detector.state, detector.value, detector.limit, detector.drift_detected))
    return rows


def test_equal_numbers_give_equal_states(kind):
    assert _states(kind(), _stream(1)) == _states(kind(), _stream(1))


def test_reset_equals_a_new_one(kind):
    used, fresh = kind(), kind()
    _states(used, _stream(2))
    used.reset()
    assert (used.state, used.value, used.limit) == (fresh.state, fresh.value, fresh.limit)
    assert not used.drift_detected
    assert _states(used, _stream(3)) == _states(fresh, _stream(3))


def test_a_copy_continues_where_the_original_stood(kind):
    original, rest = kind(), _stream(4)
    _states(original, rest[:50])
    copy = pickle.loads(pickle.dumps(original))
    assert _states(copy, rest[50:]) == _states(original, rest[50:])


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_and_not_remembered(kind, x):
    detector = kind()
    detector.update(0.001)
    before = detector.state
    with pytest.raises(GuardError, match="needs a finite number"):
        detector.update(x)
    assert detector.state == before


def test_a_plain_rise_is_found_and_the_alarm_stays_until_reset(kind):
    detector = kind()
    states = _states(detector, _stream(5))
    first = next((i for i, row in enumerate(states) if row[3]), None)
    if kind in SILENT:
        assert first is None
        return
    assert 60 <= first < 70
    assert all(row[3] for row in states[first:])
    assert states[first][1] > states[first][2]
    detector.update(-1_000.0)
    assert detector.drift_detected


def test_calm_and_falling_numbers_raise_no_alarm(kind):
    detector = kind()
    assert not any(row[3] for row in _states(detector, [0.0] * 200 + [-0.05] * 50))


def test_the_state_is_plain_floats(kind):
    detector = kind()
    _states(detector, _stream(6))
    assert all(type(value) is float for value in detector.state.values())


def test_the_docstring_says_formula_reference_and_limits_and_shows_a_run(kind):
    text = inspect.getdoc(kind)
    assert ">>>" in text
    assert "Limits: " in text
    assert "Reference" in text


def test_arguments_are_keywords_with_immutable_defaults(kind):
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert isinstance(parameter.default, float)


def test_names_are_unique():
    assert len({kind.name for kind in DETECTORS}) == len(DETECTORS)
