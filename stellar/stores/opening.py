"""Opens the store that a setting names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from stellar.stores.base import STORE_KEY
from stellar.stores.redis import RedisStore
from stellar.stores.sqlite import SqliteStore
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

STORES = "stellar.enrichment_stores"


class EnrichmentStore(Protocol):
    """The smallest store for look-ups, which other packages may implement.

    If it has the method `find` of Store, look-ups call that.
    """

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        """Return the enrichment, or None if it does not exist. Raises StoreError if the store is not available."""


def open_store(settings: Mapping[str, Any], key: str = STORE_KEY) -> EnrichmentStore:
    """Open the store that a key of the global configuration names, by default `enrichment.store`.

    The setting is `sqlite:PATH`, `redis://HOST:PORT/DATABASE` (`rediss://…` for TLS), or `NAME:REST`, where NAME is an
    entry point of the group `stellar.enrichment_stores`, which is called with REST.

    Raises LookupError if the setting is missing or invalid, and if the store is unknown.
    """
    setting = settings.get(key)
    if setting is None or setting == "":
        raise LookupError(
            f"no enrichment store configured; set {key} in the global configuration, as in sqlite:enrichments.db"
        )
    name, colon, rest = setting.partition(":") if isinstance(setting, str) else ("", "", "")
    if not colon:
        raise LookupError(
            f"invalid store {quote(setting)} in {key}: expected a kind and a colon before the location, "
            "as in sqlite:enrichments.db"
        )
    if name in STORES_BY_NAME:
        return STORES_BY_NAME[name](rest, key)
    from importlib.metadata import entry_points

    for entry_point in entry_points(group=STORES, name=name):
        make: Callable[[str], EnrichmentStore] = entry_point.load()
        return make(rest)
    raise LookupError(
        f"unknown store {quote(name)} in {key}; sqlite, redis and rediss are built in, "
        "others need their package installed"
    )


def _open_sqlite(path: str, key: str) -> SqliteStore:
    if path in ("", ":memory:"):  # SQLite would open a database that ends with the connection
        raise LookupError(f"expected a file after sqlite: in {key}, as in sqlite:enrichments.db, got {quote(path)}")
    return SqliteStore(path)


STORES_BY_NAME: dict[str, Callable[[str, str], EnrichmentStore]] = {
    "sqlite": _open_sqlite,
    "redis": lambda rest, key: RedisStore(f"redis:{rest}"),
    "rediss": lambda rest, key: RedisStore(f"rediss:{rest}"),
}


def look_up(store: EnrichmentStore, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
    """Return the map of an indicator, or of the smallest network or range that contains it, or None.

    The first look-up that finds nothing because nothing was ever stored under its names logs a warning: most probably a
    name is misspelt, or a file was not loaded.

    Raises StoreError if the store is not available.
    """
    find: Callable[[str, str, str, str], dict[str, Any] | None] = getattr(store, "find", store.get)
    found = find(table, family, kind, indicator)
    if found is None and (list_types := getattr(store, "types", None)) is not None:
        names, checked = (table, family, kind), _CHECKED.setdefault(store, set())
        if names not in checked:
            checked.add(names)
            _warn_unless_stored(list_types(table), *names)
    return found


_CHECKED: WeakKeyDictionary[EnrichmentStore, set[tuple[str, str, str]]] = WeakKeyDictionary()


def _warn_unless_stored(types: set[tuple[str, str]], table: str, family: str, kind: str) -> None:
    if not types:
        log.warning(
            "nothing was ever stored in the table %s of the enrichment store; check its name, or load a file",
            quote(table),
        )
    elif (family, kind) not in types:
        name = "{1} in the family {0}"
        hint = suggest_name(name.format(family, kind), {name.format(*each) for each in types})
        log.warning(
            "nothing of the type %s in the family %s was ever stored in the table %s of the enrichment store; %s",
            *map(quote, (kind, family, table)),
            hint,
        )
