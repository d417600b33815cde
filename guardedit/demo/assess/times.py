"""How long a correction took from submit to live, by the ledger's own timestamps.

From the moment its message was durable in the inbox to the moment the epoch that made it live was
committed. Undefined is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guardedit.core.receipt import Fate
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeToLive:
    """Seconds over all accepted corrections: the median, the 99th percentile and the longest."""

    p50_s: float
    p99_s: float
    longest_s: float
    corrections: int


def time_to_live(ledger: LedgerReader) -> TimeToLive:
    """Of every accepted correction, retractions included."""
    made_at_s = {epoch.number: epoch.created_at_s for epoch in ledger.epochs()}
    took_s = [
        made_at_s[row.epoch] - row.received_at_s
        for row in ledger.entries(Fate.ACCEPTED, limit=-1)
        if row.epoch is not None
    ]
    return TimeToLive(
        p50_s=percentile(took_s, 0.5),
        p99_s=percentile(took_s, 0.99),
        longest_s=max(took_s, default=math.nan),
        corrections=len(took_s),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed; NaN of nothing.

    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([], 0.5)
    (2.0, nan)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
