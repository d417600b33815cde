"""Queries of the past: the versions of a fact, the decision about a correction, the verdict on an epoch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from guardedit.core.correction import decode_correction
from guardedit.core.errors import CorrectionError, LedgerCorrupt
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import LastChange
from guardedit.ledger.state import read_fact
from guardedit.ledger.storage.database import Database, read_json
from guardedit.naming import identity, key_name


class Version(NamedTuple):
    """A key's fact from an epoch on; None: it has none. `correction_id` "": no correction requested it."""

    epoch: int
    fact: Fact | None
    correction_id: str


class TimedChange(NamedTuple):
    """A recorded change with what tells its time.

    Attributes:
        key: the key that it changed.
        epoch: the epoch that it made.
        kind: the kind of that epoch.
        recorded_at_s: when that epoch was made, seconds since 1970, UTC.
        fact: the fact from then on; None: none.
        reported_at_s: the source's own time for it, in the same unit; None where it gave none.
    """

    key: FactKey
    epoch: int
    kind: str
    recorded_at_s: float
    fact: Fact | None
    reported_at_s: float | None = None


def timed_changes(database: Database, last: int) -> list[TimedChange]:
    """Every recorded change of every key up to epoch `last`, oldest first.

    A row that cannot be decoded is left out; `verify` reports it.
    """
    rows = database.rows(
        "SELECT subject, relation, tenant, target, epoch, kind, created_at_s, fact, reported_at_s"
        " FROM changes JOIN epochs ON number = epoch WHERE epoch <= ? ORDER BY epoch, n",
        (last,),
    )
    found = []
    for *key, epoch, kind, at_s, text, reported_at_s in rows:
        with contextlib.suppress(LedgerCorrupt):
            fact = read_fact(text) if text else None
            found.append(TimedChange(FactKey(*key), epoch, kind, at_s, fact, reported_at_s))
    return found


def history(database: Database, key: FactKey) -> list[Version]:
    """Every recorded change of a key, including moves between placements, oldest first.

    A row that cannot be decoded is left out; `verify` reports it.
    """
    rows = database.rows(
        "SELECT epoch, fact, correction_id FROM changes"
        " WHERE subject = ? AND relation = ? AND tenant = ? AND target = ? ORDER BY epoch, n",
        key,
    )
    versions = []
    for epoch, text, correction_id in rows:
        with contextlib.suppress(LedgerCorrupt):
            versions.append(Version(epoch, read_fact(text) if text else None, correction_id))
    return versions


def find_fact(database: Database, text: str) -> list[Fact]:
    """Live facts with this id or a subject of this name; if there is none, the latest fact of this id."""
    rows = database.rows(
        "SELECT fact FROM live_facts WHERE fact_id = ? OR subject_name = ? ORDER BY epoch, n",
        (text, identity(text)),
    )
    if not rows:
        rows = database.rows(
            "SELECT fact FROM changes WHERE fact_id = ? ORDER BY epoch DESC, n DESC LIMIT 1", (text,)
        )
    return [read_fact(row[0]) for row in rows]


def removed_facts(database: Database, subject: str) -> list[Fact]:
    """The last fact of each key of this subject that is not live now, the earliest first."""
    rows = database.rows(
        "SELECT fact FROM changes c WHERE subject_name = ? AND fact IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM changes later WHERE later.fact IS NOT NULL"
        " AND (later.epoch, later.n) > (c.epoch, c.n)"
        " AND (later.subject, later.relation, later.tenant, later.target)"
        " = (c.subject, c.relation, c.tenant, c.target))"
        " AND NOT EXISTS (SELECT 1 FROM live_facts live"
        " WHERE (live.subject, live.relation, live.tenant, live.target)"
        " = (c.subject, c.relation, c.tenant, c.target))"
        " ORDER BY epoch, n",
        (identity(subject),),
    )
    return [read_fact(row[0]) for row in rows]


def canonical(database: Database, key: FactKey) -> FactKey:
    """The key under which this name was first recorded in its tenant; `key` itself where it never was."""
    row = database.row(
        "SELECT subject, relation, tenant, target FROM changes WHERE subject_name = ? AND relation_name = ?"
        " AND tenant = ? AND target_name = ? ORDER BY epoch, n LIMIT 1",
        key_name(key),
    )
    return FactKey(*row) if row else key


def latest_version(database: Database, key: FactKey) -> int:
    """The highest version that a key ever had; 0 for none."""
    row = database.row(
        "SELECT coalesce(max(version), 0) FROM changes"
        " WHERE subject = ? AND relation = ? AND tenant = ? AND target = ?",
        key,
    )
    return int(row[0]) if row else 0


def last_change(database: Database, key: FactKey) -> LastChange | None:
    """The latest recorded change of a key; None where it never had a fact."""
    row = database.row(
        "SELECT correction_id, reported_at_s FROM changes"
        " WHERE subject = ? AND relation = ? AND tenant = ? AND target = ?"
        " ORDER BY epoch DESC, n DESC LIMIT 1",
        key,
    )
    return LastChange(correction_id=row[0], reported_at_s=row[1]) if row else None


def other_facts(database: Database, keys: Iterable[FactKey], *, since: int) -> list[FactKey]:
    """Keys with one of these names whose live fact was replaced or removed after epoch `since`.

    A move between memory and weights does not count, since a fact keeps its id when it moves.
    """
    wanted = {key_name(key) for key in keys}
    rows = database.rows(
        "SELECT DISTINCT subject, relation, tenant, target, subject_name, relation_name, target_name"
        " FROM changes WHERE epoch > ?",
        (since,),
    )
    touched = [FactKey(*row[:4]) for row in rows if FactKey(row[4], row[5], row[2], row[6]) in wanted]
    return [key for key in touched if _fact_id(database, key, since) != _fact_id(database, key, None)]


def corrections_reaching(database: Database, names: Iterable[str], *, since_s: float) -> int:
    """The largest number of accepted corrections that reached one of these folded names since that time."""
    sql = (
        "SELECT count(*) FROM reach JOIN decisions USING (event_seq)"
        " WHERE name = ? AND fate = 'accepted' AND at_s >= ?"
    )
    return max((int(database.rows(sql, (name, since_s))[0][0]) for name in set(names)), default=0)


def corrections_from(database: Database, source: str, key: str = "") -> frozenset[str]:
    """Ids of the accepted corrections of a source, as `provenance.source` names it.

    With `key` only those that the key of this name signed. A message that cannot be read is left out;
    `verify` reports it.
    """
    rows = database.rows(
        "SELECT inbox.correction_id, raw FROM decisions JOIN inbox ON inbox.seq = inbox_seq"
        " JOIN messages ON sha256 = raw_sha256 WHERE decisions.fate = 'accepted'"
        " AND (? = '' OR json_extract(body, '$.signed_by') = ?)",
        (key, key),
    )
    found = set()
    for correction_id, raw in rows:
        with contextlib.suppress(CorrectionError):
            if decode_correction(raw, recorded=True).provenance.source == source:
                found.add(correction_id)
    return frozenset(found)


def keys_changed_by(database: Database, corrections: Collection[str]) -> list[FactKey]:
    """The keys that one of these corrections changed, in the order of the first change."""
    rows = database.rows(
        "SELECT subject, relation, tenant, target FROM changes"
        " WHERE correction_id IN (SELECT value FROM json_each(?))"
        " GROUP BY subject, relation, tenant, target ORDER BY min(epoch), n",
        (json.dumps(sorted(corrections)),),
    )
    return [FactKey(*row) for row in rows]


def decision(database: Database, correction_id: str) -> dict[str, Any] | None:
    """The latest decision about a correction with its trace, as recorded; None without one."""
    row = database.row(
        "SELECT body FROM decisions WHERE correction_id = ? AND body IS NOT NULL"
        " ORDER BY event_seq DESC LIMIT 1",
        (correction_id,),
    )
    return read_json(row[0]) if row else None


def verdict(database: Database, epoch: int) -> dict[str, Any] | None:
    """The verdict that accepted an epoch, as recorded; None for epochs without a trial."""
    row = database.row("SELECT body FROM verdicts WHERE epoch = ?", (epoch,))
    return read_json(row[0]) if row else None


def _fact_id(database: Database, key: FactKey, epoch: int | None) -> str | None:
    row = database.row(
        "SELECT fact_id FROM changes WHERE subject = ? AND relation = ? AND tenant = ? AND target = ?"
        " AND (? IS NULL OR epoch <= ?) ORDER BY epoch DESC, n DESC LIMIT 1",
        (*key, epoch, epoch),
    )
    return None if row is None else row[0]
