"""Turn after turn: both cycles side by side until somebody says stop, or in turns until nothing is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, Self

from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch

#: How long an idle cycle sleeps before it looks again; it grows while nothing comes.
SHORT_S, LONG_S = 0.005, 0.1
#: The same for the consolidating cycle, whose look costs more and is in no hurry.
SLOW_SHORT_S, SLOW_LONG_S = 0.05, 0.5
#: How long after a broker failed before the next turn.
BACK_OFF_S = 1.0

Tell = Callable[[StepReport], None]


class System(Protocol):
    """A running guardedit, here or on Ray, as far as a loop needs it."""

    def step(self) -> StepReport:
        """One turn of each cycle."""

    def step_live(self) -> StepReport:
        """One turn of the live cycle."""

    def step_consolidate(self) -> StepReport:
        """One turn of the consolidating cycle."""

    def epoch(self) -> Epoch:
        """The serving epoch."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def drain(system: System, stop: threading.Event, tell: Tell) -> str:
    """Turns of both until nothing is left to do; returns what a broker that is away had to say, or nothing."""
    pause_s = SLOW_SHORT_S
    while not stop.is_set():
        report = system.step()
        if report.changed:
            tell(report)
            pause_s = SLOW_SHORT_S
        elif report.idle:
            return report.away
        else:
            stop.wait(pause_s)
            pause_s = min(SLOW_LONG_S, pause_s * 1.5)
    return ""


def drive(system: System, stop: threading.Event, *, tell: Tell, warn: Callable[[str], None]) -> None:
    """Both cycles side by side until `stop` is set.

    A broker that is away is complained of once and asked again. Any error that a cycle raises ends both.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="consolidate") as other:
        slow = other.submit(_turns, system.step_consolidate, stop, tell, (SLOW_SHORT_S, SLOW_LONG_S))
        try:
            _turns(system.step_live, stop, tell, (SHORT_S, LONG_S), warn)
        finally:
            stop.set()
        slow.result()


def _turns(
    step: Callable[[], StepReport],
    stop: threading.Event,
    tell: Tell,
    pauses_s: tuple[float, float],
    warn: Callable[[str], None] = lambda _: None,
) -> None:
    short_s, long_s = pauses_s
    pause_s, said = short_s, ""
    try:
        while not stop.is_set():
            report = step()
            if report.away != said and report.away:
                warn(report.away)
            said = report.away
            if report.changed:
                tell(report)
                pause_s = short_s
            else:
                stop.wait(max(pause_s, BACK_OFF_S if said else 0.0))
                pause_s = min(long_s, pause_s * 1.5)
    finally:
        stop.set()
