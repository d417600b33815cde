"""The drift watch: detects when many accepted epochs together raise perplexity too far.

Takes one reading of log perplexity ratios per epoch. `agent.watching` records the readings in the ledger and
rolls back after a breach; `replay` restores the watch from recorded readings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from guardedit.core.drift import Breach, Reading
from guardedit.core.errors import GuardError
from guardedit.guard.detectors.cusum import Cusum
from guardedit.guard.detectors.detector import Detector
from guardedit.guard.detectors.ewma import Ewma
from guardedit.guard.limits import DriftLimits


class DriftWatch:
    """Checks the cumulative ratios against budgets, and the growth per epoch with detectors.

    The growth of the first reading is measured from the base model (level 0). A breach resets the detectors,
    and the next reading, that of the rollback, only sets the level that growth is measured from. A reading
    marked `restart` also resets the detectors and only sets that level. The state depends only on the
    readings.
    """

    def __init__(self, limits: DriftLimits, detectors: Sequence[Detector]) -> None:
        self._limits = limits
        self._detectors = tuple(detectors)
        self._level: float | None = 0.0

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """The detectors, for reports. Only the watch may update them."""
        return self._detectors

    def update(self, reading: Reading) -> Breach | None:
        """Take the reading of the next epoch; checks the budgets first, then the detectors in their order.

        Raises:
            GuardError: a ratio is not finite; the watch is unchanged.
        """
        if not (math.isfinite(reading.log_ratio_to_base) and math.isfinite(reading.log_ratio_to_last_good)):
            raise GuardError(
                f"epoch {reading.epoch} has no finite perplexity ratio ({reading.log_ratio_to_base}, "
                f"{reading.log_ratio_to_last_good}): measure it again or roll back"
            )
        if reading.restart:
            self._reset()
        if self._level is not None:
            growth = reading.log_ratio_to_base - self._level
            for detector in self._detectors:
                detector.update(growth)
        self._level = reading.log_ratio_to_base
        breach = self._over_budget(reading) or self._alarm(reading)
        if breach is not None:
            self._reset()
        return breach

    def replay(self, history: Iterable[Reading]) -> Breach | None:
        """Reset, then take these readings; returns the breach of the last one, if any."""
        self._reset()
        self._level = 0.0
        breach = None
        for reading in history:
            breach = self.update(reading)
        return breach

    def _reset(self) -> None:
        self._level = None
        for detector in self._detectors:
            detector.reset()

    def _over_budget(self, reading: Reading) -> Breach | None:
        rows = (
            ("ratio_to_base", reading.log_ratio_to_base, self._limits.max_ratio_to_base),
            ("ratio_to_last_good", reading.log_ratio_to_last_good, self._limits.max_ratio_to_last_good),
        )
        for reason, nats, limit in rows:
            # exp overflows for a very large log ratio: cut it off, far beyond any limit.
            ratio = math.exp(min(nats, 700.0))
            if ratio > limit:
                return Breach(reason=reason, value=ratio, limit=limit, epoch=reading.epoch)
        return None

    def _alarm(self, reading: Reading) -> Breach | None:
        for detector in self._detectors:
            if detector.drift_detected:
                return Breach(
                    reason=detector.name, value=detector.value, limit=detector.limit, epoch=reading.epoch
                )
        return None


def usual_detectors(limits: DriftLimits) -> tuple[Detector, ...]:
    """CUSUM and EWMA with the settings of the limits."""
    return (
        Cusum(slack=limits.cusum_slack_nats, threshold=limits.cusum_threshold_nats),
        Ewma(
            weight=limits.ewma_weight,
            deviation=limits.ewma_deviation_nats,
            limit_deviations=limits.ewma_limit_deviations,
        ),
    )
