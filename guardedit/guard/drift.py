"""The drift watch: many accepted epochs that are too much together.

Knows cumulative log perplexity ratios, budgets and detectors. Rolling back is the loop's business; so is
writing the readings to the ledger, from which `replay` restores the watch.
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
    """Budgets on the cumulative ratios, detectors on the growth per epoch.

    The first reading is compared with the base model itself, level 0. After a breach the detectors
    start anew, and the next reading, the rollback, only sets their level. Its state is a function of the
    readings alone.
    """

    def __init__(self, limits: DriftLimits, detectors: Sequence[Detector]) -> None:
        self._limits = limits
        self._detectors = tuple(detectors)
        self._level: float | None = 0.0

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """For reports; leave their updating to the watch."""
        return self._detectors

    def update(self, reading: Reading) -> Breach | None:
        """Take the next epoch; the budgets are looked at first, then the detectors in their order.

        Raises:
            GuardError: when a ratio is not finite; the watch is then as before.
        """
        if not (math.isfinite(reading.log_ratio_to_base) and math.isfinite(reading.log_ratio_to_last_good)):
            raise GuardError(
                f"epoch {reading.epoch} has no finite perplexity ratio ({reading.log_ratio_to_base}, "
                f"{reading.log_ratio_to_last_good}): measure it again or roll back"
            )
        if reading.restart:
            self._start_anew()
        if self._level is not None:
            growth = reading.log_ratio_to_base - self._level
            for detector in self._detectors:
                detector.update(growth)
        self._level = reading.log_ratio_to_base
        breach = self._over_budget(reading) or self._alarm(reading)
        if breach is not None:
            self._start_anew()
        return breach

    def replay(self, history: Iterable[Reading]) -> Breach | None:
        """Forget everything and take these readings; returns what the last one said."""
        self._start_anew()
        self._level = 0.0
        breach = None
        for reading in history:
            breach = self.update(reading)
        return breach

    def _start_anew(self) -> None:
        self._level = None
        for detector in self._detectors:
            detector.reset()

    def _over_budget(self, reading: Reading) -> Breach | None:
        rows = (
            ("ratio_to_base", reading.log_ratio_to_base, self._limits.max_ratio_to_base),
            ("ratio_to_last_good", reading.log_ratio_to_last_good, self._limits.max_ratio_to_last_good),
        )
        for reason, nats, limit in rows:
            # A very large log ratio overflows exp; far beyond any limit it is cut off.
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
