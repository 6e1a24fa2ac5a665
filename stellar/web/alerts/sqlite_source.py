"""Documents in a SQLite file, as `stellar-pipeline run --output FILE.sqlite` writes them.

A list is read by keyset pagination: each page continues after the key of the last row, so the thousandth page costs as
much as the first. The rows are sorted by an index (stellar.pipeline.connectors.alert_indexes), and filtered while it is
read. A filter that few rows match would read all of them. So the index is read in sections, and when the time is over,
the page ends at a section, where the next one continues. Each statement has a time limit of its own, for a section
that takes long because of its documents.

In a column with mixed types, SQLite sorts null before numbers before strings. Comparing null with anything is null, so
that rows with null would be lost. Numbers, strings and nulls are therefore read one kind after the other.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from stellar.pipeline.connectors.alert_indexes import IS_ALERT, create_indexes, list_missing, name_index
from stellar.util.abbreviate import quote
from stellar.util.sqlite_connections import Connections
from stellar.web.alerts.contents import list_reasons, parse_document
from stellar.web.alerts.queries import (
    Alert,
    AlertList,
    AlertQuery,
    SourceError,
    StoredDocument,
    read_cursor,
    write_cursor,
)

TABLE = "records"
COLUMNS = ("guid", "timestamp", "source_type", "is_alert", "score", "document")
MOST_SENSORS = 200
_LOCKED_MS = 2000
_STEPS = 5000  # of SQLite's virtual machine, between two reads of the clock
_FIRST_SECTION, _SHORTEST_SECTION, _LONGEST_SECTION = 250, 10, 200_000  # rows
_SECTION_SECONDS = 0.02
_MOST_SORTED = 5000  # rows
_MOST_CHARACTERS = 500_000  # of a document whose reasons are shown in a list
_MOST_OF_PAGE = 4_000_000  # characters of all of them
_LARGE = "large document; open it to see its reasons"
_HOW_TO_WRITE = "write one with `stellar-pipeline run --output FILE.sqlite`"
_NO_INDEXES = (
    "The database has no indexes for alerts, so they are in the order in which they were stored. Stop the pipelines "
    "that write to it, and run stellar-pipeline alerts --create-indexes"
)
_UNSORTED = "Other documents than alerts have no index, so all are in the order in which they were stored."
_ROW = (
    "rowid, guid, timestamp, source_type, score, is_alert, length(document), "
    f"CASE WHEN length(document) <= {_MOST_CHARACTERS} THEN document END"
)


class _Bound(NamedTuple):
    """A condition for keys, with its values."""

    condition: str = "1"
    values: Sequence[object] = ()


_UNBOUNDED = _Bound()


class _KeyKind(NamedTuple):
    """A kind of key: rows of each are sorted among themselves.

    keys: the columns of the sort order
    upper, lower: the bounds of the list
    """

    keys: tuple[str, ...]
    upper: _Bound = _Bound()
    lower: _Bound = _Bound()


@dataclass
class _Plan:
    """A plan for reading a list.

    order: the name of the order, for positions
    kinds: the kinds of its keys, in their order
    index: the clause that selects the index
    base: the condition of all rows of the index that are read
    filters: the conditions of some of these rows
    """

    order: str
    kinds: list[_KeyKind]
    index: str
    base: _Bound = _UNBOUNDED
    notice: str = ""
    filters: list[_Bound] = field(default_factory=list)

    def add(self, condition: str, *values: object) -> None:
        """Add a filter."""
        self.filters.append(_Bound(condition, values))

    def restrict(self, rows: Sequence[int]) -> None:
        """Read these rows only, which are few enough to be sorted."""
        condition, values = self.base
        self.index = "NOT INDEXED"
        self.base = _Bound(f"{condition} AND rowid IN (SELECT value FROM json_each(?))", [*values, json.dumps(rows)])


class SqliteSource:
    """The table `records` of a SQLite file, which is only read.

    statement_seconds: the time limit of a statement

    Raises SourceError if the file or the table can't be used.
    """

    def __init__(self, path: str, statement_seconds: float = 5.0) -> None:
        self._path = path
        self._seconds = statement_seconds
        self._connections = Connections(path, self._prepare, is_read_only=True)
        if not Path(path).is_file():
            raise SourceError(f"no such database: {quote(path)}; {_HOW_TO_WRITE}, or check the name")
        with self._lend() as connection:
            _check_columns(connection, path)

    @property
    def name(self) -> str:
        return self._path

    @property
    def has_indexes(self) -> bool:
        """True if lists can be sorted."""
        with self._lend() as connection:
            return not list_missing(connection, TABLE)

    def find(
        self, query: AlertQuery, cursor: str, most: int, seconds: float, among: Sequence[Alert] | None = None
    ) -> AlertList:
        end = time.monotonic() + seconds
        with self._lend() as connection:
            is_indexed = not list_missing(connection, TABLE)
            plan = _make_plan(query, is_indexed=is_indexed)
            if among is not None:
                plan.restrict(list(_find_rows(connection, among)))
            elif is_indexed and (rows := _find_few(connection, query)) is not None:
                plan.restrict(rows)
            return _Search(connection, plan, most, lambda: time.monotonic() >= end).run(cursor)

    def read(self, id: str) -> StoredDocument | None:
        row, _, digest = id.partition("-")
        if not row.isdecimal() or not row.isascii() or len(row) > 18 or not digest.isalnum():
            raise ValueError(f"invalid document identifier {quote(id, 60)}")
        statement = f"SELECT {_ROW}, document FROM {TABLE} WHERE rowid = ?"
        with self._lend() as connection:
            found = connection.execute(statement, (int(row),)).fetchone()
        if found is None:
            return None
        alert = _make_alert(found[:-1], has_reasons=False)
        return StoredDocument(alert, _to_text(found[-1])) if alert.id == id else None

    def list_sensors(self) -> Sequence[str]:
        with self._lend() as connection:
            if list_missing(connection, TABLE):
                return []
            return list(_read_sensors(connection))

    def close(self) -> None:
        self._connections.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {_LOCKED_MS}")
        # Invalid UTF-8 must not make a row unreadable
        connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")

    @contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection whose statements end at the time limit; convert its errors."""
        with convert_errors(self._path, self._seconds), self._connections.lend() as connection:
            end = time.monotonic() + self._seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            try:
                yield connection
            finally:
                connection.set_progress_handler(None, 0)


@contextmanager
def convert_errors(path: str, seconds: float) -> Iterator[None]:
    """Raise SourceError, with the fix, for an error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(f"cannot read {quote(path)}: {_explain(error, seconds)}") from error


def _explain(error: sqlite3.Error, seconds: float) -> str:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_INTERRUPT:
            return f"the query took longer than {seconds:g} s; select a sensor or a time to narrow it"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"a writer has locked it for more than {_LOCKED_MS // 1000} s; retry in a moment"
        case sqlite3.SQLITE_NOTADB:
            return f"it is not a SQLite database; {_HOW_TO_WRITE}"
        case sqlite3.SQLITE_CORRUPT:
            return f"it is damaged ({error}); restore it, or copy what is readable with `sqlite3 FILE .recover`"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
            return f"{error}; this user needs to read the file, and to write to its directory"
        case _:
            return str(error)


def _check_columns(connection: sqlite3.Connection, path: str) -> None:
    kinds = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')").fetchall())
    if TABLE not in kinds:
        found = ", ".join(sorted(kinds)) or "none"
        raise SourceError(f"{quote(path)} has no table {TABLE} (its tables: {quote(found)}); {_HOW_TO_WRITE}")
    existing = [row[1] for row in connection.execute(f"PRAGMA table_info({TABLE})")]
    missing = [name for name in COLUMNS if name not in existing]
    if missing or kinds[TABLE] != "table":
        problem = f"no column {', '.join(missing)}" if missing else "it is a view"
        raise SourceError(
            f"the table {TABLE} of {quote(path)} was not written by a pipeline: {problem}; {_HOW_TO_WRITE}"
        )


def create_alert_indexes(path: str) -> list[str]:
    """Create the indexes of a database that are missing, and return their names. Raises SourceError."""
    SqliteSource(path).close()
    with convert_errors(path, 0):
        connection = sqlite3.connect(path, timeout=_LOCKED_MS / 1000, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            missing = list_missing(connection, TABLE)
            create_indexes(connection, TABLE)
            connection.execute("COMMIT")
        finally:
            connection.close()
    return missing


# -- Lists ------------------------------------------------------------------------------------------------------------


def _make_plan(query: AlertQuery, *, is_indexed: bool) -> _Plan:
    if query.everything or not is_indexed:
        notice = _UNSORTED if query.everything else _NO_INDEXES
        plan = _Plan("stored", [_KeyKind(("rowid",))], "NOT INDEXED", notice=notice)
        if not query.everything:
            plan.add(IS_ALERT)
    else:
        plan = _plan_by_index(query)
    _add_filters(plan, query)
    return plan


def _plan_by_index(query: AlertQuery) -> _Plan:
    kinds = _sort_by_score(query) if query.order == "score" else _sort_by_time(query)
    if query.sensor and query.order == "time":
        base = _Bound(f"{IS_ALERT} AND source_type = ?", (query.sensor,))
        return _Plan(query.order, kinds, f"INDEXED BY {name_index(TABLE, 'sensor')}", base)
    return _Plan(query.order, kinds, f"INDEXED BY {name_index(TABLE, query.order)}", _Bound(IS_ALERT))


def _sort_by_score(query: AlertQuery) -> list[_KeyKind]:
    if query.least_score is None:
        return _list_kinds("score")
    return [_KeyKind(("score", "rowid"), _Bound("score < ''"), _Bound("score >= ?", (query.least_score,)))]


def _sort_by_time(query: AlertQuery) -> list[_KeyKind]:
    if query.since is None and query.until is None:
        return _list_kinds("timestamp")
    upper = _Bound("timestamp < ''") if query.until is None else _Bound("timestamp < ?", (query.until,))
    lower = _Bound() if query.since is None else _Bound("timestamp >= ?", (query.since,))
    return [_KeyKind(("timestamp", "rowid"), upper, lower)]


def _list_kinds(column: str) -> list[_KeyKind]:
    """Return the kinds of keys of a column: numbers, strings, nulls."""
    return [
        _KeyKind((column, "rowid"), _Bound(f"{column} < ''")),
        _KeyKind((column, "rowid"), lower=_Bound(f"{column} >= ''")),
        _KeyKind(("rowid",), lower=_Bound(f"{column} IS NULL")),
    ]


def _add_filters(plan: _Plan, query: AlertQuery) -> None:
    """Add the filters that are not bounds of the keys or conditions of the index already."""
    columns = plan.kinds[0].keys
    if query.sensor and query.sensor not in plan.base.values:
        plan.add("source_type = ?", query.sensor)
    if query.least_score is not None and "score" not in columns:
        plan.add("score >= ? AND score < ''", query.least_score)
    if query.since is not None and "timestamp" not in columns:
        plan.add("timestamp >= ? AND timestamp < ''", query.since)
    if query.until is not None and "timestamp" not in columns:
        plan.add("timestamp < ?", query.until)
    if query.text:
        plan.add("document LIKE ? ESCAPE '\\'", _make_pattern(query.text))


def _make_pattern(text: str) -> str:
    """Return the pattern of LIKE for a string in JSON; it ignores the case of ASCII letters."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    for character in "\\%_":
        escaped = escaped.replace(character, f"\\{character}")
    return f"%{escaped}%"


@dataclass
class _Search:
    """Reads a list by sections of its index."""

    connection: sqlite3.Connection
    plan: _Plan
    most: int
    is_over: Callable[[], bool]

    def run(self, cursor: str) -> AlertList:
        """Return the list after a position."""
        number, key = self._read_cursor(cursor)
        rows: list[Sequence[Any]] = []
        for index in range(number, len(self.plan.kinds)):
            position = self._read_kind(self.plan.kinds[index], key, rows)
            if position is not None:
                return self._make_list(rows, index, position)
            key = None
        return AlertList(_make_alerts(rows), notice=self.plan.notice)

    def _read_cursor(self, cursor: str) -> tuple[int, list[Any] | None]:
        if not cursor:
            return 0, None
        order, number, *key = read_cursor(cursor, 4)
        if order != self.plan.order or number not in range(len(self.plan.kinds)) or not isinstance(key[-1], int):
            raise ValueError("the order of the list has changed; go back to the first page")
        return number, key[-len(self.plan.kinds[number].keys) :]

    def _read_kind(self, kind: _KeyKind, key: list[Any] | None, rows: list[Sequence[Any]]) -> list[Any] | None:
        """Read the rows of a kind; return the position if the list is full or the time is over, else None."""
        length = _FIRST_SECTION
        while True:
            started = time.monotonic()
            upper = kind.upper if key is None else _compare(kind, "<", key)
            end = self._find_end(kind, upper, length) if self.plan.filters else None
            lower = kind.lower if end is None else _compare(kind, ">=", end)
            rows += self._select(kind, upper, lower, self.most + 1 - len(rows))
            if len(rows) > self.most:
                del rows[self.most :]
                return _take_key(kind, rows[-1])
            if end is None or self.is_over():
                return end
            key, length = end, _adapt(length, time.monotonic() - started)

    def _find_end(self, kind: _KeyKind, upper: _Bound, length: int) -> list[Any] | None:
        """Return the last key of a section; None if it is the rest."""
        base = self.plan.base
        row = self._execute(
            f"SELECT {', '.join(kind.keys)}",
            (base, upper, kind.lower),
            f"ORDER BY {_sort_descending(kind)} LIMIT 1 OFFSET {length}",
        ).fetchone()
        return None if row is None else list(row)

    def _select(self, kind: _KeyKind, upper: _Bound, lower: _Bound, most: int) -> list[Sequence[Any]]:
        bounds = (self.plan.base, upper, lower, *self.plan.filters)
        return self._execute(f"SELECT {_ROW}", bounds, f"ORDER BY {_sort_descending(kind)} LIMIT {most}").fetchall()

    def _execute(self, select: str, bounds: Sequence[_Bound], end: str) -> sqlite3.Cursor:
        conditions = " AND ".join(each.condition for each in bounds)
        values = [value for each in bounds for value in each.values]
        return self.connection.execute(f"{select} FROM {TABLE} {self.plan.index} WHERE {conditions} {end}", values)

    def _make_list(self, rows: list[Sequence[Any]], kind: int, position: list[Any]) -> AlertList:
        if any(isinstance(each, bytes) for each in position):
            raise SourceError(f"row {position[-1]} of {TABLE} was not written by a pipeline: its key is a BLOB")
        padded = [None] * (2 - len(position)) + position
        cursor = write_cursor([self.plan.order, kind, *padded])
        is_complete = len(rows) == self.most
        reached = None if is_complete else self._find_time(position[-1])
        return AlertList(_make_alerts(rows), cursor, is_complete, reached, self.plan.notice)

    def _find_time(self, row: int) -> object:
        found = self.connection.execute(f"SELECT timestamp FROM {TABLE} WHERE rowid = ?", (row,)).fetchone()
        return None if found is None else found[0]


def _compare(kind: _KeyKind, operator: str, key: Sequence[object]) -> _Bound:
    return _Bound(f"({', '.join(kind.keys)}) {operator} ({', '.join('?' * len(key))})", key)


def _sort_descending(kind: _KeyKind) -> str:
    return ", ".join(f"{each} DESC" for each in kind.keys)


def _take_key(kind: _KeyKind, row: Sequence[Any]) -> list[Any]:
    columns = {"rowid": row[0], "timestamp": row[2], "score": row[4]}
    return [columns[each] for each in kind.keys]


def _adapt(length: int, seconds: float) -> int:
    """Return the length of the next section, by the time that the last one has taken."""
    factor = _SECTION_SECONDS / max(seconds, 1e-6)
    return max(_SHORTEST_SECTION, min(round(length * min(factor, 8.0)), _LONGEST_SECTION))


def _read_sensors(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the sensors of alerts. Each is found by one look-up in the index, however many alerts it has."""
    index, name = name_index(TABLE, "sensor"), b""
    statement = (
        f"SELECT min(source_type) FROM {TABLE} INDEXED BY {index} WHERE {IS_ALERT} AND source_type > CAST(? AS TEXT)"
    )
    for _ in range(MOST_SENSORS):
        (found,) = connection.execute(statement, (name,)).fetchone()
        if not isinstance(found, str):
            return
        name = found.encode("utf-8", "surrogateescape")
        if not _has_surrogates(found):  # otherwise no URL can contain it
            yield found


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _find_few(connection: sqlite3.Connection, query: AlertQuery) -> list[int] | None:
    """Return the rows of a filter that is not that of the sorted index, if they are few; otherwise None.

    Few rows can be sorted. If they are many, a list is soon full when the sorted index is read.
    """
    for kind, condition, values in _list_other_indexes(query):
        statement = (
            f"SELECT rowid FROM {TABLE} INDEXED BY {name_index(TABLE, kind)} "
            f"WHERE {IS_ALERT} AND {condition} LIMIT {_MOST_SORTED + 1}"
        )
        rows = [row for (row,) in connection.execute(statement, values)]
        if len(rows) <= _MOST_SORTED:
            return rows
    return None


def _list_other_indexes(query: AlertQuery) -> Iterator[tuple[str, str, Sequence[object]]]:
    """Yield the indexes of filters that do not sort, with the condition of each."""
    if query.everything:
        return
    if query.order == "time":
        if query.least_score is not None:
            yield "score", "score >= ? AND score < ''", (query.least_score,)
        return
    if query.sensor:
        yield "sensor", "source_type = ?", (query.sensor,)
    if query.since is not None or query.until is not None:
        since = -(2**63) if query.since is None else query.since
        until = 2**63 - 1 if query.until is None else query.until
        yield "time", "timestamp >= ? AND timestamp < ?", (since, until)


# -- Rows -------------------------------------------------------------------------------------------------------------


def _find_rows(connection: sqlite3.Connection, alerts: Sequence[Alert]) -> Iterator[int]:
    """Yield the rows of alerts: by number, if the contents are the same, otherwise by guid and time."""
    wanted = {int(alert.id.partition("-")[0]): alert for alert in alerts}
    statement = f"SELECT {_ROW} FROM {TABLE} WHERE rowid IN (SELECT value FROM json_each(?))"
    for row in connection.execute(statement, (json.dumps(list(wanted)),)).fetchall():
        if _make_id(row) == wanted[row[0]].id:
            del wanted[row[0]]
            yield row[0]
    if list_missing(connection, TABLE):
        return
    statement = (
        f"SELECT max(rowid) FROM {TABLE} INDEXED BY {name_index(TABLE, 'time')} "
        f"WHERE {IS_ALERT} AND timestamp = ? AND guid = ?"
    )
    for alert in wanted.values():
        (row,) = connection.execute(statement, (alert.timestamp, alert.guid)).fetchone()
        if row is not None:
            yield row


def _make_alerts(rows: Iterable[Sequence[Any]]) -> list[Alert]:
    """Return the alerts of rows, with the reasons of documents up to a total length."""
    alerts, characters = [], 0
    for row in rows:
        characters += row[6] or 0
        alerts.append(_make_alert(row, has_reasons=characters <= _MOST_OF_PAGE))
    return alerts


def _make_alert(row: Sequence[Any], *, has_reasons: bool) -> Alert:
    _, guid, timestamp, sensor, score, is_alert, _, document = row
    reasons: tuple[str, ...] = ()
    problem = ""
    if has_reasons and document is not None:
        try:
            reasons = list_reasons(parse_document(_to_text(document)))
        except ValueError as error:
            problem = str(error)
    elif row[6]:
        problem = _LARGE
    return Alert(
        _make_id(row), _to_text(guid), timestamp, _to_text(sensor), score, _to_text(is_alert), reasons, problem
    )


def _make_id(row: Sequence[Any]) -> str:
    """Return the number of a row, with a digest of the columns that identify it: VACUUM may number rows again."""
    digest = hashlib.sha256(repr((row[1], row[2], row[3], row[6])).encode("utf-8", "surrogatepass"))
    return f"{row[0]}-{digest.hexdigest()[:12]}"


def _to_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)
