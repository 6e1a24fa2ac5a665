"""Enrichments of indicators such as addresses and domains: look-ups in a store and in JSON files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Self

from stellar.language.context import Context, GlobalSettings, report_or_log
from stellar.language.conversions import to_long
from stellar.language.library import Written, stellar
from stellar.language.runtime import ABSENT, describe, member
from stellar.language.tagged_json import decode, deserialize
from stellar.stores.base import StoreError
from stellar.stores.opening import EnrichmentStore, look_up, open_store
from stellar.stores.sqlite import SqliteStore
from stellar.util.abbreviate import quote
from stellar.util.filesystems import FileTooLarge, read
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

SqliteEnrichments = SqliteStore  # the name in this module that existing programs import
ALLOWED_KEY = "object.get.paths.allowed"
_MAX_SIZE = "object.cache.max.file.size"
_OWN_SETTINGS = "enrichment.object.get.settings"


def get_store(context: Context) -> EnrichmentStore:
    """Return the store of a context, which is opened on first use. Raises LookupError if none is configured."""
    return context.get_or_make(EnrichmentStore, open_store)  # type: ignore[type-abstract]


def check_store(context: Context) -> None:
    """Check that the configured store can be asked. Raises LookupError if not."""
    try:
        get_store(context).get("", "", "", "")
    except StoreError as error:
        raise LookupError(f"cannot read the enrichment store {error}") from error


@stellar("ENRICHMENT_GET", surplus="refuse", check=check_store)
def get(
    context: Context, type_: str | None, indicator: str | None, table: str | None, column_family: str | None
) -> dict[str, Any]:
    """Look up the enrichment of an indicator.

    type: Type of the enrichment, such as `whois`
    indicator: The indicator, such as a domain
    table: Table of the store
    columnFamily: Column family of the table
    returns: The enrichment as a map; an empty map if it does not exist or the store is not available

    `enrichment.store` in the global configuration names the store.
    """
    found: dict[str, Any] = decode(_look_up(context, type_, indicator, table, column_family) or {})
    return found


@stellar("ENRICHMENT_EXISTS", surplus="refuse", check=check_store)
def exists(
    context: Context, type_: str | None, indicator: str | None, table: str | None, column_family: str | None
) -> bool:
    """Test whether an indicator has an enrichment.

    type: Type of the enrichment, such as `whois`
    indicator: The indicator, such as a domain
    table: Table of the store
    columnFamily: Column family of the table
    returns: True if it has; false otherwise, and if the store is not available
    """
    return _look_up(context, type_, indicator, table, column_family) is not None


def _look_up(
    context: Context, kind: str | None, indicator: str | None, table: str | None, family: str | None
) -> dict[str, Any] | None:
    if kind is None or indicator is None:
        return None
    enrichments = get_store(context)
    try:
        return look_up(enrichments, table or "", family or "", kind, indicator)
    except StoreError as error:  # Metron's result is the same as without an enrichment
        report_or_log(context, "look-up in the enrichment store failed, result is no enrichment", error, log)
        return None


class ObjectCache:
    """A cache of objects read from JSON files.

    size: number of objects
    seconds: time that an object is cached
    largest: maximum size of a file in bytes
    """

    size_key = _MAX_SIZE  # of the setting for `largest`, for messages

    def __init__(self, size: int = 1000, seconds: float = 86_400, largest: int = 1_048_576) -> None:
        self._size, self._seconds, self._largest = size, seconds, largest
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Reset the cache: another thread may have been changing it when the process forked."""
        from cachetools import TTLCache

        self._objects: TTLCache[str, Any] = TTLCache(self._size, self._seconds)
        self._reading = threading.Lock()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the cache that the settings `object.cache.*` describe. Raises LookupError for an invalid setting."""
        seconds = _TIME_UNITS.get(str(settings.get("object.cache.time.unit", "MINUTES")))
        if seconds is None:
            raise LookupError(f"invalid object.cache.time.unit: expected one of {', '.join(_TIME_UNITS)}")
        age = _read_integer(settings, "object.cache.expiration", 1440) * seconds
        if "object.cache.expiration.minutes" in settings:
            age = _read_integer(settings, "object.cache.expiration.minutes", 1440) * 60.0
        return cls(
            _read_integer(settings, "object.cache.size", 1000),
            age,
            _read_integer(settings, _MAX_SIZE, 1_048_576),
        )

    def get(self, path: str) -> Any:
        """Return the object in a file, or None if the file is empty.

        Raises LookupError if the file cannot be read, ValueError if it is too large or is not JSON.
        """
        with self._reading:
            value = self._objects.get(path, ABSENT)
            if value is ABSENT:
                value = self._objects[path] = self._read(path)
            return value

    def _read(self, path: str) -> Any:
        if not path:
            raise ValueError("the path of the object is empty")
        try:
            data = read(path, self._largest)
        except OSError as error:
            raise LookupError(f"cannot read the object {path}: {error}") from error
        except FileTooLarge as error:
            raise ValueError(f"{error}, the limit that {self.size_key} in the global configuration sets") from None
        try:
            return deserialize(data) if data.strip() else None
        except ValueError as error:
            raise ValueError(f"invalid JSON in the object {path}: {error}") from error


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
    """The cache of ENRICHMENT_OBJECT_GET, which has its own settings."""

    size_key = f"{_MAX_SIZE} in {_OWN_SETTINGS}"


def _read_integer(settings: Mapping[str, Any], key: str, default: int) -> int:
    value = to_long(settings.get(key, default))
    if value is None or value < 0:
        raise LookupError(f"invalid {key}: expected a non-negative integer, got {describe(settings[key])}")
    return value


@stellar("OBJECT_GET")
def object_get(context: Context, path: Written | str | None = None) -> Any:
    """Return the object in a JSON file.

    path: Path of the file, or a URL that fsspec supports, such as `hdfs://…`. Unless it is a literal, it must begin
        with one of `object.get.paths.allowed` in the global configuration
    returns: The object; null for null and for an empty file. Tagged JSON, as `stellar eval` prints, is decoded: sets,
        maps, bytes and sketches, such as `{"$stats": "…"}`

    Objects are cached for a day by default; `object.cache.expiration` in the global configuration changes that. A file
    above 1 MiB is an error; `object.cache.max.file.size` there is the limit in bytes.
    """
    return (
        None if path is None else context.get_or_make(ObjectCache, ObjectCache.of).get(_require_allowed(context, path))
    )


@stellar("ENRICHMENT_OBJECT_GET", surplus="refuse")
def enrichment_object_get(context: Context, path: Written | str | None, indicator: str | None) -> Any:
    """Return the value of an indicator in a map that is stored in a JSON file.

    path: Path of the file, as for OBJECT_GET
    indicator: The key
    returns: The value; null if the map does not contain the key, or if an argument is null

    The settings are those of OBJECT_GET, under `enrichment.object.get.settings` in the global configuration.
    """
    if path is None or indicator is None:
        return None
    entries = context.get_or_make(EnrichmentObjects, _make_enrichment_objects).get(_require_allowed(context, path))
    if not isinstance(entries, Mapping):
        raise ValueError(f"ENRICHMENT_OBJECT_GET expected a map in {path}, got {describe(entries)}")
    key = member(entries, indicator)
    return None if key is ABSENT else entries[key]


def _require_allowed(context: Context, path: str) -> str:
    """Return the path if it is a literal or the configuration allows it: data in a record must not choose files."""
    allowed = (context.get(GlobalSettings) or GlobalSettings()).get(ALLOWED_KEY, [])
    if isinstance(path, Written):
        return path
    if isinstance(allowed, list) and path.startswith(tuple(map(str, allowed))) and ".." not in path.split("/"):
        return path
    raise ValueError(f"path {quote(path)} not allowed: it is not a literal, and {ALLOWED_KEY} does not include it")


def _make_enrichment_objects(settings: GlobalSettings) -> EnrichmentObjects:
    own = settings.get(_OWN_SETTINGS, {})
    if not isinstance(own, Mapping):
        raise LookupError(f"invalid {_OWN_SETTINGS}: expected a map")
    return EnrichmentObjects.of(own)
