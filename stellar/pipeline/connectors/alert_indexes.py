"""Indexes of the alerts in a SQLite table of documents, for `stellar-pipeline alerts`.

They are partial: any other document costs its writer one comparison. Rows with equal columns are in the order of their
rowid, which ends every key of the indexes; a further column would come before it. There are few indexes, as each
costs the writer of an alert some microseconds, and one of a random value, such as the guid, as much as all of these.
"""

from __future__ import annotations

import sqlite3

# The spellings of true that make a record an alert; see stellar.pipeline.stages.triage.is_alert
IS_ALERT = "lower(is_alert) IN ('true', 'yes', 'y', 'on', '1')"

_COLUMNS = {
    "time": "timestamp",
    "score": "score",
    "sensor": "source_type, timestamp",
}


def name_index(table: str, kind: str) -> str:
    """Return the name of an index, which begins with the name of its table."""
    return f"{table}_alerts_by_{kind}"


def create_indexes(connection: sqlite3.Connection, table: str) -> None:
    """Create the indexes of a table that do not exist yet. Raises sqlite3.Error."""
    for kind, columns in _COLUMNS.items():
        connection.execute(
            f"CREATE INDEX IF NOT EXISTS {name_index(table, kind)} ON {table} ({columns}) WHERE {IS_ALERT}"
        )


def list_missing(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of the indexes of a table that do not exist. Raises sqlite3.Error."""
    existing = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (table,)
        )
    }
    return [name for name in (name_index(table, kind) for kind in _COLUMNS) if name not in existing]
