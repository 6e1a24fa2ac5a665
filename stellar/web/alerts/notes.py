"""Annotations and states of alerts, in a SQLite file of their own.

Documents belong to the pipeline and are not changed. Each annotation and each change of a state is an event that
remains, so the history shows who has done what. The current state of an alert is also in a table, with the identifiers
that a list of the alerts of a state needs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from stellar.util.abbreviate import quote
from stellar.util.clock import now
from stellar.util.sqlite_connections import Connections
from stellar.web.alerts.queries import Alert, SourceError, State

LONGEST_NOTE = 10_000
MOST_EVENTS = 500
MOST_MARKED = 2000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS alert_events (
    number INTEGER PRIMARY KEY, alert TEXT NOT NULL, time INTEGER NOT NULL, user TEXT NOT NULL,
    state TEXT, note TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS alert_events_by_alert ON alert_events (alert, number);
CREATE TABLE IF NOT EXISTS alert_states (
    alert TEXT PRIMARY KEY, state TEXT NOT NULL, time INTEGER NOT NULL, id TEXT NOT NULL, guid TEXT NOT NULL,
    timestamp);
CREATE INDEX IF NOT EXISTS alert_states_by_state ON alert_states (state, time);
"""
_SET_STATE = """
INSERT INTO alert_states (alert, state, time, id, guid, timestamp) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (alert) DO UPDATE SET state = excluded.state, time = excluded.time, id = excluded.id,
    guid = excluded.guid, timestamp = excluded.timestamp
"""


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """An annotation, or a change of the state.

    time: ms since 1970
    state: the new state; None for an annotation
    """

    time: int
    user: str
    state: State | None
    note: str


class AlertNotes:
    """The annotations and states of alerts. Safe to use from many threads and processes.

    Raises SourceError if the file can't be created, read or written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections = Connections(path, _prepare)
        with self._lend() as connection:
            connection.executescript(_SCHEMA)
            # A file that can only be read is noticed now, not when the first alert is closed
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()

    def add(self, alert: Alert, user: str, note: str, state: State | None = None) -> None:
        """Add an event to an alert.

        Raises ValueError for an empty annotation and for one that is too long.
        """
        if not note.strip() and state is None:
            raise ValueError("the annotation is empty; write some words")
        if len(note) > LONGEST_NOTE:
            raise ValueError(f"the annotation has {len(note)} characters; at most {LONGEST_NOTE} are allowed")
        time = now()
        row: list[object] = [alert.key, time, user, state, note.strip()]
        with self._lend() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO alert_events (alert, time, user, state, note) VALUES (?, ?, ?, ?, ?)", _encodable(row)
            )
            if state is not None:
                states: list[object] = [alert.key, state, time, alert.id, alert.guid, alert.timestamp]
                connection.execute(_SET_STATE, _encodable(states))

    def list_events(self, alert: Alert) -> list[AlertEvent]:
        """Return the newest events of an alert, the newest first."""
        statement = "SELECT time, user, state, note FROM alert_events WHERE alert = ? ORDER BY number DESC LIMIT ?"
        with self._lend() as connection:
            rows = connection.execute(statement, (*_encodable([alert.key]), MOST_EVENTS)).fetchall()
        return [AlertEvent(*row) for row in rows]

    def find_states(self, alerts: Collection[Alert]) -> Mapping[str, State]:
        """Return the states of alerts by their keys; those that are not in the map are open."""
        keys = _encodable([alert.key for alert in alerts])
        marks = ", ".join("?" * len(keys))
        with self._lend() as connection:
            rows = connection.execute(
                f"SELECT alert, state FROM alert_states WHERE alert IN ({marks})", keys
            ).fetchall()
        found = dict(rows)
        return {alert.key: cast(State, found[key]) for alert, key in zip(alerts, keys, strict=True) if key in found}

    def list_marked(self, state: State) -> list[Alert]:
        """Return the alerts that were set to a state last, at most MOST_MARKED, with their identifiers only."""
        statement = "SELECT id, guid, timestamp FROM alert_states WHERE state = ? ORDER BY time DESC LIMIT ?"
        with self._lend() as connection:
            rows = connection.execute(statement, (state, MOST_MARKED)).fetchall()
        return [Alert(id, guid, timestamp, "", None, "true") for id, guid, timestamp in rows]

    def close(self) -> None:
        """Close connections."""
        self._connections.close()

    @contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connections.lend() as connection:
                yield connection
        except sqlite3.Error as error:
            raise SourceError(f"cannot use {quote(self._path)} for annotations: {self._explain(error)}") from error

    def _explain(self, error: sqlite3.Error) -> str:
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return "another process has locked it; retry in a moment"
            case sqlite3.SQLITE_FULL:
                return "the disk is full; free some space, then retry"
            case _ if not Path(self._path).absolute().parent.is_dir():
                return "its directory does not exist; create it, or pass --notes FILE"
            case _:
                return f"{error}; pass --notes FILE in a directory that this user may write"


def _prepare(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 2000")


def _encodable(values: Sequence[object]) -> list[object]:
    """Return values for SQLite, which can't store lone surrogates."""
    return [each.encode("utf-8", "backslashreplace").decode() if isinstance(each, str) else each for each in values]
