"""Delays and retrying, with a clock that only moves when somebody sleeps."""

from __future__ import annotations

from itertools import islice

import pytest

from guardedit.sources.backoff import Pause, delays_s, retry


class SleepingClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, delay_s: float) -> None:
        self.now_s += delay_s


def fail_until(attempt: int, error: Exception):
    calls = []

    def work() -> int:
        calls.append(1)
        if len(calls) < attempt:
            raise error
        return len(calls)

    return work


def run(work, *, budget_s, delays=None):
    clock = SleepingClock()
    value = retry(
        work,
        is_transient=lambda error: isinstance(error, OSError),
        budget_s=budget_s,
        delays=delays or delays_s(first_s=1.0, cap_s=4.0),
        clock=lambda: clock.now_s,
        sleep=clock.sleep,
    )
    return value, clock.now_s


def test_delays_begin_at_once_double_and_stay_at_the_cap():
    assert list(islice(delays_s(first_s=0.5, factor=3.0, cap_s=4.0), 6)) == [0.0, 0.5, 1.5, 4.0, 4.0, 4.0]


def test_a_cap_below_the_first_delay_is_kept():
    assert list(islice(delays_s(first_s=2.0, cap_s=1.0), 3)) == [0.0, 1.0, 1.0]


def test_success_needs_no_sleep():
    assert run(fail_until(1, OSError()), budget_s=10.0) == (1, 0.0)


def test_the_second_attempt_is_immediate_even_without_a_budget():
    assert run(fail_until(2, OSError()), budget_s=0.0) == (2, 0.0)


def test_attempts_go_on_within_the_budget():
    assert run(fail_until(4, OSError()), budget_s=3.0) == (4, 3.0)


def test_no_sleep_begins_that_would_end_after_the_budget():
    with pytest.raises(OSError, match="away"):
        run(fail_until(4, OSError("away")), budget_s=2.9)


def test_an_error_that_will_not_pass_is_raised_at_once():
    with pytest.raises(KeyError):
        run(fail_until(2, KeyError("no")), budget_s=100.0)


def test_attempts_end_when_the_delays_do():
    with pytest.raises(OSError, match="away"):
        run(fail_until(3, OSError("away")), budget_s=100.0, delays=iter([0.0]))


def test_a_pause_grows_with_every_failure_and_ends_with_a_success():
    clock = SleepingClock()
    pause = Pause(clock=lambda: clock.now_s, delays=lambda: delays_s(first_s=1.0, cap_s=2.0))
    grown = []
    for _ in range(4):
        pause.failed()
        grown.append(pause.left_s())
    assert grown == [0.0, 1.0, 2.0, 2.0]
    clock.sleep(1.5)
    assert pause.left_s() == 0.5
    pause.succeeded()
    assert pause.left_s() == 0.0
    pause.failed()
    assert pause.left_s() == 0.0


def test_a_pause_that_ran_out_is_not_negative():
    clock = SleepingClock()
    pause = Pause(clock=lambda: clock.now_s, delays=lambda: iter([3.0]))
    pause.failed()
    clock.sleep(10.0)
    assert pause.left_s() == 0.0
