"""CUSUM: small sustained rises. Knows numbers only."""

from __future__ import annotations

from guardedit.core.errors import GuardError
from guardedit.guard.detectors.detector import finite


class Cusum:
    """Upper cumulative sum for a rise above a known level.

    S_0 = 0,  S_t = max(0, S_{t-1} + x_t - target - slack),  alarm when S_t > threshold.

    Use it for many small harms of the same sign: the growth of log perplexity per epoch, of which none
    is worth an alarm alone. The level is fixed and not a running mean, since that would chase the very
    rise that is looked for.

    Args:
        slack: what is taken for noise around `target`, in units of x; half of the shift to be found is
            the usual choice. Larger is calmer and slower.
        threshold: accumulated excess that raises the alarm, in units of x. Larger is calmer and slower.
        target: expected level of x while all is well.

    Limits: a long calm stream alarms in the end, the later the larger the threshold. A single jump above
    threshold + slack alarms at once. Settings count only if they fit the noise of x.

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
        """The sum, and 1.0 while the alarm stands."""
        return {"sum": self._sum, "drift": float(self._drift)}

    def update(self, x: float) -> None:
        """Take the next number. Raises GuardError when it is not finite."""
        self._sum = max(0.0, self._sum + finite(x) - self._target - self._slack)
        self._drift = self._drift or self._sum > self._threshold

    def reset(self) -> None:
        """Forget everything seen."""
        self._sum = 0.0
        self._drift = False
