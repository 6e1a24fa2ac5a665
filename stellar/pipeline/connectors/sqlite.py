"""SQLite files as targets: a table for each kind of document, and the positions of runs, committed with them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from stellar.language.conversions import to_string
from stellar.pipeline.connectors.alert_indexes import create_indexes
from stellar.pipeline.connectors.positions import RunState
from stellar.pipeline.records import Record, to_json
from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork
from stellar.util.sqlite_connections import abandon

FORKED = "{} was opened before a fork and is written by the parent only; open it in the child instead"
_ROWS_PER_TRANSACTION = 1000


class Database:
    """A SQLite file with a table for each kind of document: its JSON, and columns for searches.

    The child of a fork cannot use it, and leaves the pending transaction of the parent alone.

    commits: commit after some documents; if False, they are committed with the positions of the run
    """

    def __init__(self, path: str, *, commits: bool = True) -> None:
        self._path = path
        self._commits = commits
        self._pending = 0
        self._forked = False
        with _name_errors(self._path):
            self._connection = sqlite3.connect(path)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the connection to the parent."""
        abandon(self._connection)
        self._forked = True

    def open_table(self, name: str) -> DatabaseTable:
        """Return a sink that appends to a table, which is created if it does not exist.

        Raises OSError if the file is not a SQLite database or cannot be written.
        """
        if not name.isidentifier():
            raise ValueError(f"invalid table name {quote(name)}: expected an identifier")
        with _name_errors(self._path):
            self._create_table(name)
        insert = (
            f"INSERT INTO {name} (guid, timestamp, source_type, is_alert, score, document) VALUES (?, ?, ?, ?, ?, ?)"
        )
        return DatabaseTable(partial(self._insert, insert))

    def _create_table(self, name: str) -> None:
        """Create a table with its indexes; an existing one is left as it is, because indexes of many rows take long."""
        found = self._connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        if found.fetchone() is None:
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} "
                "(guid TEXT, timestamp INTEGER, source_type TEXT, is_alert TEXT, score REAL, document TEXT NOT NULL)"
            )
            create_indexes(self._connection, name)

    def commit(self) -> None:
        """Commit the pending documents."""
        with _name_errors(self._path):
            self._connection.commit()

    def roll_back(self) -> None:
        """Discard the documents that are not committed."""
        with _name_errors(self._path):
            self._connection.rollback()

    def close(self) -> None:
        """Commit the pending documents, unless they are committed with positions, and close the file."""
        if self._forked:
            return
        try:
            with _name_errors(self._path):
                if self._commits:
                    self._connection.commit()
        finally:
            self._connection.close()

    def open_positions(self, run: str) -> PositionTable:
        """Return the store for the positions of a run, which are committed with the documents."""
        with _name_errors(self._path):
            self._connection.execute(_CREATE_POSITIONS)
        return PositionTable(self._connection, self._path, run)

    def _insert(self, statement: str, row: Sequence[Any]) -> None:
        if self._forked:
            raise RuntimeError(FORKED.format(self._path))
        with _name_errors(self._path):
            self._connection.execute(statement, row)
            self._pending += 1
            if self._commits and self._pending % _ROWS_PER_TRANSACTION == 0:
                self._connection.commit()


class DatabaseTable:
    """A sink for the documents of one kind in a database.

    insert: adds a row; raises OSError if it cannot be stored
    """

    def __init__(self, insert: Callable[[Sequence[Any]], None]) -> None:
        self._insert = insert

    def __call__(self, document: Record) -> None:
        self._insert(_make_row(document))

    def write(self, encoded: bytes) -> None:
        """Add a row that `encode_row` returned."""
        self._insert(json.loads(encoded))


_CREATE_POSITIONS = (
    "CREATE TABLE IF NOT EXISTS positions (run TEXT PRIMARY KEY, sequence INTEGER NOT NULL, state TEXT NOT NULL)"
)
_UPDATE_POSITIONS = "UPDATE positions SET sequence = sequence + 1, state = ? WHERE run = ? AND sequence = ?"


class PositionTable:
    """The state of a run in the table `positions` of a database.

    `save` commits the documents that were inserted before. A sequence number detects another run with the same name.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, run: str) -> None:
        self._connection = connection
        self._path = path
        self._run = run
        self._sequence = 0

    def load(self) -> RunState | None:
        with _name_errors(self._path):
            row = self._connection.execute(
                "SELECT sequence, state FROM positions WHERE run = ?", (self._run,)
            ).fetchone()
        if row is None:
            return None
        self._sequence = row[0]
        try:
            return RunState.from_json(row[1])
        except ValueError as error:
            raise ValueError(
                f"cannot read positions of {self._run} from {self._path}: {error}; "
                "delete the row from the table positions to read all input again"
            ) from error

    def save(self, state: RunState) -> None:
        with _name_errors(self._path):
            self._connection.execute("INSERT OR IGNORE INTO positions VALUES (?, 0, '')", (self._run,))
            update = self._connection.execute(_UPDATE_POSITIONS, (state.to_json(), self._run, self._sequence))
            if update.rowcount != 1:
                self._connection.rollback()
                raise OSError(
                    f"another run of {self._run} has stored positions in {self._path} in the meantime; "
                    "run one at a time, or use different databases"
                )
            self._connection.commit()
        self._sequence += 1


@contextmanager
def _name_errors(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"cannot use {path} as a SQLite database: {error}") from error


_COLUMNS = ("guid", "timestamp", "source.type", "is_alert", "threat.triage.score")
_MAX_INTEGER = 2**63 - 1


def _make_row(document: Record) -> list[Any]:
    return [*(_column(document.get(name)) for name in _COLUMNS), _escape_surrogates(to_json(document))]


def encode_row(document: Record) -> bytes:
    """Return the row of a document as JSON; a score may be infinite, which Python's JSON allows."""
    return json.dumps(_make_row(document)).encode()


def _column(value: object) -> object:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return value
    return _escape_surrogates(to_string(value))


def _escape_surrogates(text: str) -> str:
    """Replace lone surrogates, which SQLite cannot store, by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
