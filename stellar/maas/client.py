"""Asking models: the request, the cache of answers, and what happens when an instance fails."""

from __future__ import annotations

import copy
import json
import logging
import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import quote, quote_plus

from cachetools import TTLCache

from stellar.maas.errors import MaasError, ModelRefused, ModelUnavailable
from stellar.maas.registry import VERSION_ORDERS, Registry
from stellar.maas.schema import CONFIG_PATH, read_json
from stellar.maas.transport import HttpTransport, Patience, Transport

log = logging.getLogger(__name__)

Result = dict[str, Any]


@dataclass(frozen=True)
class ClientSettings:
    """How models are asked; the keys of Metron's global configuration stand beside the fields.

    cache_size: answers kept; 0 keeps none                                        maas.cache.maxSize
    cache_minutes: how long they are kept; 0 keeps none                           maas.cache.maxTimeRetain
    retries: other instances to try when one fails                                maas.http.retries
    connect_timeout_ms: how long to wait for a connection                         maas.http.connect.timeout.ms
    timeout_ms: how long to wait for the whole answer                             maas.http.timeout.ms
    response_bytes: how large an answer may be                                    maas.http.max.response.bytes
    version_order: "natural" or "lexical"; to be given to the registry            maas.version.comparison
    config_path: where its configuration is; to be given to the registry          maas.zk.config.path
    """

    cache_size: int = 100_000
    cache_minutes: float = 10
    retries: int = 1
    connect_timeout_ms: float = 1000
    timeout_ms: float = 5000
    response_bytes: int = 1 << 20
    version_order: str = "natural"
    config_path: str = CONFIG_PATH

    @property
    def patience(self) -> Patience:
        return Patience(self.connect_timeout_ms / 1000, self.timeout_ms / 1000, self.response_bytes)

    @classmethod
    def from_global(cls, configuration: Mapping[str, Any]) -> ClientSettings:
        """The settings that a global configuration holds; keys that are not ours are left alone.

        Raises ValueError, naming the key, for a value that can't be used.
        """
        return cls(
            **{name: read(configuration[key], key) for key, (name, read) in _KEYS.items() if key in configuration}
        )


def _number(value: Any, key: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number < math.inf:
        raise ValueError(f"{key}: a number of 0 or more is needed here, not {value!r}")
    return number


def _whole(value: Any, key: str) -> int:
    number = _number(value, key)
    if number != int(number):
        raise ValueError(f"{key}: a whole number is needed here, not {value!r}")
    return int(number)


def _positive(value: Any, key: str) -> float:
    return _number(value, key) or _refuse(f"{key}: it must be more than 0")


def _order(value: Any, key: str) -> str:
    return str(value) if value in VERSION_ORDERS else _refuse(f"{key}: {' or '.join(VERSION_ORDERS)}, not {value!r}")


def _path(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{key}: a path such as {CONFIG_PATH} is needed here, not {value!r}")
    return value


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


_KEYS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "maas.cache.maxSize": ("cache_size", _whole),
    "maas.cache.maxTimeRetain": ("cache_minutes", _number),
    "maas.http.retries": ("retries", _whole),
    "maas.http.connect.timeout.ms": ("connect_timeout_ms", _positive),
    "maas.http.timeout.ms": ("timeout_ms", _positive),
    "maas.http.max.response.bytes": ("response_bytes", _whole),
    "maas.version.comparison": ("version_order", _order),
    "maas.zk.config.path": ("config_path", _path),
}


class ModelClient:
    """Asks models over HTTP. Safe to use from many threads; make one and share it.

    registry: where other instances of a model are found when one fails
    transport: what carries the requests; by default HTTP with keep-alive connections
    clock: seconds, for the age of cached answers

    An answer is cached by the model's name and version, the function and the arguments, not by the instance that gave
    it. Equal calls at the same moment make one request. An instance that fails goes to quarantine.
    """

    def __init__(
        self,
        registry: Registry,
        settings: ClientSettings | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._registry = registry
        self._settings = settings = settings or ClientSettings()
        self._transport = transport or HttpTransport(settings.patience)
        self._caching = settings.cache_size > 0 and settings.cache_minutes > 0
        self._answers: TTLCache[tuple[str, ...], Result] = TTLCache(
            settings.cache_size, settings.cache_minutes * 60, timer=clock
        )
        self._flights: dict[tuple[str, ...], Future[Result]] = {}
        self._lock = threading.Lock()

    def apply(
        self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Result:
        """What the model answers to these arguments: a JSON object, which is the caller's to change.

        endpoint: a map of name, version and url, and of `endpoint:<function>` where functions have paths of their own
        function: a function of the endpoint, or a path; by default the function `apply`

        Raises ModelUnavailable or ModelRefused.
        """
        path, query = function_path(endpoint, function), encode_query(arguments or {})
        key = (*_identity(endpoint), path, query)
        with self._lock:
            if (known := self._answers.get(key)) is not None:
                return _own(known)
            flight = self._flights.get(key)
            if leading := flight is None:
                flight = self._flights[key] = Future()
        if not leading:
            return _own(flight.result())
        try:
            answer = self._ask(endpoint, f"{path}?{query}")
        except BaseException as error:
            self._land(key)
            flight.set_exception(error if isinstance(error, MaasError) else ModelUnavailable(f"interrupted: {error!r}"))
            raise
        self._land(key, answer)
        flight.set_result(answer)
        return _own(answer)

    def _land(self, key: tuple[str, ...], answer: Result | None = None) -> None:
        with self._lock:
            del self._flights[key]
            if answer is not None and self._caching:
                self._answers[key] = answer

    def _ask(self, endpoint: Mapping[str, Any], request: str) -> Result:
        failure: MaasError = ModelUnavailable("no instance was asked")
        for url in islice(self._to_try(endpoint), 1 + self._settings.retries):
            try:
                return self._ask_one(url, request)
            except MaasError as error:
                log.info("%s", error)
                failure = error
        raise failure

    def _to_try(self, endpoint: Mapping[str, Any]) -> Iterator[str]:
        """The address that is given, then others of the same model; one in quarantine only if there is no other."""
        given = str(endpoint.get("url"))
        if fresh := given not in self._registry.quarantine:
            yield given
        others = [url for url in self._others(endpoint, given) if url not in self._registry.quarantine]
        yield from others
        if not fresh and not others:
            yield given

    def _others(self, endpoint: Mapping[str, Any], given: str) -> list[str]:
        name, version = endpoint.get("name"), endpoint.get("version")
        if name is None or version is None:  # a map made by hand, of no registered model
            return []
        urls = {instance.url for instance in self._registry.instances(str(name), str(version))} - {given}
        return random.sample(sorted(urls), len(urls))

    def _ask_one(self, url: str, request: str) -> Result:
        try:
            return self._request(url, request)
        except MaasError:
            self._registry.quarantine.add(url)
            raise

    def _request(self, url: str, request: str) -> Result:
        address = f"{_checked_url(url).removesuffix('/')}/{request}"
        answer = self._transport.get(address)
        if answer.status != 200:
            raise ModelRefused(f"{address} answered with status {answer.status}, not 200")
        try:
            result = read_json(answer.body)
        except ValueError as error:
            raise ModelRefused(f"{address} answered with something that is not JSON: {error}") from None
        if not isinstance(result, dict):
            raise ModelRefused(f"{address} answered with a JSON {_KINDS[type(result)]}, not an object")
        return result

    def close(self) -> None:
        """Let go of all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_KINDS = {list: "array", str: "text", int: "number", float: "number", bool: "boolean", type(None): "null"}


def _identity(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes two endpoints the same model: name and version, else the address."""
    name, version = endpoint.get("name"), endpoint.get("version")
    return (str(endpoint.get("url")),) if name is None or version is None else (str(name), str(version))


def _own(result: Result) -> Result:
    """A copy that the caller may change."""
    return {key: copy.deepcopy(value) if value.__class__ in (dict, list) else value for key, value in result.items()}


def _checked_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not rest.strip("/"):
        raise ModelUnavailable(f"the endpoint's url {url!r} is not an http or https address")
    return url


def function_path(endpoint: Mapping[str, Any], function: str | None) -> str:
    """The path of a function, without a leading slash: what the endpoint says of it, else its own name."""
    asked = "apply" if function is None else function
    path = str(endpoint.get(f"endpoint:{asked}", asked)).removeprefix("/")
    if {".", ".."} & set(path.split("/")):
        raise ModelRefused(f"the function {path!r} leads out of the model's address")
    return quote(path, safe="/:@!$&'()*+,;=~%", errors="replace")


def encode_query(arguments: Mapping[str, Any]) -> str:
    """The arguments as a form's query in UTF-8, in their order; one that is null is a bare name.

    Truth values are `true` and `false`, lists and maps compact JSON.
    """
    return "&".join(
        _encode(_text(name)) if value is None else f"{_encode(_text(name))}={_encode(_text(value))}"
        for name, value in arguments.items()
    )


def _encode(text: str) -> str:
    return quote_plus(text, safe="*", errors="replace").replace("~", "%7E")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, list, tuple, set, frozenset, Mapping)) or value is None:
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: what is no number has none, and whatever else there is becomes its text."""
    if isinstance(value, Mapping):
        return {_text(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else _text(value)
