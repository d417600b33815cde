"""Reads the totals for the metrics: recorded events by SQL, live facts and edits from the serving state.

A scrape makes the writer wait, so it must not read every fact that was ever recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from guardedit.core.ledger import NAN, Counts
from guardedit.ledger import publications
from guardedit.ledger.state import EMPTY, State
from guardedit.ledger.storage.database import Database

_CORRECTIONS = "SELECT source, route, fate, count(*) FROM decisions GROUP BY 1, 2, 3"
_GATES = "SELECT gate, outcome, count(*) FROM gates GROUP BY 1, 2"
_ROLLBACKS = "SELECT trigger, count(*) FROM rollbacks GROUP BY 1"
_TRIALS = "SELECT outcome, count(*) FROM verdicts GROUP BY 1"

_PRESENT = """
SELECT
  (SELECT count(*) FROM inbox WHERE fate = 'dead_lettered' AND NOT dropped),
  (SELECT count(*) FROM inbox WHERE fate = 'received'),
  (SELECT min(received_at_s) FROM inbox WHERE fate = 'received'),
  coalesce((SELECT epoch FROM refs WHERE name = 'serving'), 0),
  (SELECT created_at_s FROM epochs WHERE number = (SELECT epoch FROM refs WHERE name = 'serving')),
  (SELECT count(*) FROM events WHERE kind = 'tampered')
"""


def read_counts(database: Database, serving: Callable[[], State], *, now_s: float) -> Counts:
    """All totals at one moment.

    Args:
        database: the ledger's database.
        serving: returns the state of the serving epoch; called only when there is one.
        now_s: the present time, seconds since 1970, UTC.
    """
    with database.snapshot():
        state = serving() if database.row("SELECT 1 FROM refs") else EMPTY
        corrections = {(row[0], row[1], row[2]): row[3] for row in database.rows(_CORRECTIONS)}
        gates = {(row[0], row[1]): row[2] for row in database.rows(_GATES)}
        rollbacks, trials = (dict(database.rows(sql)) for sql in (_ROLLBACKS, _TRIALS))
        published, problems = publications.served(database), publications.problems(database)
        dead, waiting, oldest_s, number, created_at_s, repaired = database.rows(_PRESENT)[0]
    return Counts(
        corrections=corrections,
        gates=gates,
        rollbacks=rollbacks,
        facts=Counter(fact.placement.value for fact in state.facts.values()),
        trials=trials,
        dead_letters=dead,
        inbox_waiting=waiting,
        inbox_oldest_s=NAN if oldest_s is None else now_s - oldest_s,
        serving_epoch=number,
        epoch_created_at_s=NAN if created_at_s is None else created_at_s,
        edits_live=len(state.edits),
        tensors_repaired=repaired,
        published=published,
        publish_problems=frozenset(problems),
    )
