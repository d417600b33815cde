"""The totals that the metrics show, each by one query over the recorded rows."""

from __future__ import annotations

from guardedit.core.counts import NAN, Counts
from guardedit.ledger.database import Database

_CORRECTIONS = "SELECT source, route, fate, count(*) FROM decisions GROUP BY 1, 2, 3"
_GATES = "SELECT gate, outcome, count(*) FROM gates GROUP BY 1, 2"
_ROLLBACKS = "SELECT trigger, count(*) FROM rollbacks GROUP BY 1"
_FACTS = "SELECT placement, count(*) FROM live_facts GROUP BY 1"
_TRIALS = "SELECT outcome, count(*) FROM verdicts GROUP BY 1"

_PRESENT = """
SELECT
  (SELECT count(*) FROM inbox WHERE fate = 'dead_lettered' AND NOT dropped),
  (SELECT count(*) FROM inbox WHERE fate = 'received'),
  (SELECT min(received_at_s) FROM inbox WHERE fate = 'received'),
  coalesce((SELECT epoch FROM refs WHERE name = 'serving'), 0),
  (SELECT created_at_s FROM epochs WHERE number = (SELECT epoch FROM refs WHERE name = 'serving')),
  (SELECT count(*) FROM epoch_edits e WHERE facts IS NOT NULL AND NOT EXISTS
    (SELECT 1 FROM epoch_edits later WHERE later.digest = e.digest AND later.epoch > e.epoch))
"""


def read_counts(database: Database, *, now_s: float) -> Counts:
    """Everything of one and the same moment."""
    with database.snapshot():
        corrections = {(row[0], row[1], row[2]): row[3] for row in database.rows(_CORRECTIONS)}
        gates = {(row[0], row[1]): row[2] for row in database.rows(_GATES)}
        rollbacks, facts, trials = (dict(database.rows(sql)) for sql in (_ROLLBACKS, _FACTS, _TRIALS))
        dead, waiting, oldest_s, serving, created_at_s, edits = database.rows(_PRESENT)[0]
    return Counts(
        corrections=corrections,
        gates=gates,
        rollbacks=rollbacks,
        facts=facts,
        trials=trials,
        dead_letters=dead,
        inbox_waiting=waiting,
        inbox_oldest_s=NAN if oldest_s is None else now_s - oldest_s,
        serving_epoch=serving,
        epoch_created_at_s=NAN if created_at_s is None else created_at_s,
        edits_live=edits,
    )
