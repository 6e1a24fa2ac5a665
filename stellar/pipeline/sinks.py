"""Where documents go: JSON lines, and SQLite.

A target is `-` for standard output, a name that ends in `.db`, `.sqlite` or `.sqlite3` for a database, or any other
name for a file of JSON lines.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol

from stellar.conversions import to_text
from stellar.pipeline.records import Record, to_json, to_json_bytes

STANDARD_OUTPUT = "-"
STANDARD_OUTPUT_NAME = "standard output"
_DATABASES = (".db", ".sqlite", ".sqlite3")
_ROWS_A_TRANSACTION = 1000


class Sink(Protocol):
    """Takes documents."""

    def __call__(self, document: Record, /) -> None:
        """Take one document; it is safely stored when the sink has been closed.

        Raises ValueError for a document that has no JSON form, and OSError if it cannot be stored.
        """


class JsonLines:
    """Writes each document as a line of JSON, in UTF-8; what can't be written is told with the file's name."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def __call__(self, document: Record) -> None:
        line = to_json_bytes(document) + b"\n"
        try:
            self._stream.write(line)
        except OSError as error:
            raise self._named(error) from error

    def flush(self) -> None:
        """Write what is pending."""
        try:
            self._stream.flush()
        except OSError as error:
            raise self._named(error) from error

    def close(self) -> None:
        """Write what is pending, and let go of the file."""
        try:
            self._stream.close()
        except OSError as error:
            raise self._named(error) from error

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, self._name)


class Database:
    """A SQLite file with a table for each kind of document: its JSON, and the columns that one looks for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pending = 0
        with self._told():
            self._connection = sqlite3.connect(path)

    def table(self, name: str) -> Sink:
        """A sink into a table of this name, which is made if it is not there; documents are added to it.

        Raises OSError if the file is no database, or cannot be written.
        """
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name for a table")
        with self._told():
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} "
                "(guid TEXT, timestamp INTEGER, source_type TEXT, is_alert TEXT, score REAL, document TEXT NOT NULL)"
            )
        insert = (
            f"INSERT INTO {name} (guid, timestamp, source_type, is_alert, score, document) VALUES (?, ?, ?, ?, ?, ?)"
        )
        return lambda document: self._insert(insert, document)

    def close(self) -> None:
        """Store what is pending, and let go of the file."""
        try:
            with self._told():
                self._connection.commit()
        finally:
            self._connection.close()

    def _insert(self, statement: str, document: Record) -> None:
        columns = [_column(document.get(name)) for name in _COLUMNS]
        text = _storable(to_json(document))
        with self._told():
            self._connection.execute(statement, [*columns, text])
            self._pending += 1
            if self._pending % _ROWS_A_TRANSACTION == 0:
                self._connection.commit()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"{self._path} cannot be used as a SQLite database: {error}") from error


_COLUMNS = ("guid", "timestamp", "source.type", "is_alert", "threat.triage.score")
_LARGEST = 2**63 - 1


def _column(value: object) -> object:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST:
        return value
    return _storable(to_text(value))


def _storable(text: str) -> str:
    """A lone surrogate, which SQLite cannot store, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Sinks:
    """Opens sinks by the names of their targets, and closes them all.

    What is opened twice is shared: two tables of one database, or records and errors in one file.
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
        """The sink for a target; `table` is where in a database. A file of JSON lines is begun anew.

        Raises OSError if the target cannot be written.
        """
        if target == STANDARD_OUTPUT:
            lines = JsonLines(sys.stdout.buffer, STANDARD_OUTPUT_NAME)
            self._stack.callback(lines.flush)
            return lines
        if Path(target).suffix in _DATABASES:
            return self._database(target).table(table)
        path = str(Path(target).resolve())
        if path not in self._files:
            self._files[path] = JsonLines(open(target, "wb"), target)  # noqa: SIM115
            self._stack.callback(self._files[path].close)
        return self._files[path]

    def _database(self, target: str) -> Database:
        path = str(Path(target).resolve())
        if path not in self._databases:
            self._databases[path] = Database(target)
            self._stack.callback(self._databases[path].close)
        return self._databases[path]
