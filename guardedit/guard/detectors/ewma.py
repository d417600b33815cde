"""EWMA control chart: detects medium rises in a sequence of numbers, with more weight on recent ones."""

from __future__ import annotations

import math

from guardedit.core.errors import GuardError
from guardedit.guard.detectors.detector import finite


class Ewma:
    """Exponentially weighted moving average with an exact upper control limit.

    z_0 = target,  z_t = (1 - w) z_{t-1} + w x_t,
    alarm when z_t - target > L sigma sqrt(w / (2 - w) (1 - (1 - w)^{2t})).

    Use it beside CUSUM. It forgets, so an old rise without a breach counts less than a new one, and its value
    is the current growth per epoch.

    Args:
        weight: w in (0, 1], weight of the newest number. A smaller value detects smaller rises, later.
        deviation: sigma, the known standard deviation of x without drift, in units of x.
        limit_deviations: L, usually 2.5 to 4. A larger value gives fewer false alarms and later detection.
        target: expected level of x without drift.

    Limits: the deviation must be measured beforehand on a stream without drift. The false alarm rate assumes
    that x is independent between epochs and approximately normal.

    >>> from guardedit.guard import Ewma
    >>> detector = Ewma(weight=0.2, deviation=0.002, limit_deviations=3.0)
    >>> for epoch, growth in enumerate([0.001, -0.002] * 10 + [0.008] * 10):
    ...     detector.update(growth)
    ...     if detector.drift_detected:
    ...         print("drift at", epoch)
    ...         break
    drift at 21

    References: S. W. Roberts, Control chart tests based on geometric moving averages, Technometrics 1, 1959;
    J. M. Lucas and M. S. Saccucci, Technometrics 32, 1990.
    """

    name = "ewma"

    def __init__(
        self,
        *,
        weight: float = 0.1,
        deviation: float = 0.005,
        limit_deviations: float = 4.0,
        target: float = 0.0,
    ) -> None:
        if not 0 < weight <= 1:
            raise GuardError(f"weight must be in (0, 1], got {weight}")
        if not deviation > 0:
            raise GuardError(f"deviation must be above 0, got {deviation}")
        if not limit_deviations > 0:
            raise GuardError(f"limit_deviations must be above 0, got {limit_deviations}")
        self._weight = weight
        self._width = limit_deviations * deviation
        self._target = finite(target)
        self._average = self._target
        self._count = 0.0
        self._drift = False

    @property
    def drift_detected(self) -> bool:
        """True from the alarm until `reset`."""
        return self._drift

    @property
    def value(self) -> float:
        """The average z_t."""
        return self._average

    @property
    def limit(self) -> float:
        """The control limit for z_t; equal to the target before the first number."""
        w = self._weight
        spread = w / (2.0 - w) * (1.0 - (1.0 - w) ** (2.0 * self._count))
        return self._target + self._width * math.sqrt(spread)

    @property
    def state(self) -> dict[str, float]:
        """The average, the count of numbers, and 1.0 from the alarm until `reset`."""
        return {"average": self._average, "count": self._count, "drift": float(self._drift)}

    def update(self, x: float) -> None:
        """Take the next number. Raises GuardError when it is not finite."""
        self._average = (1.0 - self._weight) * self._average + self._weight * finite(x)
        self._count += 1.0
        self._drift = self._drift or self._average > self.limit

    def reset(self) -> None:
        """Return to the initial state."""
        self._average = self._target
        self._count = 0.0
        self._drift = False
