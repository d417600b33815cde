"""A detector that never raises an alarm, used where detection is off."""

from __future__ import annotations

import math

from guardedit.guard.detectors.detector import finite


class NoDrift:
    """Never raises an alarm. Formula: none; the limit is infinite. Reference: none; a null object.

    Use it to keep only the budgets of the drift watch in force. Limits: it detects nothing.

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
        """Empty: there is no state."""
        return {}

    def update(self, x: float) -> None:
        """Ignore the number. Raises GuardError when it is not finite, as every detector does."""
        finite(x)

    def reset(self) -> None:
        """Do nothing: there is no state."""
