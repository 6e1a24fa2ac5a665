"""Indexes of the alerts in a SQLite table of documents, for `stellar-pipeline alerts`.

They are partial: any other document costs its writer one comparison. The columns after the sorted one save the
look-up of rows that a filter excludes.
"""

from __future__ import annotations

import sqlite3

# The spellings of true that make a record an alert; see stellar.pipeline.stages.triage.is_alert
IS_ALERT = "lower(is_alert) IN ('true', 'yes', 'y', 'on', '1')"

_COLUMNS = {
    "time": "timestamp, score, source_type",
    "score": "score, timestamp, source_type",
    "sensor": "source_type, timestamp, score",
    "guid": "guid",
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
