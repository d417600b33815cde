"""Trying again: capped exponential delays, within one call (`retry`) and from call to call (`Pause`).

Knows no broker. Clock and sleep are arguments, so the arithmetic is tested without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def delays_s(*, first_s: float = 0.05, factor: float = 2.0, cap_s: float = 5.0) -> Iterator[float]:
    """Seconds to wait before the second, third, ... attempt, without end.

    The first delay is zero: a connection that died while idle is usually fine when opened again.

    >>> from itertools import islice
    >>> list(islice(delays_s(first_s=1.0, cap_s=5.0), 6))
    [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    """
    yield 0.0
    delay_s = first_s
    while True:
        yield min(delay_s, cap_s)
        delay_s = min(delay_s * factor, cap_s)


def retry(
    work: Callable[[], T],
    *,
    is_transient: Callable[[Exception], bool],
    budget_s: float,
    delays: Iterator[float],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> T:
    """Call `work` until it succeeds, and give its value.

    Args:
        work: what to try; must be safe to repeat when its outcome is unknown.
        is_transient: whether an error is worth another attempt.
        budget_s: no sleep begins that would end later than this after the call. A zero delay is always
            allowed, so there are at least as many attempts as leading zeros in `delays`, plus one.
        delays: seconds before each further attempt; when they run out, so do the attempts.
        clock: monotonic seconds.
        sleep: waits that many seconds.

    Raises:
        Exception: what `work` raised last, when it was not transient or the budget was spent.
    """
    end_s = clock() + budget_s
    while True:
        try:
            return work()
        except Exception as error:
            delay_s = next(delays, None)
            if delay_s is None or not is_transient(error):
                raise
            if delay_s > 0.0 and clock() + delay_s > end_s:
                raise
        sleep(delay_s)


class Pause:
    """How long to leave a failing server alone, so that asking it again does not stall the caller.

    Each failure in a row makes the pause longer; a success ends it.

    Args:
        clock: monotonic seconds.
        delays: makes the sequence of pauses, in seconds; it must not end.
    """

    def __init__(
        self, *, clock: Callable[[], float], delays: Callable[[], Iterator[float]] = delays_s
    ) -> None:
        self._clock = clock
        self._delays = delays
        self.succeeded()

    def failed(self) -> None:
        """Pause from now on, longer than the last time."""
        self._until_s = self._clock() + next(self._row)

    def succeeded(self) -> None:
        """No pause, and a short one after the next failure."""
        self._row = self._delays()
        self._until_s = self._clock()

    def left_s(self) -> float:
        """Seconds until the server may be asked again."""
        return max(0.0, self._until_s - self._clock())
