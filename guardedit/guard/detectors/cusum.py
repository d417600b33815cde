"""CUSUM: detects small sustained rises in a sequence of numbers."""

from __future__ import annotations

from guardedit.core.errors import GuardError
from guardedit.guard.detectors.detector import finite


class Cusum:
    """Upper cumulative sum for a rise above a known level.

    S_0 = 0,  S_t = max(0, S_{t-1} + x_t - target - slack),  alarm when S_t > threshold.

    Use it for many small rises, none of which is worth an alarm alone, such as the growth of log perplexity
    per epoch. The level is fixed: a running mean would follow the rise that is to be detected.

    Args:
        slack: deviation from `target` that counts as noise, in units of x; usually half of the shift to be
            detected. A larger value gives fewer false alarms and later detection.
        threshold: accumulated excess that raises the alarm, in units of x. A larger value gives fewer false
            alarms and later detection.
        target: expected level of x without drift.

    Limits: on a long stream without drift a false alarm comes eventually, later with a larger threshold. A
    single jump above threshold + slack raises the alarm at once. Both settings must fit the noise of x.

    >>> from guardedit.guard import Cusum
    >>> detector = Cusum(slack=0.002, threshold=0.03)
    >>> for epoch, growth in enumerate([0.001, -0.002] * 10 + [0.008] * 10):
    ...     detector.update(growth)
    ...     if detector.drift_detected:
    ...         print("drift at", epoch)
    ...         break
    drift at 25

    Reference: E. S. Page, Continuous inspection schemes, Biometrika 41, 1954.
    """

    name = "cusum"

    def __init__(self, *, slack: float = 0.002, threshold: float = 0.03, target: float = 0.0) -> None:
        if not slack >= 0:
            raise GuardError(f"slack must be at least 0, got {slack}")
        if not threshold > 0:
            raise GuardError(f"threshold must be above 0, got {threshold}")
        self._slack = slack
        self._threshold = threshold
        self._target = finite(target)
        self._sum = 0.0
        self._drift = False

    @property
    def drift_detected(self) -> bool:
        """True from the alarm until `reset`."""
        return self._drift

    @property
    def value(self) -> float:
        """The sum S_t."""
        return self._sum

    @property
    def limit(self) -> float:
        """The threshold."""
        return self._threshold

    @property
    def state(self) -> dict[str, float]:
        """The sum, and 1.0 from the alarm until `reset`."""
        return {"sum": self._sum, "drift": float(self._drift)}

    def update(self, x: float) -> None:
        """Take the next number. Raises GuardError when it is not finite."""
        self._sum = max(0.0, self._sum + finite(x) - self._target - self._slack)
        self._drift = self._drift or self._sum > self._threshold

    def reset(self) -> None:
        """Return to the initial state."""
        self._sum = 0.0
        self._drift = False
