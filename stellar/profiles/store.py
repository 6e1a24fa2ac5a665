"""The values of profiles in a store, and the variables of entities whose period may still continue.

A value is a row of the table `profiler`: its type is the name of the profile, its key the entity, the groups and the
period, as JSON, so that no two of them share a key. Variables are in a column family of their own, for a short time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stellar.language.conversions import to_string
from stellar.language.expression import compile
from stellar.language.runtime import describe
from stellar.language.tagged_json import deserialize, serialize
from stellar.profiles.builder import Measurement
from stellar.profiles.periods import Period
from stellar.stores.base import STORE_KEY, Row, Store, StoreError
from stellar.stores.opening import open_store

PROFILE_STORE_KEY = "profiler.store"
TABLE_KEY, FAMILY_KEY = "profiler.client.hbase.table", "profiler.client.hbase.column.family"
_SECONDS_A_DAY = 86_400

# The functions that merge values, by the name of their class
_MERGERS = {
    "BloomFilter": "BLOOM_MERGE",
    "Cardinality": "HLLP_MERGE",
    "OnlineSummary": "STATS_MERGE",
    "OrderedSet": "SET_MERGE",
    "OutlierState": "OUTLIER_MAD_STATE_MERGE",
    "Sampler": "SAMPLE_MERGE",
    "set": "SET_MERGE",
}


class NotMergeable(ValueError):
    """Two values of one period cannot be merged."""


class ProfilesComputedHere:
    """A service of a context: the program computes profiles itself, and creates their store before it reads them."""


class SavedState(NamedTuple):
    """The variables of an entity in a period.

    owner: the process or run that saved them
    latest: the largest time of a message
    """

    owner: str
    variables: dict[str, Any]
    latest: int


def merge_values(earlier: Any, later: Any) -> Any:
    """Return the value of two parts of a period. Raises NotMergeable if they are not summaries of one type."""
    kind = type(later).__name__
    if type(earlier).__name__ != kind or kind not in _MERGERS:
        raise NotMergeable(f"{describe(earlier)} and {describe(later)} cannot be merged")
    return compile(f"{_MERGERS[kind]}([a, b])")({"a": earlier, "b": later})


class ProfileStore:
    """Values of profiles in a store. As safe to use from threads and after forks as the store."""

    def __init__(self, store: Store, table: str = "profiler", family: str = "P") -> None:
        self._store = store
        self._table = table
        self._family = family
        self._state_family = f"{family}.state"

    def select(self, settings: Mapping[str, Any]) -> ProfileStore:
        """Return the values in the table and column family that settings name."""
        return ProfileStore(
            self._store, str(settings.get(TABLE_KEY, self._table)), str(settings.get(FAMILY_KEY, self._family))
        )

    def check(self) -> None:
        """Check that values can be read. Raises MissingStore, StoreError."""
        self._store.get(self._table, self._family, "", "")

    def prepare(self) -> None:
        """Create the store if it does not exist. Raises StoreError if it cannot be written."""
        self._store.put_many(self._table, [])

    def write(self, measurements: Iterable[Measurement]) -> None:
        """Store values, replacing those of the same entities, groups and periods.

        Raises ValueError for a value that cannot be stored, and StoreError; then some values may be stored.
        """
        rows = defaultdict(list)
        for each in measurements:
            key = _make_key(each.entity, each.groups, each.period)
            row = Row(self._family, each.profile, key, {"value": serialize(each.value)})
            rows[each.definition.expires].append(row)
        for days, expiring in rows.items():
            self._store.put_many(self._table, expiring, None if days is None else days * _SECONDS_A_DAY)

    def put(self, profile: str, entity: str, period: Period, value: Any, groups: Sequence[Any] = ()) -> None:
        """Store a value, without a definition. Raises ValueError for a value that cannot be stored, and StoreError."""
        row = Row(self._family, profile, _make_key(entity, groups, period), {"value": serialize(value)})
        self._store.put_many(self._table, [row])

    def read(self, profile: str, entity: str, periods: Sequence[Period], groups: Sequence[Any]) -> dict[Period, Any]:
        """Return the values of periods that are stored, in the order of the periods.

        Raises StoreError if the store is not available, or a value in it cannot be read.
        """
        keys = {_make_key(entity, groups, period): period for period in periods}
        found = self._store.get_many(self._table, self._family, profile, keys)
        return {period: self._decode(found[key], key) for key, period in keys.items() if key in found}

    def _decode(self, row: Mapping[str, Any], key: str) -> Any:
        try:
            return deserialize(row["value"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"table {self._table}: the value of {key} is not readable: {error}") from error

    def save(self, profile: str, states: Mapping[tuple[str, Period], SavedState], ttl: float) -> None:
        """Store the variables of entities for some seconds. Raises ValueError if they cannot be stored, StoreError."""
        rows = [
            Row(
                self._state_family,
                profile,
                _make_key(entity, (), period),
                {"value": serialize(state.variables), "owner": state.owner, "latest": state.latest},
            )
            for (entity, period), state in states.items()
        ]
        self._store.put_many(self._table, rows, ttl)

    def load(self, profile: str, entity: str, period: Period) -> SavedState | None:
        """Return the variables of an entity, or None. Raises StoreError."""
        key = _make_key(entity, (), period)
        row = self._store.get(self._table, self._state_family, profile, key)
        return None if row is None else SavedState(str(row["owner"]), self._decode(row, key), int(row["latest"]))

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _make_key(entity: str, groups: Sequence[Any], period: Period) -> str:
    return json.dumps([entity, [to_string(group) for group in groups], period.id, period.duration])


def open_profile_store(settings: Mapping[str, Any]) -> ProfileStore:
    """Open the store that `profiler.store` names, or else `enrichment.store`, in the global configuration.

    Raises LookupError if the setting is missing or invalid, or if the store cannot be written.
    """
    setting = settings.get(PROFILE_STORE_KEY)
    if setting is None and settings.get(STORE_KEY) is None:
        raise LookupError(
            f"no store of profiles configured; set {PROFILE_STORE_KEY} in the global configuration, as in "
            "sqlite:profiles.db"
        )
    key = STORE_KEY if setting is None else PROFILE_STORE_KEY
    store: Any = open_store(settings, key)
    if not hasattr(store, "put_many"):
        raise LookupError(f"the store of {key} cannot be written; use one such as sqlite:profiles.db")
    return ProfileStore(store).select(settings)
