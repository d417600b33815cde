"""What the drift watch needs of a detector. Every one in `guard.DETECTORS` passes the same tests."""

from __future__ import annotations

import math
from typing import Protocol

from guardedit.core.errors import GuardError


class Detector(Protocol):
    """Sees one number after the other and says when their level has risen.

    Deterministic and free of clocks: equal numbers in equal order give equal states. An alarm stays until
    `reset`. Only a rise counts; perplexity that falls needs no rescue.
    """

    @property
    def name(self) -> str:
        """For the reason of a breach."""

    @property
    def drift_detected(self) -> bool:
        """True from the number that raised the alarm until `reset`."""

    @property
    def value(self) -> float:
        """The statistic after the last number."""

    @property
    def limit(self) -> float:
        """What the statistic may not exceed."""

    @property
    def state(self) -> dict[str, float]:
        """All that it remembers, for reports and comparison."""

    def update(self, x: float) -> None:
        """Take the next number. Raises GuardError when it is not finite, and remembers nothing of it."""

    def reset(self) -> None:
        """Forget everything seen, as after a rollback."""


def finite(x: float) -> float:
    """The number itself. Raises GuardError when it is NaN or infinite, which no detector may swallow."""
    if not math.isfinite(x):
        raise GuardError(f"a drift detector cannot learn from {x}: measure the epoch again")
    return x
