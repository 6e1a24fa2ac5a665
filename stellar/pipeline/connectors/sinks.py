"""Sinks for documents: JSON lines and SQLite.

A target is `-` for standard output, a name that ends in `.db`, `.sqlite` or `.sqlite3` for a database, or any other
name for a file of JSON lines.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import IO, Protocol

from stellar.language.conversions import to_string
from stellar.pipeline.records import Record, to_json, to_json_bytes
from stellar.util.forks import reset_after_fork
from stellar.util.sqlite_connections import abandon

STANDARD_OUTPUT = "-"
STANDARD_OUTPUT_NAME = "standard output"
_DATABASES = (".db", ".sqlite", ".sqlite3")
_ROWS_PER_TRANSACTION = 1000
_BUFFER_BYTES = 64 * 1024
_FORKED = "{} was opened before a fork and is written by the parent only; open it in the child instead"


class Sink(Protocol):
    """Stores documents."""

    def __call__(self, document: Record, /) -> None:
        """Add a document. It is stored at the latest when the sink is closed.

        Raises ValueError for a document that JSON cannot represent, and OSError if it cannot be stored.
        """


class JsonLines:
    """Writes each document as a line of JSON in UTF-8.

    Lines are buffered here, not in a buffered file, because the child of a fork would write its copy of a file's buffer
    a second time. In the child the buffer is empty, and adding a document is an error.

    stream: a file; it is flushed after each write
    name: the name of the file, for errors
    """

    def __init__(self, stream: IO[bytes] | FileIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._pending = bytearray()
        self._forked = False
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Discard the buffered lines, which the parent writes."""
        self._forked = True
        self._pending = bytearray()

    def __call__(self, document: Record) -> None:
        if self._forked:
            raise RuntimeError(_FORKED.format(self._name))
        self._pending += to_json_bytes(document) + b"\n"
        if len(self._pending) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        pending, self._pending = self._pending, bytearray()
        with self._name_errors():
            rest = memoryview(pending)
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]
            if not self._forked:
                self._stream.flush()

    def close(self) -> None:
        """Write the buffered lines, and close the file."""
        try:
            self.flush()
        finally:
            with self._name_errors():
                self._stream.close()

    @contextmanager
    def _name_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._name) from error


class Database:
    """A SQLite file with a table for each kind of document: its JSON, and columns for searches.

    The child of a fork cannot use it, and leaves the pending transaction of the parent alone.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pending = 0
        self._forked = False
        with self._name_errors():
            self._connection = sqlite3.connect(path)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the connection to the parent."""
        abandon(self._connection)
        self._forked = True

    def open_table(self, name: str) -> Sink:
        """Return a sink that appends to a table, which is created if it does not exist.

        Raises OSError if the file is not a SQLite database or cannot be written.
        """
        if not name.isidentifier():
            raise ValueError(f"invalid table name {name!r}: expected an identifier")
        with self._name_errors():
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} "
                "(guid TEXT, timestamp INTEGER, source_type TEXT, is_alert TEXT, score REAL, document TEXT NOT NULL)"
            )
        insert = (
            f"INSERT INTO {name} (guid, timestamp, source_type, is_alert, score, document) VALUES (?, ?, ?, ?, ?, ?)"
        )
        return lambda document: self._insert(insert, document)

    def close(self) -> None:
        """Commit the pending documents, and close the file."""
        if self._forked:
            return
        try:
            with self._name_errors():
                self._connection.commit()
        finally:
            self._connection.close()

    def _insert(self, statement: str, document: Record) -> None:
        if self._forked:
            raise RuntimeError(_FORKED.format(self._path))
        columns = [_column(document.get(name)) for name in _COLUMNS]
        text = _escape_surrogates(to_json(document))
        with self._name_errors():
            self._connection.execute(statement, [*columns, text])
            self._pending += 1
            if self._pending % _ROWS_PER_TRANSACTION == 0:
                self._connection.commit()

    @contextmanager
    def _name_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"cannot use {self._path} as a SQLite database: {error}") from error


_COLUMNS = ("guid", "timestamp", "source.type", "is_alert", "threat.triage.score")
_MAX_INTEGER = 2**63 - 1


def _column(value: object) -> object:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return value
    return _escape_surrogates(to_string(value))


def _escape_surrogates(text: str) -> str:
    """Replace lone surrogates, which SQLite cannot store, by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Sinks:
    """Opens sinks by their targets, and closes all of them.

    A target that is opened twice is shared, such as records and errors in one file or database.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._databases: dict[str, Database] = {}
        self._files: dict[str, JsonLines] = {}

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def open(self, target: str, table: str) -> Sink:
        """Return the sink for a target. A file of JSON lines is truncated.

        table: the table in a database

        Raises OSError if the target cannot be written.
        """
        if target == STANDARD_OUTPUT:
            lines = JsonLines(sys.stdout.buffer, STANDARD_OUTPUT_NAME)
            self._stack.callback(lines.flush)
            return lines
        if Path(target).suffix in _DATABASES:
            return self._database(target).open_table(table)
        path = str(Path(target).resolve())
        if path not in self._files:
            self._files[path] = JsonLines(open(target, "wb", buffering=0), target)  # noqa: SIM115
            self._stack.callback(self._files[path].close)
        return self._files[path]

    def _database(self, target: str) -> Database:
        path = str(Path(target).resolve())
        if path not in self._databases:
            self._databases[path] = Database(target)
            self._stack.callback(self._databases[path].close)
        return self._databases[path]
