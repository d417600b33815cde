"""Computes the seconds from submission to live, from the timestamps of the ledger.

They count from the commit of the message to the inbox until the commit of the epoch with its effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guardedit.core.messages import Fate
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeUntilLive:
    """Seconds over all accepted corrections: median, 99th percentile and maximum. NaN without any."""

    p50_s: float
    p99_s: float
    longest_s: float
    corrections: int


def time_until_live(ledger: LedgerReader) -> TimeUntilLive:
    """Over every accepted correction, including retractions."""
    made_at_s = {epoch.number: epoch.created_at_s for epoch in ledger.epochs()}
    took_s = [
        made_at_s[row.epoch] - row.received_at_s
        for row in ledger.entries(Fate.ACCEPTED, limit=-1)
        if row.epoch is not None
    ]
    return TimeUntilLive(
        p50_s=percentile(took_s, 0.5),
        p99_s=percentile(took_s, 0.99),
        longest_s=max(took_s, default=math.nan),
        corrections=len(took_s),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by at least `share` of all values; NaN without any.

    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([], 0.5)
    (2.0, nan)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
