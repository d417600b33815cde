"""The interface of a drift detector. All in `guard.DETECTORS` pass the same conformance tests."""

from __future__ import annotations

import math
from typing import Protocol

from guardedit.core.errors import GuardError


class Detector(Protocol):
    """Takes numbers one by one and raises an alarm when their level has risen.

    Deterministic and independent of time: equal numbers in equal order give equal states. An alarm stays
    until `reset`. Only a rise raises an alarm; falling perplexity is harmless.
    """

    @property
    def name(self) -> str:
        """The detector's name, used as the reason of a breach."""

    @property
    def drift_detected(self) -> bool:
        """True from the number that raised the alarm until `reset`."""

    @property
    def value(self) -> float:
        """The statistic after the latest number."""

    @property
    def limit(self) -> float:
        """The value of the statistic above which the alarm is raised."""

    @property
    def state(self) -> dict[str, float]:
        """The complete state, for reports and comparison."""

    def update(self, x: float) -> None:
        """Take the next number. Raises GuardError when it is not finite; the state is then unchanged."""

    def reset(self) -> None:
        """Return to the initial state, as after a rollback."""


def finite(x: float) -> float:
    """Return `x`. Raises GuardError when it is NaN or infinite."""
    if not math.isfinite(x):
        raise GuardError(f"a drift detector needs a finite number, got {x}: measure the epoch again")
    return x
