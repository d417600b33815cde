"""The pause between calls to a failing server, with a clock that the tests move."""

from __future__ import annotations

from guardedit.sources.failure_pause import FailurePause
from guardedit.sources.redis_client import PAUSE_CAP_S, pause_s


class MovedClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_pause_grows_with_every_failure_and_ends_with_a_success():
    clock = MovedClock()
    pause = FailurePause(lambda failures: min(2.0, float(failures)), clock=clock)
    grown = []
    for _ in range(3):
        pause.failed()
        grown.append(pause.left_s())
    assert grown == [1.0, 2.0, 2.0]
    clock.now_s += 1.5
    assert pause.left_s() == 0.5
    pause.succeeded()
    assert pause.left_s() == 0.0
    pause.failed()
    assert pause.left_s() == 1.0


def test_a_pause_that_is_over_is_not_negative():
    clock = MovedClock()
    pause = FailurePause(lambda _: 3.0, clock=clock)
    pause.failed()
    clock.now_s += 10.0
    assert pause.left_s() == 0.0


def test_a_server_that_is_away_for_days_does_not_overflow_the_pause():
    pause = FailurePause(pause_s, clock=lambda: 0.0)
    for _ in range(5_000):
        pause.failed()
    assert pause.left_s() == PAUSE_CAP_S
