"""The environment of a test: its clock, and fakes of models, stores and services.

What a test does not list does not exist, so a test never reads a store or calls a service that a run would use.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.functions.enrichments import EnrichmentObjects, ObjectCache
from stellar.functions.geo import AsnDatabase, GeoDatabase
from stellar.functions.rest.client import CallFailure, RestCall, RestClient, RestResponse
from stellar.language.context import NOTHING, Context, GlobalSettings
from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.language.expression import Expression, shell_library
from stellar.maas import MaasError, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.pipeline.config.suites_schema import (
    EnrichmentEntry,
    Fakes,
    ModelReply,
    ProfileEntry,
    RestReply,
)
from stellar.profiles.periods import CLIENT, find_period, read_duration
from stellar.profiles.store import ProfileStore
from stellar.stores.base import Row
from stellar.stores.opening import EnrichmentStore
from stellar.stores.sqlite import SqliteStore
from stellar.util import clock
from stellar.util.abbreviate import abbreviate_value

if TYPE_CHECKING:
    import httpx

_DEFAULT_VERSION = "1.0"


class InvalidFake(ValueError):
    """A fake of a test is invalid."""


@contextmanager
def open_environment(fakes: Iterable[Fakes], time: int, settings: Mapping[str, Any]) -> Iterator[Context]:
    """Yield the context of a test, in which the time is fixed.

    fakes: those of the test, and those of its file, in this order
    time: in milliseconds since 1970
    settings: the global configuration

    Raises InvalidFake for a value that cannot be stored.
    """
    layers = list(fakes)
    with (
        clock.fix_time(time),
        tempfile.TemporaryDirectory(prefix="stellar-") as directory,
        closing(SqliteStore(str(Path(directory) / "store.db"), lambda: time / 1000, is_temporary=True)) as store,
        closing(MemoryRegistry()) as registry,
    ):
        models = {name: replies for layer in reversed(layers) for name, replies in layer.models.items()}
        for name in models:
            _register(registry, name)
        objects = {path: source for layer in reversed(layers) for path, source in layer.objects.items()}
        context = Context(
            {
                GlobalSettings: GlobalSettings(settings),
                EnrichmentStore: store,
                ProfileStore: ProfileStore(store).select(settings),
                GeoDatabase: _KnownLocations(
                    {ip: each for layer in reversed(layers) for ip, each in layer.geo.items()}
                ),
                AsnDatabase: _KnownNetworks({ip: each for layer in reversed(layers) for ip, each in layer.asn.items()}),
                ObjectCache: _KnownObjects(objects),
                EnrichmentObjects: _KnownEnrichmentObjects(objects),
                RestClient: _KnownResponses(settings, [reply for layer in layers for reply in layer.rest]),
                Registry: registry,
                ModelClient: _KnownModels(models),
            }
        )
        _fill(store, context, [row for layer in reversed(layers) for row in layer.enrichments])
        _fill_profiles(context, [value for layer in reversed(layers) for value in layer.profiles], settings)
        yield context


# -- Stores -----------------------------------------------------------------------------------------------------------


def _fill(store: SqliteStore, context: Context, entries: Iterable[EnrichmentEntry]) -> None:
    for table in (*sorted({entry.table for entry in entries}), "enrichment"):
        rows = [
            Row(entry.family, entry.type, entry.indicator, entry.value, entry.interval)
            for entry in entries
            if entry.table == table
        ]
        try:
            store.put_many(table, rows)
        except ValueError as error:
            raise InvalidFake(f"enrichments: {error}") from error


def _fill_profiles(context: Context, values: Iterable[ProfileEntry], settings: Mapping[str, Any]) -> None:
    store = context[ProfileStore]
    for each in values:
        try:
            period = find_period(each.time, read_duration(settings, CLIENT))
            value = each.value if each.expression is None else _evaluate(each.expression, context)
            store.put(each.profile, each.entity, period, value, each.groups)
        except (StellarError, ValueError) as error:
            raise InvalidFake(f"profiles: the value of {each.profile} of {each.entity}: {error}") from error


def _evaluate(source: str, context: Context) -> Any:
    return Expression(source, shell_library())({}, context)


class _KnownLocations(GeoDatabase):
    def __init__(self, locations: Mapping[str, dict[str, str]]) -> None:
        super().__init__("")
        self._locations = locations

    def load(self) -> None:
        """Do nothing: there is no file."""

    def look_up(self, ip: str) -> dict[str, str] | None:
        known = self._locations.get(ip)
        return None if known is None else {**dict.fromkeys(_GEO_FIELDS, ""), **_add_point(known)}


_GEO_FIELDS = ("locID", "country", "city", "postalCode", "dmaCode", "latitude", "longitude", "location_point")


def _add_point(location: Mapping[str, str]) -> dict[str, str]:
    latitude, longitude = location.get("latitude"), location.get("longitude")
    return {**({"location_point": f"{latitude},{longitude}"} if latitude and longitude else {}), **location}


class _KnownNetworks(AsnDatabase):
    def __init__(self, networks: Mapping[str, dict[str, Any]]) -> None:
        super().__init__("")
        self._networks = networks

    def load(self) -> None:
        """Do nothing: there is no file."""

    def look_up(self, ip: str) -> dict[str, Any] | None:
        known = self._networks.get(ip)
        return None if known is None else {"network": ip, **known}


class _KnownObjects(ObjectCache):
    """The objects of a test, each the value of an expression that is evaluated once."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        super().__init__()
        self._sources = sources

    def _read(self, path: str) -> Any:
        if path not in self._sources:
            raise LookupError(f"objects: no object {path}; add one")
        return _evaluate(self._sources[path], NOTHING)


class _KnownEnrichmentObjects(_KnownObjects, EnrichmentObjects):
    """Those of ENRICHMENT_OBJECT_GET."""


# -- Models and services ----------------------------------------------------------------------------------------------


def _register(registry: MemoryRegistry, key: str) -> None:
    name, _, version = key.partition("@")
    model = Model(name.strip(), version.strip() or _DEFAULT_VERSION)
    instance = ServiceInstance.of(model, "1", Endpoint(url="http://127.0.0.1:9"), lasting=True)
    registry.register(instance)


class _KnownModels:
    """A model client whose responses are listed."""

    cooperative = True

    def __init__(self, replies: Mapping[str, list[ModelReply]]) -> None:
        self._replies = {
            (name.strip(), version.strip() or _DEFAULT_VERSION): listed
            for key, listed in replies.items()
            for name, _, version in [key.partition("@")]
        }

    def apply(self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Any = None) -> dict[str, Any]:
        """Return the first response whose arguments are those of the call. Raises MaasError."""
        name, version = str(endpoint.get("name")), str(endpoint.get("version"))
        for reply in self._replies.get((name, version), ()):
            if all(_has(arguments, key, value) for key, value in reply.when.items()):
                if reply.error is not None:
                    raise MaasError(f"{name} {version}: {reply.error}")
                return dict(reply.response or {})
        raise MaasError(f"models: no reply of {name} {version} for {abbreviate_value(arguments, 200)}; add one")

    def record_failure(self, endpoint: Mapping[str, Any], error: MaasError) -> None:
        """Do nothing: the pipeline reports the failure."""


def _has(arguments: Any, name: str, value: Any) -> bool:
    """Return True if a call has an argument. Arguments are sent as strings, so 1 and '1' are equal."""
    if not isinstance(arguments, Mapping) or name not in arguments:
        return False
    given = arguments[name]
    return given is None if value is None else given is not None and to_string(given) == to_string(value)


class _KnownResponses(RestClient):
    def __init__(self, settings: Mapping[str, Any], replies: list[RestReply]) -> None:
        super().__init__(settings)
        self._replies = replies

    def _exchange(self, call: RestCall, url: httpx.URL) -> RestResponse:
        """Return the response that is listed for a request. Raises CallFailure."""
        for reply in self._replies:
            if (reply.method, reply.url) == (call.method, str(url)):
                if reply.error is not None:
                    raise CallFailure(reply.error)
                body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                return RestResponse(reply.status, {}, b"" if reply.body is None else body.encode())
        raise CallFailure(f"rest: no response for {call.method} {url}; add one")
