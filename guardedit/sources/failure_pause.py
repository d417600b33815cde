"""Computes how long to pause before a failing server is called again."""

from __future__ import annotations

from collections.abc import Callable

#: Failures beyond this many do not change the pause. Without a limit 2**failures would overflow a float after
#: some hours.
_MAX_COUNTED = 20


class FailurePause:
    """A pause that grows with every failure in a row, so that a dead server does not stall its caller.

    Args:
        delay_s: number of failures in a row -> seconds, such as `compute` of a backoff of redis-py.
        clock: monotonic seconds.
    """

    def __init__(self, delay_s: Callable[[int], float], *, clock: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._clock = clock
        self._failures = 0
        self._until_s = clock()

    def failed(self) -> None:
        """Start a pause, longer than the one before."""
        self._failures = min(self._failures + 1, _MAX_COUNTED)
        self._until_s = self._clock() + self._delay_s(self._failures)

    def succeeded(self) -> None:
        """End the pause and start counting from zero."""
        self._failures = 0
        self._until_s = self._clock()

    def left_s(self) -> float:
        """Seconds until the server may be called again."""
        return max(0.0, self._until_s - self._clock())
