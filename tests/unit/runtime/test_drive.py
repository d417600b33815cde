"""Both cycles side by side, and in turns until nothing is left."""

from __future__ import annotations

import threading
import time

import pytest

from guardedit.agent.parts import StepReport
from guardedit.core.errors import LedgerCorrupt
from guardedit.runtime import drive as driving
from guardedit.runtime.drive import drain, drive


class Cycles:
    """A system whose slow cycle hangs until it is let go."""

    def __init__(self) -> None:
        self.live, self.slow = 0, threading.Event()
        self.reports: list[StepReport] = []
        self.fails: Exception | None = None

    def step(self) -> StepReport:
        return self.reports.pop(0)

    def step_live(self, wait_s: float = 0.0) -> StepReport:
        self.live += 1
        time.sleep(0.001)
        return self.reports.pop(0) if self.reports else StepReport()

    def step_consolidate(self) -> StepReport:
        if self.fails is not None:
            raise self.fails
        self.slow.wait(5)
        return StepReport()


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    for name in ("SHORT_S", "LONG_S"):
        monkeypatch.setattr(driving, name, 0.001)


def run(system, until) -> list[str]:
    stop, warned = threading.Event(), []
    thread = threading.Thread(
        target=drive, args=(system, stop), kwargs={"tell": lambda _: None, "warn": warned.append}
    )
    thread.start()
    for _ in range(2_000):
        if until():
            break
        time.sleep(0.001)
    assert until()
    stop.set()
    system.slow.set()
    thread.join(5)
    assert not thread.is_alive()
    return warned


def test_the_live_cycle_goes_on_while_the_other_one_is_busy():
    system = Cycles()
    run(system, lambda: system.live > 20)


def test_a_broker_that_is_away_is_complained_of_once():
    system = Cycles()
    system.reports = [StepReport(away="nobody answers at 127.0.0.1:6399")] * 5
    assert run(system, lambda: not system.reports) == ["nobody answers at 127.0.0.1:6399"]


def test_a_broker_that_is_away_slows_nobody_down(monkeypatch):
    system = Cycles()
    monkeypatch.setattr(system, "step_live", lambda wait_s=0.0: _away(system))
    started = time.monotonic()
    run(system, lambda: system.live > 50)
    assert time.monotonic() - started < 1.0


def _away(system: Cycles) -> StepReport:
    system.live += 1
    time.sleep(0.001)
    return StepReport(away="no answer")


def test_an_error_of_either_cycle_ends_both_and_is_raised():
    system = Cycles()
    system.fails = LedgerCorrupt("a page is damaged")
    with pytest.raises(LedgerCorrupt):
        drive(system, threading.Event(), tell=lambda _: None, warn=lambda _: None)


def test_draining_ends_when_nothing_is_left_and_says_which_broker_is_away():
    system = Cycles()
    system.reports = [StepReport(received=3), StepReport(waiting=True), StepReport(away="no answer")]
    told = []
    assert drain(system, threading.Event(), told.append) == "no answer"
    assert [report.received for report in told] == [3]
