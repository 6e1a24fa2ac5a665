"""What is known of an address, a name or any other indicator: look-ups in a store, and in files."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_long
from stellar.language.library import Written, stellar
from stellar.language.runtime import ABSENT, described, member
from stellar.util.filesystems import read
from stellar.util.forks import reset_after_fork
from stellar.util.sqlite_connections import Connections

log = logging.getLogger(__name__)

STORE_KEY = "enrichment.store"
STORES = "stellar.enrichment_stores"
ALLOWED_KEY = "object.get.paths.allowed"


class StoreError(Exception):
    """The store can't be asked now."""


class EnrichmentStore(Protocol):
    """Where enrichments are kept: each a map, found by table, column family, type and indicator."""

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """The enrichment; None if there is none. Raises StoreError if the store can't be asked."""


class SqliteEnrichments:
    """Enrichments in an SQLite file, which is created on first use. Safe to use from many threads, and after a fork."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connections = Connections(path, _create_table)

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """See EnrichmentStore."""
        try:
            with self._connections.lend() as connection:
                row = connection.execute(
                    "SELECT value FROM enrichments WHERE (table_name, family, type, indicator) = (?, ?, ?, ?)",
                    (table, family, kind, indicator),
                ).fetchone()
            return None if row is None else json.loads(row[0])
        except (sqlite3.Error, ValueError) as error:
            raise StoreError(f"{self.path}: {error}") from error

    def put(self, table: str, family: str, kind: str, indicator: str, value: Mapping[str, Any]) -> None:
        """Store an enrichment, in place of one that exists. Raises StoreError if that fails."""
        try:
            with self._connections.lend() as connection, connection:
                connection.execute(
                    "INSERT OR REPLACE INTO enrichments VALUES (?, ?, ?, ?, ?)",
                    (table, family, kind, indicator, json.dumps(dict(value))),
                )
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise StoreError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the connections of all threads. None of them may be in use."""
        self._connections.close()


def _create_table(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS enrichments (table_name TEXT, family TEXT, type TEXT, indicator TEXT,"
        " value TEXT NOT NULL, PRIMARY KEY (table_name, family, type, indicator)) WITHOUT ROWID"
    )


def store(settings: GlobalSettings) -> EnrichmentStore:
    """The store that `enrichment.store` of the global configuration names: `sqlite:PATH`, or `NAME:REST`, where NAME is
    an entry point of the group `stellar.enrichment_stores`, which is called with REST.

    Raises LookupError if it names none that there is.
    """
    named = settings.get(STORE_KEY)
    name, colon, rest = named.partition(":") if isinstance(named, str) else ("", "", "")
    if not colon:
        raise LookupError(
            f"this needs a store: set {STORE_KEY} in the global configuration, as in sqlite:enrichments.db"
        )
    if name == "sqlite":
        return SqliteEnrichments(rest)
    from importlib.metadata import entry_points

    for entry_point in entry_points(group=STORES, name=name):
        make: Callable[[str], EnrichmentStore] = entry_point.load()
        return make(rest)
    raise LookupError(f"{STORE_KEY} is {named}, but there is no store {name}; sqlite is built in")


@stellar("ENRICHMENT_GET", surplus="refuse")
def get(
    context: Context, type_: str | None, indicator: str | None, table: str | None, column_family: str | None
) -> dict[str, Any]:
    """The enrichment of an indicator.

    type: The type of the enrichment, such as `whois`
    indicator: What it is an enrichment of, such as a domain
    table: The table of the store
    columnFamily: The column family of the table
    returns: The enrichment, a map; an empty one if there is none, or if the store can't be asked

    The store is the one that `enrichment.store` of the global configuration names.
    """
    return _found(context, type_, indicator, table, column_family) or {}


@stellar("ENRICHMENT_EXISTS", surplus="refuse")
def exists(
    context: Context, type_: str | None, indicator: str | None, table: str | None, column_family: str | None
) -> bool:
    """Whether there is an enrichment of an indicator.

    type: The type of the enrichment, such as `whois`
    indicator: What it is an enrichment of, such as a domain
    table: The table of the store
    columnFamily: The column family of the table
    returns: False also if the store can't be asked
    """
    return _found(context, type_, indicator, table, column_family) is not None


def _found(
    context: Context, kind: str | None, indicator: str | None, table: str | None, family: str | None
) -> dict[str, Any] | None:
    if kind is None or indicator is None:
        return None
    enrichments = context.get_or_make(EnrichmentStore, store)  # type: ignore[type-abstract]
    try:
        return enrichments.get(table or "", family or "", kind, indicator)
    except StoreError as error:
        log.warning("%s", error)  # Metron answers as if there were no enrichment
        return None


class ObjectCache:
    """Objects read from JSON files, kept for a while.

    size: how many are kept
    seconds: how long
    largest: how many bytes a file may have
    """

    def __init__(self, size: int = 1000, seconds: float = 86_400, largest: int = 1_048_576) -> None:
        self._size, self._seconds, self._largest = size, seconds, largest
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without objects: another thread may have been about to change the cache."""
        from cachetools import TTLCache

        self._kept: TTLCache[str, Any] = TTLCache(self._size, self._seconds)
        self._reading = threading.Lock()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The cache that the settings `object.cache.*` ask for."""
        seconds = _TIME_UNITS.get(str(settings.get("object.cache.time.unit", "MINUTES")))
        if seconds is None:
            raise LookupError(f"object.cache.time.unit is one of {', '.join(_TIME_UNITS)}")
        age = _whole(settings, "object.cache.expiration", 1440) * seconds
        if "object.cache.expiration.minutes" in settings:
            age = _whole(settings, "object.cache.expiration.minutes", 1440) * 60.0
        return cls(
            _whole(settings, "object.cache.size", 1000),
            age,
            _whole(settings, "object.cache.max.file.size", 1_048_576),
        )

    def get(self, path: str) -> Any:
        """The object in a file; None if the file is empty.

        Raises LookupError if the file can't be read, ValueError if it is too large or holds no JSON.
        """
        with self._reading:
            value = self._kept.get(path, ABSENT)
            if value is ABSENT:
                value = self._kept[path] = self._read(path)
            return value

    def _read(self, path: str) -> Any:
        if not path:
            raise ValueError("the path of an object is not empty")
        try:
            data = read(path, self._largest)
        except OSError as error:
            raise LookupError(f"the object {path} can't be read: {error}") from error
        try:
            return json.loads(data) if data.strip() else None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the object {path} is not JSON: {error}") from error


_TIME_UNITS = {
    "NANOSECONDS": 1e-9,
    "MICROSECONDS": 1e-6,
    "MILLISECONDS": 1e-3,
    "SECONDS": 1.0,
    "MINUTES": 60.0,
    "HOURS": 3600.0,
    "DAYS": 86_400.0,
}


class EnrichmentObjects(ObjectCache):
    """The objects of ENRICHMENT_OBJECT_GET, which has settings of its own."""


def _whole(settings: Mapping[str, Any], key: str, default: int) -> int:
    value = to_long(settings.get(key, default))
    if value is None or value < 0:
        raise LookupError(f"{key} is a whole number, not {described(settings[key])}")
    return value


@stellar("OBJECT_GET")
def object_get(context: Context, path: Written | str | None = None) -> Any:
    """An object that is kept in a file, as JSON.

    path: The path of the file, or an address that fsspec can open, such as `hdfs://…`. One that is not written in the
        expression itself must begin as one of `object.get.paths.allowed` of the global configuration does
    returns: The object; null for null, and for an empty file

    It is kept for a day, unless `object.cache.expiration` of the global configuration says otherwise.
    """
    return None if path is None else context.get_or_make(ObjectCache, ObjectCache.of).get(_permitted(context, path))


@stellar("ENRICHMENT_OBJECT_GET", surplus="refuse")
def enrichment_object_get(context: Context, path: Written | str | None, indicator: str | None) -> Any:
    """What a map that is kept in a file, as JSON, says of an indicator.

    path: The path of the file, as of OBJECT_GET
    indicator: The key
    returns: The value; null if there is none, or if an argument is null

    The settings are those of OBJECT_GET, under `enrichment.object.get.settings` of the global configuration.
    """
    if path is None or indicator is None:
        return None
    found = context.get_or_make(EnrichmentObjects, _enrichment_objects).get(_permitted(context, path))
    if not isinstance(found, Mapping):
        raise ValueError(f"ENRICHMENT_OBJECT_GET takes the path of a map, and {path} holds {described(found)}")
    key = member(found, indicator)
    return None if key is ABSENT else found[key]


def _permitted(context: Context, path: str) -> str:
    """The path, if the author of the expression wrote it, or the configuration allows it: a record must not choose."""
    allowed = (context.get(GlobalSettings) or GlobalSettings()).get(ALLOWED_KEY, [])
    if isinstance(path, Written):
        return path
    if isinstance(allowed, list) and path.startswith(tuple(map(str, allowed))) and ".." not in path.split("/"):
        return path
    raise ValueError(f"the path {path!r} is not written in the expression, and {ALLOWED_KEY} does not allow it")


def _enrichment_objects(settings: GlobalSettings) -> EnrichmentObjects:
    own = settings.get("enrichment.object.get.settings", {})
    if not isinstance(own, Mapping):
        raise LookupError("enrichment.object.get.settings is a map")
    return EnrichmentObjects.of(own)
