"""Runs both cycles: side by side until stopped, or in turns until nothing waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from guardedit.agent.parts import StepReport
from guardedit.runtime.system import System

#: Longest wait of an idle live cycle for new messages before it checks the clock again.
WAIT_S = 0.25
#: Shortest and longest pause of an idle consolidating cycle; the pause grows while nothing happens.
SHORT_S, LONG_S = 0.05, 0.5

Tell = Callable[[StepReport], None]


def drain(system: System, stop: threading.Event, tell: Tell) -> str:
    """Run turns of both cycles until nothing waits; returns the error of an unreachable broker, or ''."""
    while not stop.is_set():
        report = system.step()
        if report.changed:
            tell(report)
        elif report.idle:
            return report.away
        else:
            stop.wait(SHORT_S)
    return ""


def drive(system: System, stop: threading.Event, *, tell: Tell, warn: Callable[[str], None]) -> None:
    """Run both cycles side by side until `stop` is set.

    `warn` is called once for each new error of a broker. The source of that broker pauses, while the inbox
    and the other sources are still read. An error that a cycle raises ends both cycles.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="consolidate") as other:
        slow = other.submit(_consolidating, system, stop, tell)
        try:
            _live(system, stop, tell, warn)
        finally:
            stop.set()
        slow.result()


def _live(system: System, stop: threading.Event, tell: Tell, warn: Callable[[str], None]) -> None:
    said, busy = "", False
    while not stop.is_set():
        report = system.step_live(0.0 if busy else WAIT_S)
        busy = report.changed
        if busy:
            tell(report)
        if report.away and report.away != said:
            warn(report.away)
        said = report.away


def _consolidating(system: System, stop: threading.Event, tell: Tell) -> None:
    pause_s = SHORT_S
    try:
        while not stop.is_set():
            report = system.step_consolidate()
            pause_s = SHORT_S if report.changed else min(LONG_S, pause_s * 1.5)
            if report.changed:
                tell(report)
            else:
                stop.wait(pause_s)
    finally:
        stop.set()  # also after an error: the live cycle ends too, and `drive` raises the error
