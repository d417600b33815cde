"""Looking back: the versions of a fact, the decision about a correction, the verdict on an epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.database import Database, read_json
from guardedit.ledger.state import read_fact


class Version(NamedTuple):
    """What an epoch made of a fact; None: gone from then on. `correction_id` "" where none asked."""

    epoch: int
    fact: Fact | None
    correction_id: str


def history(database: Database, key: FactKey) -> list[Version]:
    """Every recorded change of a key, oldest first, its moves between placements among them."""
    rows = database.rows(
        "SELECT epoch, fact, correction_id FROM changes"
        " WHERE subject = ? AND relation = ? AND scope = ? ORDER BY epoch, n",
        key,
    )
    return [Version(epoch, read_fact(text) if text else None, asked) for epoch, text, asked in rows]


def find_fact(database: Database, text: str) -> list[Fact]:
    """Live facts whose id or subject is `text`; where none is live, the latest that had this id."""
    rows = database.rows(
        "SELECT fact FROM live_facts WHERE fact_id = ? OR subject = ? ORDER BY epoch, n", (text, text)
    )
    if not rows:
        rows = database.rows(
            "SELECT fact FROM changes WHERE fact_id = ? ORDER BY epoch DESC, n DESC LIMIT 1", (text,)
        )
    return [read_fact(row[0]) for row in rows]


def latest_version(database: Database, key: FactKey) -> int:
    """The highest version a key ever had; 0 for none."""
    row = database.row(
        "SELECT coalesce(max(version), 0) FROM changes WHERE subject = ? AND relation = ? AND scope = ?", key
    )
    return int(row[0]) if row else 0


def subject_edits(database: Database, subject: str, *, since_s: float) -> int:
    """How many corrections of a subject were accepted at or after a time."""
    row = database.row(
        "SELECT count(*) FROM decisions WHERE fate = 'accepted' AND at_s >= ?"
        " AND correction_id IN (SELECT correction_id FROM changes WHERE subject = ?)",
        (since_s, subject),
    )
    return int(row[0]) if row else 0


def decision(database: Database, correction_id: str) -> dict[str, Any] | None:
    """The latest decision about a correction with its trace, as it was recorded; None without one."""
    row = database.row(
        "SELECT body FROM decisions WHERE correction_id = ? AND body IS NOT NULL"
        " ORDER BY event_seq DESC LIMIT 1",
        (correction_id,),
    )
    return read_json(row[0]) if row else None


def verdict(database: Database, epoch: int) -> dict[str, Any] | None:
    """The verdict that let an epoch be served, as it was recorded; None for epochs without a trial."""
    row = database.row("SELECT body FROM verdicts WHERE epoch = ?", (epoch,))
    return read_json(row[0]) if row else None
