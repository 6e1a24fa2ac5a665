"""A store in an SQLite file.

    spaces        the rows of a type in a table and family have a number, their space; `live` ones are read
    entries       the rows by space and indicator
    blocks        the intervals among the indicators, by block; see stellar.stores.intervals
    generations   a number for each table that grows with each change

`replace` writes the new rows into spaces that are `staged`, in many short transactions, and makes them live in one.
So a load of any size blocks neither readers nor other writers, and readers see the old or the new table. The journal
is SQLite's default one rather than a write-ahead log: that needs a directory in which readers may write, and two more
files that a copy of the store must include.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from secrets import token_hex
from typing import Any

from stellar.stores.base import MissingStore, Row, StoreError, batch_rows, decode_value, encode_value, is_storable
from stellar.stores.intervals import find_blocks, read_interval
from stellar.util.sqlite_connections import Connections

FORMAT = 1  # SQLite's user_version of the file
BATCH = 50_000  # rows per transaction of `replace`
_ABANDONED_SECONDS = 86_400  # after which staged rows are those of a process that ended
_EXPIRED_PER_WRITE = 1_000
# Rows in the order of their indicators, which is that of the index for each type, are stored in half of the time; of
# equal keys, the last one stays the last
_ORDER = itemgetter(2)
_WRITER_CACHE_KIB = 65_536  # SQLite's default of 2 MB is exceeded by an index of 20,000 rows, whose pages are then read

_LOCKED = "; another process is writing to it: try again when it has finished"
_FIXES = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY_ROLLBACK: "; a writer was killed: read it once as a user who may write to it, which undoes "
    "the unfinished change",
}

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, family TEXT NOT NULL, type TEXT NOT NULL,
    state TEXT NOT NULL, staged INTEGER NOT NULL, lengths TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX IF NOT EXISTS live_spaces ON spaces (table_name, family, type) WHERE state = 'live';
CREATE TABLE IF NOT EXISTS entries (
    space INTEGER NOT NULL, indicator TEXT NOT NULL, value TEXT NOT NULL, expires INTEGER, width BLOB,
    PRIMARY KEY (space, indicator)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring_entries ON entries (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS blocks (
    space INTEGER NOT NULL, block BLOB NOT NULL, indicator TEXT NOT NULL,
    PRIMARY KEY (space, block, indicator)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generations (table_name TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
COMMIT;
"""

_GET = """
SELECT spaces.id, spaces.lengths, entries.value, entries.expires
FROM spaces LEFT JOIN entries ON entries.space = spaces.id AND entries.indicator = ?
WHERE spaces.table_name = ? AND spaces.family = ? AND spaces.type = ? AND spaces.state = 'live'
"""
_FIND = """
SELECT entries.value FROM blocks JOIN entries ON entries.space = blocks.space AND entries.indicator = blocks.indicator
WHERE blocks.space = ? AND blocks.block IN ({}) AND entries.width IS NOT NULL
AND (entries.expires IS NULL OR entries.expires > ?) ORDER BY entries.width, entries.indicator LIMIT 1
"""
_SCAN = """
SELECT spaces.family, spaces.type, entries.indicator, entries.value, entries.width IS NOT NULL
FROM spaces JOIN entries ON entries.space = spaces.id
WHERE spaces.table_name = ? AND spaces.state = 'live' AND ifnull(spaces.family = ?, 1) AND ifnull(spaces.type = ?, 1)
AND (entries.expires IS NULL OR entries.expires > ?)
"""


class SqliteStore:
    """A store in an SQLite file, see Store. Only methods that write create the file.

    clock: returns the time in seconds since 1970
    is_temporary: the file is used by this process alone, so that writes need not reach the disk
    """

    waits = False

    def __init__(self, path: str, clock: Callable[[], float] = time.time, *, is_temporary: bool = False) -> None:
        self.path = path
        self._clock = clock
        self._readers = Connections(path, _check_format, is_read_only=True)
        self._writers = Connections(path, _prepare_temporary if is_temporary else _prepare_writer)

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """See Store."""
        with self._read() as connection:
            return self._decode(_select(connection, table, family, kind, indicator))

    def _decode(self, row: Any) -> dict[str, Any] | None:
        if row is None or row[2] is None or (row[3] is not None and row[3] <= self._now()):
            return None
        return decode_value(row[2])

    def get_many(self, table: str, family: str, kind: str, indicators: Iterable[str]) -> dict[str, dict[str, Any]]:
        """See Store."""
        found = {}
        with self._read() as connection:
            connection.execute("BEGIN")  # one state of the table for all rows
            try:
                for indicator in indicators:
                    if (value := self._decode(_select(connection, table, family, kind, indicator))) is not None:
                        found[indicator] = value
            finally:
                connection.rollback()
        return found

    def find(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """See Store."""
        with self._read() as connection:
            row = _select(connection, table, family, kind, indicator)
            if (value := self._decode(row)) is not None or row is None or not row[1]:
                return value
            if not (blocks := find_blocks(indicator, _read_lengths(row[1]))):
                return None
            query = _FIND.format(",".join("?" * len(blocks)))
            found = connection.execute(query, (row[0], *blocks, self._now())).fetchone()
            return None if found is None else decode_value(found[0])

    def scan(self, table: str, family: str | None = None, kind: str | None = None) -> Iterator[Row]:
        """See Store."""
        with (
            self._read() as connection,
            closing(connection.execute(_SCAN, (table, family, kind, self._now()))) as rows,
        ):
            for family_of, kind_of, indicator, value, is_interval in rows:
                yield Row(family_of, kind_of, indicator, decode_value(value), bool(is_interval))

    def generation(self, table: str | None = None) -> int:
        """See Store."""
        query = "SELECT ifnull(sum(generation), 0) FROM generations WHERE ifnull(table_name = ?, 1)"
        with self._read() as connection:
            return int(connection.execute(query, (table,)).fetchone()[0])

    def types(self, table: str) -> set[tuple[str, str]]:
        """See Store."""
        query = "SELECT family, type FROM spaces WHERE table_name = ? AND state = 'live'"
        with self._read() as connection:
            return set(connection.execute(query, (table,)) if is_storable(table) else ())

    # -- Writing ------------------------------------------------------------------------------------------------------

    def put(self, table: str, family: str, kind: str, indicator: str, value: dict[str, Any]) -> None:
        """Store one map, replacing an existing one; see `put_many`."""
        self.put_many(table, [Row(family, kind, indicator, value)])

    def put_many(self, table: str, rows: Iterable[Row], ttl: float | None = None) -> int:
        """See Store."""
        batch = sorted(rows, key=_ORDER)  # before the transaction, because the iteration may take long
        with self._write() as connection:
            count = _RowWriter(connection, table, self._now()).write(batch, self._expiry(ttl))
            self._delete_expired(connection)
            _count_change(connection, table)
        return count

    def replace(self, table: str, rows: Iterable[Row], ttl: float | None = None, *, others_stay: bool = False) -> int:
        """See Store."""
        spaces: dict[tuple[str, str], int] = {}
        count, expires = 0, self._expiry(ttl)
        try:
            for batch in batch_rows(rows, BATCH):
                with self._write() as connection:
                    count += _RowWriter(connection, table, self._now(), spaces).write(
                        sorted(batch, key=_ORDER), expires
                    )
            with self._write() as connection:
                _make_live(connection, table, spaces, others_stay)
                _count_change(connection, table)
        except BaseException:
            self._discard(spaces.values())
            raise
        self._delete_dead()
        return count

    def _discard(self, spaces: Iterable[int]) -> None:
        with self._write() as connection:
            connection.executemany("UPDATE spaces SET state = 'dead' WHERE id = ?", [(space,) for space in spaces])
        self._delete_dead()

    def _delete_dead(self) -> None:
        """Delete the rows of replaced spaces, and those that a process staged that ended before it made them live."""
        abandoned = self._now() - _ABANDONED_SECONDS * 1000
        dead = "(SELECT id FROM spaces WHERE state = 'dead' OR (state = 'staged' AND staged < ?))"
        for name, key in (("entries", "indicator"), ("blocks", "block, indicator")):
            some = f"SELECT space, {key} FROM {name} WHERE space IN {dead} LIMIT {BATCH}"
            deleted = BATCH
            while deleted == BATCH:
                with self._write() as connection:
                    query = f"DELETE FROM {name} WHERE (space, {key}) IN ({some})"
                    deleted = connection.execute(query, (abandoned,)).rowcount
        with self._write() as connection:
            connection.execute(f"DELETE FROM spaces WHERE id IN {dead}", (abandoned,))

    def delete(self, table: str, family: str, kind: str, indicators: Iterable[str]) -> int:
        """See Store."""
        query = "SELECT space, indicator, width FROM entries WHERE space = ? AND indicator = ?"
        with self._write() as connection:
            space = _select(connection, table, family, kind, "")
            rows = (
                [] if space is None else [connection.execute(query, (space[0], each)).fetchone() for each in indicators]
            )
            count = _delete_entries(connection, [row for row in rows if row is not None])
            _count_change(connection, table)
        return count

    def delete_expired(self) -> int:
        """Delete rows whose time to live is over, up to 1,000; `put_many` does so, too. Return their number."""
        with self._write() as connection:
            return self._delete_expired(connection)

    def _delete_expired(self, connection: sqlite3.Connection) -> int:
        query = f"SELECT space, indicator, width FROM entries WHERE expires <= ? LIMIT {_EXPIRED_PER_WRITE}"
        return _delete_entries(connection, connection.execute(query, (self._now(),)).fetchall())

    def close(self) -> None:
        """See Store."""
        self._readers.close()
        self._writers.close()

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _expiry(self, ttl: float | None) -> int | None:
        return None if ttl is None else self._now() + int(ttl * 1000)

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection. Raises MissingStore without a file, StoreError for other errors and unreadable values."""
        try:
            with self._readers.lend() as connection:
                yield connection
        except (sqlite3.Error, ValueError) as error:
            if not Path(self.path).exists():
                raise MissingStore(self.path) from error
            raise self._explain(error) from error

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection in a transaction."""
        try:
            if not Path(self.path).exists():
                _create(self.path)
            with self._writers.lend() as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> StoreError:
        fix = _FIXES.get(getattr(error, "sqlite_errorcode", 0), "")
        return StoreError(f"{self.path}: {error}{fix}")


def _select(connection: sqlite3.Connection, table: str, family: str, kind: str, indicator: str) -> Any:
    """Return the space of a type with its lengths, and the value and expiry of an indicator; None without the space."""
    key = (indicator, table, family, kind)
    return connection.execute(_GET, key).fetchone() if all(map(is_storable, key)) else None


class _RowWriter:
    """Writes rows of a table in one transaction.

    spaces: the staged spaces of a replacement, to which those that are missing are added; None for the live ones
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: str,
        now: int,
        staged: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self._connection, self._table, self._now = connection, table, now
        self._state = "live" if staged is None else "staged"
        self._spaces = {} if staged is None else staged
        self._lengths: dict[int, set[tuple[int, int]]] = {}
        self._blocks: list[tuple[int, bytes, str]] = []
        self._count = 0

    def write(self, rows: Iterable[Row], expires: int | None) -> int:
        """Write rows, and return their number."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", self._encode(rows, expires)
        )
        self._connection.executemany("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?)", self._blocks)
        for space, lengths in self._lengths.items():
            self._add_lengths(space, lengths)
        return self._count

    def _encode(self, rows: Iterable[Row], expires: int | None) -> Iterator[Sequence[object]]:
        for row in rows:
            self._count += 1
            space = self._spaces.get((row.family, row.kind))
            if space is None:
                space = self._spaces[row.family, row.kind] = self._find_space(row.family, row.kind)
            width = self._index(space, row.indicator) if row.is_interval else None
            yield space, row.indicator, encode_value(row), expires, width

    def _find_space(self, family: str, kind: str) -> int:
        key = (self._table, family, kind)
        if self._state == "live" and (row := _select(self._connection, *key, "")) is not None:
            return int(row[0])
        added = self._connection.execute(
            "INSERT INTO spaces (table_name, family, type, state, staged) VALUES (?, ?, ?, ?, ?)",
            (*key, self._state, self._now),
        )
        return int(added.lastrowid or 0)

    def _index(self, space: int, indicator: str) -> bytes:
        """Add the blocks of an interval, and return its width such that widths can be ordered."""
        interval = read_interval(indicator)
        lengths = self._lengths.setdefault(space, set())
        for length, block in interval.blocks():
            lengths.add((interval.family, length))
            self._blocks.append((space, block, indicator))
        return interval.width.to_bytes(16, "big")

    def _add_lengths(self, space: int, lengths: set[tuple[int, int]]) -> None:
        (before,) = self._connection.execute("SELECT lengths FROM spaces WHERE id = ?", (space,)).fetchone()
        text = " ".join(f"{family}/{length}" for family, length in sorted(lengths | set(_read_lengths(before))))
        self._connection.execute("UPDATE spaces SET lengths = ? WHERE id = ?", (text, space))


def _read_lengths(text: str) -> Iterator[tuple[int, int]]:
    for each in text.split():
        family, _, length = each.partition("/")
        yield int(family), int(length)


def _make_live(
    connection: sqlite3.Connection, table: str, spaces: Mapping[tuple[str, str], int], others_stay: bool
) -> None:
    replaced = "UPDATE spaces SET state = 'dead' WHERE table_name = ? AND state = 'live'"
    if others_stay:
        connection.executemany(f"{replaced} AND family = ? AND type = ?", [(table, *each) for each in spaces])
    else:
        connection.execute(replaced, (table,))
    connection.executemany("UPDATE spaces SET state = 'live' WHERE id = ?", [(space,) for space in spaces.values()])


def _delete_entries(connection: sqlite3.Connection, rows: Sequence[tuple[int, str, bytes | None]]) -> int:
    """Delete rows, each given by space, indicator and width, with their blocks. Return the number of rows."""
    for space, indicator, width in rows:
        if width is not None:
            blocks = [(space, block, indicator) for _, block in read_interval(indicator).blocks()]
            connection.executemany("DELETE FROM blocks WHERE (space, block, indicator) = (?, ?, ?)", blocks)
    keys = [(space, indicator) for space, indicator, _ in rows]
    return connection.executemany("DELETE FROM entries WHERE (space, indicator) = (?, ?)", keys).rowcount if keys else 0


def _count_change(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(
        "INSERT INTO generations VALUES (?, 1) ON CONFLICT (table_name) DO UPDATE SET generation = generation + 1",
        (table,),
    )


def _read_format(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _check_format(connection: sqlite3.Connection) -> None:
    if (version := _read_format(connection)) != FORMAT:
        problem = "the file is not an enrichment store" if version == 0 else f"the file has the format {version}"
        raise sqlite3.DatabaseError(f"{problem}; this version reads format {FORMAT}: load the data into a new file")


def _create(path: str) -> None:
    """Create the file complete with its tables, so that no reader finds a file without them."""
    copy = f"{path}.{token_hex(4)}.new"
    try:
        with closing(sqlite3.connect(copy)) as connection:
            connection.executescript(_TABLES)
        with suppress(OSError):  # another process was faster; or there are no links, and the writer creates the file
            os.link(copy, path)
    finally:
        Path(copy).unlink(missing_ok=True)


def _prepare_writer(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
    version = _read_format(connection)
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        connection.executescript(_TABLES)
    else:
        _check_format(connection)


def _prepare_temporary(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    _prepare_writer(connection)
