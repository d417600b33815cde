"""Migrates a ledger of an earlier version to the present format, when it is opened for writing.

Events are never touched, since their bytes are hashed. Only tables that follow from them are rebuilt, with
exactly the text of `schema.sql`, because `verify` compares that text too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

from guardedit.core.failpoints import failpoint
from guardedit.ledger.storage.database import FORMAT, schema

#: Statements that rebuild `changes` with targets in its keys, before and after the present schema is added.
_WITHOUT_TARGETS = """
    DROP VIEW live_facts;
    DROP INDEX changes_by_key;
    DROP INDEX changes_by_name;
    DROP INDEX changes_by_fact;
    DROP INDEX changes_by_correction;
    ALTER TABLE changes RENAME TO earlier_changes;
    """
_WITH_TARGETS = """
    INSERT INTO changes SELECT epoch, n, subject, relation, tenant, '', subject_name, relation_name, '',
      correction_id, reported_at_s, fact_id, version, placement, fact FROM earlier_changes;
    DROP TABLE earlier_changes;
    """


#: Format -> the statements to run before and after those of the present schema, which adds what is missing.
#: Each leads to the present format, whatever lies between.
MIGRATIONS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        # Since format 3 the column `scope` of `changes` is called `tenant`.
        2: (
            f"{_WITHOUT_TARGETS} ALTER TABLE earlier_changes RENAME COLUMN scope TO tenant;",
            _WITH_TARGETS,
        ),
        # Format 4 has tables of what was published where. No earlier event has rows in them.
        3: (_WITHOUT_TARGETS, _WITH_TARGETS),
        # Since format 5 the target can be part of a key.
        4: (_WITHOUT_TARGETS, _WITH_TARGETS),
    }
)


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate the database to the present format in one transaction, where its format has a migration."""
    version = format_of(connection)
    if version not in MIGRATIONS:
        return
    before, after = MIGRATIONS[version]
    failpoint("ledger.migrate.before")
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {before} {schema()} {after} PRAGMA user_version = {FORMAT};"
        )
        failpoint("ledger.migrate.made")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    failpoint("ledger.migrate.after")


def format_of(connection: sqlite3.Connection) -> int:
    """The format of a database; 0 where it has no tables yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
