"""No detector at all, as a class: off needs no `if` along the way."""

from __future__ import annotations

import math

from guardedit.guard.detectors.detector import finite


class NoDrift:
    """Never sees a drift. Formula: none; the limit is infinite. Reference: none; the null object.

    Use it to leave only the budgets of the drift watch in force. Limits: it finds nothing, ever.

    >>> from guardedit.guard import NoDrift
    >>> detector = NoDrift()
    >>> detector.update(1_000.0)
    >>> detector.drift_detected
    False
    """

    name = "no_drift"
    drift_detected = False
    value = 0.0
    limit = math.inf

    @property
    def state(self) -> dict[str, float]:
        """Nothing is remembered."""
        return {}

    def update(self, x: float) -> None:
        """Look away. Raises GuardError when the number is not finite, as every detector does."""
        finite(x)

    def reset(self) -> None:
        """Nothing to forget."""
