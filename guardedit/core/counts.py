"""What the ledger counts: the one record from which the metrics are computed at scrape time.

Knows no SQL and no metric names. The ledger fills it in one read transaction, so that the numbers agree
with each other; whoever shows them copies and never adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Totals since the ledger was made, and a few present values. A missing key means zero.

    `corrections`, `gates`, `rollbacks`, `trials` and `tensors_repaired` are shown as counters, so none of
    them may ever fall: count recorded events, not the present state of rows that can change.

    Attributes:
        corrections: (source, route, outcome) -> settlements recorded. `source` is the delivery's
            source; `route` a `Route` value, "" where nothing was decided; `outcome` a `Fate` value.
            A correction that was held and later accepted is two settlements. Rows that still wait
            (`received`) are not in here but in `inbox_waiting`.
        gates: (gate, outcome) -> gates in recorded verdicts; `outcome` an `Outcome` value.
        rollbacks: trigger -> rollbacks of the serving epoch. Triggers: `drift` (the watch saw a
            breach), `manual` (an operator), `recovery` (damage found at a start), `gate`.
        facts: `Placement` value -> live facts of the serving epoch.
        trials: `Outcome` value -> recorded verdicts.
        dead_letters: dead letters still listed; retried and dropped ones no longer count.
        inbox_waiting: inbox rows without a settlement.
        inbox_oldest_s: age of the oldest of them, in seconds; NaN when none waits.
        serving_epoch: number of the epoch behind the `serving` ref.
        epoch_created_at_s: when that epoch was made, seconds since 1970, UTC.
        edits_live: weight edits live in the serving epoch.
        tensors_repaired: served tensors that were found changed in memory, and mended.
    """

    corrections: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    gates: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rollbacks: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)
    trials: Mapping[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    inbox_waiting: int = 0
    inbox_oldest_s: float = NAN
    serving_epoch: int = 0
    epoch_created_at_s: float = NAN
    edits_live: int = 0
    tensors_repaired: int = 0


#: How the exporter asks; may raise LedgerError. Called from the scrape's thread.
ReadCounts = Callable[[], Counts]
