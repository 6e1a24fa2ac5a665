"""Adapters that look up the value of a field: geo, host, hbaseEnrichment and hbaseThreatIntel."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from stellar.functions.enrichments import check_store, get_store
from stellar.functions.geo import open_geo
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record
from stellar.stores.base import StoreError
from stellar.stores.opening import look_up
from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import AdapterConfig, StageConfig

log = logging.getLogger(__name__)

HOSTS_KEY = "enrichment.host.known_hosts"
# Metron's settings for the table and column family, with their defaults
_ENRICHMENT = (("enrichment.simple.hbase.table", "enrichment"), ("enrichment.simple.hbase.cf", "t"))
_THREAT_INTEL = (("threat.intel.simple.hbase.table", "threatintel"), ("threat.intel.simple.hbase.cf", "t"))

_POLL_SECONDS = 1.0
_POLL_SECONDS_WHILE_AWAY = 10.0


@dataclass(frozen=True, slots=True)
class LookUp:
    """The look-up of the value of one field.

    adapter: the name of the adapter
    field: the field
    prefix: how the names of new fields begin
    find: returns values by the rest of these names; raises an exception if it cannot
    blocks: True if it may block its thread
    generation: returns a number that changes with the data, for the cache
    is_remote: returns True if it waits for a network
    """

    adapter: str
    field: str
    prefix: str
    find: Callable[[Any], Mapping[str, Any]]
    blocks: bool = False
    is_cached: bool = False
    generation: Callable[[], int] = int
    is_remote: Callable[[], bool] = bool

    @property
    def waits(self) -> bool:
        """See EnrichmentTask."""
        return self.is_remote()

    @property
    def input_fields(self) -> frozenset[str]:
        """See EnrichmentTask."""
        return frozenset({self.field})

    def has_input(self, record: Record) -> bool:
        """See EnrichmentTask."""
        return record.get(self.field) is not None

    def make_key(self, record: Record) -> Hashable | None:
        """See EnrichmentTask."""
        return self.generation(), to_string(record[self.field])

    def run(self, record: Record) -> Record:
        """See EnrichmentTask."""
        return {f"{self.prefix}{name}": value for name, value in self.find(record[self.field]).items()}

    def describe_input(self, record: Record) -> Record:
        """See EnrichmentTask."""
        return {self.prefix.removesuffix("."): record.get(self.field)}

    def describe_failure(self, error: Exception) -> str:
        """See EnrichmentTask."""
        return self.field


class StoreWatch:
    """Returns the generation of a table, for which it asks the store at most once a second.

    While the store is not available, it returns the last one: results in the cache stay valid until they expire.

    table: None is all tables
    """

    def __init__(self, context: Context, table: str | None = None) -> None:
        self._context, self._table = context, table
        self._generation = 0
        self._next = 0.0
        self._asking = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock: another thread may have held it."""
        self._asking = threading.Lock()

    def __call__(self) -> int:
        if monotonic() >= self._next and self._asking.acquire(blocking=False):
            try:
                self._ask()
            finally:
                self._asking.release()
        return self._generation

    def _ask(self) -> None:
        self._next = monotonic() + _POLL_SECONDS
        try:
            generation = getattr(get_store(self._context), "generation", None)
            self._generation = 0 if generation is None else generation(self._table)
        except (StoreError, LookupError):  # the next look-up that is not cached fails and is reported
            self._next = monotonic() + _POLL_SECONDS_WHILE_AWAY


@dataclass(frozen=True)
class AdapterContext:
    """The environment in which the look-ups of an adapter are built.

    stage: `enrichments` or `threatintels`, with which the names of new fields begin
    name: the name of the adapter
    adapter: its configuration
    config: the configuration of its stage
    location: its location in the file
    stage_location: the location of its stage
    """

    stage: str
    name: str
    adapter: AdapterConfig
    config: StageConfig
    location: SourceLocation
    stage_location: SourceLocation
    builder: BuildContext

    def read_fields(self) -> list[str]:
        """Return the fields to look up. Raises ConfigError if they are not a list of strings."""
        fields: Any = self.adapter.config
        is_list = self.adapter.type == "LIST" and isinstance(fields, list)
        if not is_list or not all(isinstance(field, str) for field in fields):
            raise self.location.error('expected a list of fields, such as ["ip_src_addr", "ip_dst_addr"]')
        return list(fields)

    def make_prefix(self, field: str) -> str:
        """Return how the names of new fields begin, for the field that is looked up."""
        return f"{self.stage}.{self.name}.{field}."

    def add_check(self, check: Callable[[Context], object]) -> None:
        """Add a check of what the adapter needs, which raises LookupError with the problem and its fix."""
        self.builder.checks.append((self.location, f"adapter {self.name}", check))


def build_geo(adapter: AdapterContext) -> list[LookUp]:
    """Return the look-ups of the adapter geo: locations of addresses in a database of MaxMind."""
    fields = adapter.read_fields()
    if fields:
        adapter.add_check(lambda context: open_geo(context).load())

    def find(value: object) -> Mapping[str, Any]:
        return open_geo(adapter.builder.context).look_up(to_string(value)) or {}

    return [LookUp(adapter.name, field, adapter.make_prefix(field), find, is_cached=True) for field in fields]


def build_host(adapter: AdapterContext) -> list[LookUp]:
    """Return the look-ups of the adapter host: properties of known hosts in the global configuration."""
    fields = adapter.read_fields()
    hosts = _read_hosts(adapter) if fields else {}

    def find(value: object) -> Mapping[str, Any]:
        return hosts.get(to_string(value), {})

    return [LookUp(adapter.name, field, adapter.make_prefix(field), find) for field in fields]


def _read_hosts(adapter: AdapterContext) -> dict[str, dict[str, Any]]:
    if HOSTS_KEY not in adapter.builder.settings:
        log.warning("%s: no known hosts; set %s in the global configuration", adapter.location, HOSTS_KEY)
    value = adapter.builder.settings.get(HOSTS_KEY, [])
    error = adapter.builder.global_location / HOSTS_KEY
    if isinstance(value, str):  # as in Metron's file of properties
        try:
            value = json.loads(value)
        except ValueError as reason:
            raise error.error(f"invalid JSON: {reason}") from reason
    hosts: dict[str, dict[str, Any]] = {}
    for host in value if isinstance(value, list) else [value]:
        if not isinstance(host, Mapping) or not isinstance(host.get("ip"), str):
            raise error.error(
                'expected a list of maps with an address, such as [{"ip": "10.0.0.1", "type": "printer"}]'
            )
        hosts[host["ip"]] = {f"known_info.{key}": each for key, each in host.items() if key != "ip"}
    return hosts


def build_hbase_enrichment(adapter: AdapterContext) -> list[LookUp]:
    """Return the look-ups of the adapter hbaseEnrichment: maps in the enrichment store."""
    return _build_store_look_ups(adapter, _ENRICHMENT, _unfold)


def build_hbase_threat_intel(adapter: AdapterContext) -> list[LookUp]:
    """Return the look-ups of the adapter hbaseThreatIntel: indicators in the enrichment store."""
    return _build_store_look_ups(adapter, _THREAT_INTEL, lambda kind, value: {kind: "alert"})


def _unfold(kind: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {f"{kind}.{column}": each for column, each in value.items()}


Location = Sequence[tuple[str, str]]


def _build_store_look_ups(
    adapter: AdapterContext, location: Location, describe: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
) -> list[LookUp]:
    fields = adapter.read_fields()
    table, default_family = (_read_name(adapter, key, default) for key, default in location)
    families = _read_families(adapter)
    context = adapter.builder.context
    watch = StoreWatch(context, table)

    def find(kinds: Sequence[tuple[str, str]], value: object) -> Mapping[str, Any]:
        indicator = to_string(value)
        store = get_store(context)
        found: dict[str, Any] = {}
        for kind, family in kinds if indicator else ():
            if (columns := look_up(store, table, family, kind, indicator)) is not None:
                found.update(describe(kind, columns))
        return found

    def is_remote() -> bool:
        return bool(getattr(get_store(context), "waits", True))

    look_ups = []
    for field in fields:
        types = adapter.config.field_to_type_map.get(field.rpartition(".")[2], [])
        if not types:  # as in Metron's examples
            log.warning(
                "%s: no type in fieldToTypeMap for the field %s, so nothing is looked up", adapter.location, field
            )
        kinds = [(kind, families.get(kind, default_family)) for kind in types]
        prefix, has_kinds = adapter.make_prefix(field), bool(kinds)
        find_kinds = partial(find, kinds)
        look_ups.append(LookUp(adapter.name, field, prefix, find_kinds, has_kinds, has_kinds, watch, is_remote))
        if kinds:
            adapter.add_check(check_store)
    return look_ups


def _read_name(adapter: AdapterContext, key: str, default: str) -> str:
    name = adapter.builder.settings.get(key, default)
    if not isinstance(name, str) or not name:
        raise (adapter.builder.global_location / key).error(
            f"expected a name, such as {quote(default)}, got {quote(name)}"
        )
    return name


FAMILIES = "typeToColumnFamily"


def _read_families(adapter: AdapterContext) -> Mapping[str, str]:
    families = adapter.config.config.get(FAMILIES) or {}
    if not isinstance(families, Mapping) or not all(isinstance(family, str) for family in families.values()):
        raise (adapter.stage_location / "config" / FAMILIES).error(
            'expected a map from type to column family, such as {"whois": "t"}'
        )
    return families
