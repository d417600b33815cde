"""Ledgers of earlier versions, brought to the present format when they are opened for writing.

Events are never touched: their bytes are hashed. Only tables that follow from them are reshaped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

from guardedit.core.failpoints import failpoint

#: Format -> the statements that make the next one of it. SQLite renames a column in indexes and views, too.
STEPS: Mapping[int, str] = MappingProxyType(
    {2: "ALTER TABLE changes RENAME COLUMN scope TO tenant;"},
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest format that a chain of `STEPS` reaches; one transaction a step."""
    while statements := STEPS.get(version := format_of(connection)):
        failpoint("ledger.migrate.before")
        # A process that was killed may have left a log behind, and in it this very step.
        connection.execute("BEGIN IMMEDIATE")
        try:
            if format_of(connection) == version:
                for statement in filter(str.strip, statements.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            failpoint("ledger.migrate.made")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        failpoint("ledger.migrate.after")


def format_of(connection: sqlite3.Connection) -> int:
    """The format of a database; 0 where it has no tables yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
