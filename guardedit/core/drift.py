"""Drift: one measured number for each serving epoch, and the breach that makes the watch roll back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The perplexity of one serving epoch on the probe texts, as two log ratios in nats per predicted token.

    `restart` marks an epoch that returned to an older state (rollback, undo). Its drop in perplexity is not
    negative growth, so the detectors start again from its level.
    """

    epoch: int
    log_ratio_to_base: float
    log_ratio_to_last_good: float
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A value over its limit at an epoch: the reason to return to `last-good`.

    `reason` is `ratio_to_base` or `ratio_to_last_good` (perplexity ratios), or the detector's name (nats).
    """

    reason: str
    value: float
    limit: float
    epoch: int

    def __str__(self) -> str:
        """`Halt: ratio_to_base 1.061 > 1.05 at epoch 17`."""
        return f"Halt: {self.reason} {self.value:.4g} > {self.limit:.4g} at epoch {self.epoch}"
