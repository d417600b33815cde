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

#: Format -> the statements to run before and after those of the present schema, which adds what is missing.
#: Each leads to the present format, whatever lies between.
MIGRATIONS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        # Since format 3 the column `scope` of `changes` is called `tenant`. Their order is the same.
        2: (
            """
            DROP VIEW live_facts;
            DROP INDEX changes_by_key;
            DROP INDEX changes_by_name;
            DROP INDEX changes_by_fact;
            DROP INDEX changes_by_correction;
            ALTER TABLE changes RENAME TO changes_of_format_2;
            """,
            """
            INSERT INTO changes SELECT * FROM changes_of_format_2;
            DROP TABLE changes_of_format_2;
            """,
        ),
        # Format 4 has tables of what was published where. No earlier event has rows in them.
        3: ("", ""),
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
