"""Asking models: the request, the cache of answers, and what happens when an instance fails.

A call goes  cache of answers → single flight → batch → instances to try, one after the other → place in the traffic →
transport; each step is left out where it is not asked for.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import quote, quote_plus

from cachetools import TTLCache

from stellar.fibers import Promise, offload
from stellar.maas.addresses import AllowedHosts, trouble_with
from stellar.maas.batches import Answered, Arguments, Batcher
from stellar.maas.errors import MaasError, ModelRefused, ModelTimeOut, ModelUnavailable, Reason, RecordRefused
from stellar.maas.instances import Generations, Strikes, Traffic
from stellar.maas.registry import VERSION_ORDERS, Registry
from stellar.maas.schema import CONFIG_PATH, Model, read_json
from stellar.maas.shadow import BoundedFile, OnDisagreement, Shadows
from stellar.maas.traffic import chosen_anew
from stellar.maas.transport import Answer, HttpTransport, Patience, Transport, Trust

log = logging.getLogger(__name__)

Result = dict[str, Any]
OnFailure = Callable[[str | None, str | None, Reason, str | None], object]

CHOICES = ("uniform", "least-busy")

# A hedged call runs in a thread of its own, and so do those that lost and still wait
HEDGE_THREADS = 512

MOST_SAID = 1000  # addresses that are not allowed are named once; names without end must not fill the memory


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
    deadline_ms: how long a call may take with all its tries; 0 for no limit      maas.http.deadline.ms
    max_in_flight: requests to one instance at a time; 0 for no limit             maas.http.max.in.flight
    choice: "uniform" or "least-busy" of two instances                            maas.choice
    quarantine_failures: failures in a row that put an instance in quarantine     maas.quarantine.failures
    hedge_ms: when a second instance is asked besides the first; 0 for never      maas.http.hedge.ms
    batch_size: calls merged into one request, where a model has `batch`          maas.batch.size
    batch_wait_ms: how long the first of them waits for others                    maas.batch.wait.ms
    shadow_file: where a shadow's other answers are written; none for nowhere     maas.shadow.file
    shadow_keys: which members of the answers are compared; none for all          maas.shadow.keys
    shadow_in_flight: calls that are with shadows at a time                       maas.shadow.in.flight
    hosts_allowed: hosts that may be asked; all, if none is named                 maas.hosts.allowed
    tls_ca: a file with the authorities to trust, if not those of the system      maas.tls.ca
    tls_certificate, tls_key: files with our own                maas.tls.certificate, maas.tls.key
    http_auth: a file with what models are told of who we are                     maas.http.auth
    http_auth_plain: whether they are told by http too, and not by https alone    maas.http.auth.plain
    """

    cache_size: int = 100_000
    cache_minutes: float = 10
    retries: int = 1
    connect_timeout_ms: float = 1000
    timeout_ms: float = 5000
    response_bytes: int = 1 << 20
    version_order: str = "natural"
    config_path: str = CONFIG_PATH
    deadline_ms: float = 0
    max_in_flight: int = 128
    choice: str = "uniform"
    quarantine_failures: int = 1
    hedge_ms: float = 0
    batch_size: int = 64
    batch_wait_ms: float = 2
    shadow_file: str = ""
    shadow_keys: tuple[str, ...] = ()
    shadow_in_flight: int = 8
    hosts_allowed: tuple[str, ...] = ()
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    http_auth: str | None = None
    http_auth_plain: bool = False

    def __post_init__(self) -> None:
        AllowedHosts.of(self.hosts_allowed)
        if self.http_auth is not None and not self.hosts_allowed:
            raise ValueError("maas.http.auth needs maas.hosts.allowed, or whoever registers an address is told it")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("maas.tls.certificate and maas.tls.key go together")

    @property
    def patience(self) -> Patience:
        return Patience(self.connect_timeout_ms / 1000, self.timeout_ms / 1000, self.response_bytes)

    @property
    def trust(self) -> Trust:
        return Trust(self.tls_ca, self.tls_certificate, self.tls_key, self.http_auth, self.http_auth_plain)

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


def _count(value: Any, key: str) -> int:
    return _whole(value, key) or _refuse(f"{key}: it must be 1 or more")


def _choice(value: Any, key: str) -> str:
    return str(value) if value in CHOICES else _refuse(f"{key}: {' or '.join(CHOICES)}, not {value!r}")


def _positive(value: Any, key: str) -> float:
    return _number(value, key) or _refuse(f"{key}: it must be more than 0")


def _order(value: Any, key: str) -> str:
    return str(value) if value in VERSION_ORDERS else _refuse(f"{key}: {' or '.join(VERSION_ORDERS)}, not {value!r}")


def _path(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{key}: a path such as {CONFIG_PATH} is needed here, not {value!r}")
    return value


def _file(value: Any, key: str) -> str:
    return value if isinstance(value, str) else _refuse(f"{key}: a path is needed here, not {value!r}")


def _names(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    return _refuse(f"{key}: a list of texts is needed here, not {value!r}")


def _hosts(value: Any, key: str) -> tuple[str, ...]:
    hosts = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(hosts, list) or not hosts or not all(isinstance(host, str) for host in hosts):
        raise ValueError(f"{key}: a list of hosts is needed here, not {value!r}")
    try:
        AllowedHosts.of(hosts)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    return tuple(hosts)


def _readable(value: Any, key: str) -> str:
    if not isinstance(value, str) or not os.path.isfile(value) or not os.access(value, os.R_OK):
        raise ValueError(f"{key}: a file that can be read is needed here, not {value!r}")
    return value


def _truth(value: Any, key: str) -> bool:
    return value if isinstance(value, bool) else _refuse(f"{key}: true or false is needed here, not {value!r}")


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
    "maas.http.deadline.ms": ("deadline_ms", _number),
    "maas.http.max.in.flight": ("max_in_flight", _whole),
    "maas.choice": ("choice", _choice),
    "maas.quarantine.failures": ("quarantine_failures", _count),
    "maas.http.hedge.ms": ("hedge_ms", _number),
    "maas.batch.size": ("batch_size", _count),
    "maas.batch.wait.ms": ("batch_wait_ms", _number),
    "maas.shadow.file": ("shadow_file", _file),
    "maas.shadow.keys": ("shadow_keys", _names),
    "maas.shadow.in.flight": ("shadow_in_flight", _count),
    "maas.hosts.allowed": ("hosts_allowed", _hosts),
    "maas.tls.ca": ("tls_ca", _readable),
    "maas.tls.certificate": ("tls_certificate", _readable),
    "maas.tls.key": ("tls_key", _readable),
    "maas.http.auth": ("http_auth", _readable),
    "maas.http.auth.plain": ("http_auth_plain", _truth),
}


@dataclass(slots=True)
class Counters:
    """What a client has done so far.

    calls: of `apply`; each is one of a cache hit, joined to an equal call under way, or asked
    cache_hits, joined: those that made no request of their own
    requests: what went to instances, with retries and hedges; a batch is one
    retries: requests because another one had failed
    hedged: requests because another one was slow
    quarantined: how often an instance was put in quarantine
    failures: calls without an answer, by their reason; those of models that are not registered are not among the calls
    compared, disagreed: calls that a shadow has answered too, and those of them to which it answered something else
    shadow_failed, shadow_dropped: those that it did not answer, and those that it was not asked because it was busy
    """

    calls: int = 0
    cache_hits: int = 0
    joined: int = 0
    requests: int = 0
    retries: int = 0
    hedged: int = 0
    quarantined: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)
    compared: int = 0
    disagreed: int = 0
    shadow_failed: int = 0
    shadow_dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Request:
    """What goes to whichever instance is asked: the rest of its address, and the body of a POST.

    until: when the whole call must have ended; None for no such moment
    read: what an answer says; raises ModelRefused
    """

    rest: str
    body: bytes | None
    until: float | None
    read: Callable[[str, Answer], list[Result]]

    def seconds(self) -> float:
        """What is left of the time. Raises ModelTimeOut if nothing is."""
        if self.until is None:
            return math.inf
        if (left := self.until - monotonic()) <= 0:
            raise ModelTimeOut("no instance answered before the call's deadline")
        return left


Answers = tuple[list[Result], str]


class ModelClient:
    """Asks models over HTTP. Safe to use from many threads; make one and share it.

    registry: where other instances of a model are found when one fails
    transport: what carries the requests; by default HTTP with keep-alive connections
    clock: seconds, for the age of cached answers
    on_failure: called with name, version, reason and address for each call without an answer, in the caller's thread
    on_disagreement: called for each answer of a shadow that is another one than the caller got, in another thread

    An answer is cached by the model's name and version, the function and the arguments, not by the instance that gave
    it, until all instances of that version have been replaced. Equal calls at the same moment make one request. An
    instance that fails goes to quarantine; one that finds fault with what it was asked does not fail.
    """

    gives_way = True  # in a fiber, where it waits

    def __init__(
        self,
        registry: Registry,
        settings: ClientSettings | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = monotonic,
        on_failure: OnFailure | None = None,
        on_disagreement: OnDisagreement | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings = settings or ClientSettings()
        self._patience = settings.patience
        self._allowed = AllowedHosts.of(settings.hosts_allowed)
        self._said_of: set[str] = set()
        self._transport = transport or HttpTransport(self._patience, settings.trust)
        self._through = _called if getattr(self._transport, "gives_way", False) else offload
        self._caching = settings.cache_size > 0 and settings.cache_minutes > 0
        self._answers: TTLCache[tuple[object, ...], Result] = TTLCache(
            settings.cache_size, settings.cache_minutes * 60, timer=clock
        )
        self._flights: dict[tuple[object, ...], Promise[Result]] = {}
        self._lock = threading.Lock()
        self._counters = Counters()
        self._on_failure = on_failure
        self._generations = Generations(registry)
        self._strikes = Strikes(registry, settings.quarantine_failures)
        self._traffic = Traffic(settings.max_in_flight)
        self._batcher = Batcher(settings.batch_size, settings.batch_wait_ms / 1000)
        self._hedges: ThreadPoolExecutor | None = None
        self._shadows = Shadows(
            registry,
            self._ask_shadow,
            settings.shadow_in_flight,
            settings.shadow_keys,
            BoundedFile(settings.shadow_file) if settings.shadow_file else None,
            on_disagreement,
        )

    def counters(self) -> Counters:
        """What was done so far, as it stands at this moment."""
        shadows = asdict(self._shadows.counters())
        with self._lock:
            return replace(self._counters, failures=Counter(self._counters.failures), **shadows)

    def apply(
        self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Result:
        """What the model answers to these arguments: a JSON object, which is the caller's to change.

        endpoint: a map of name, version and url, and of `endpoint:<function>` where functions have paths of their own
        function: a function of the endpoint, or a path; by default the function `apply`

        Where the endpoint's version was chosen by the registry, and its last instance is gone when it is asked, another
        one is chosen.

        Raises ModelUnavailable or ModelRefused.
        """
        try:
            return self._applied(endpoint, function, arguments or {})
        except MaasError as error:
            if (instead := chosen_anew(endpoint, self._registry)) is not None:
                log.info("%s; %s is asked instead", error, _model(instead))
                return self.apply(instead, function, arguments)
            self.failed(endpoint, error)
            raise

    def _applied(self, endpoint: Mapping[str, Any], function: str | None, arguments: Arguments) -> Result:
        path, query = function_path(endpoint, function), encode_query(arguments)
        model = _model(endpoint)
        generation = 0 if model is None else self._generations.of(model)
        key = (model or endpoint.get("url"), generation, path, query)
        with self._lock:
            self._counters.calls += 1
            if self._caching and (known := self._answers.get(key)) is not None:
                self._counters.cache_hits += 1
                return _own(known)
            flight = self._flights.get(key)
            if leading := flight is None:
                flight = self._flights[key] = Promise()
            else:
                self._counters.joined += 1
        if not leading:
            return _own(flight.get())
        try:
            answer, url = self._asked(endpoint, function, f"{path}?{query}", arguments, key[:2])
            lasting = self._caching and (model is None or self._generations.is_present(model, generation, url))
        except BaseException as error:
            self._land(key)
            flight.fail(error if isinstance(error, MaasError) else ModelUnavailable(f"interrupted: {error!r}"))
            raise
        self._land(key, answer if lasting else None)
        flight.keep(answer)
        self._shadows.show(endpoint, function, query, answer)
        return _own(answer)

    def _land(self, key: tuple[object, ...], answer: Result | None = None) -> None:
        with self._lock:
            del self._flights[key]
            if answer is not None:
                self._answers[key] = answer

    def failed(self, endpoint: Mapping[str, Any], error: MaasError) -> None:
        """Count a call that had no answer, and tell who listens; `apply` does so by itself.

        It is for calls that could not even be made: where no such model is registered, there is none to apply.
        """
        with self._lock:
            self._counters.failures[error.reason] += 1
        if self._on_failure is None:
            return
        name, version = (None if endpoint.get(key) is None else str(endpoint[key]) for key in ("name", "version"))
        try:
            self._on_failure(name, version, error.reason, error.url)
        except Exception:  # who listens must not change what a call does
            log.exception("what is called for each failed call of a model failed itself")

    def _counted(self, what: str) -> None:
        with self._lock:
            setattr(self._counters, what, getattr(self._counters, what) + 1)

    # -- One call, alone or with others

    def _asked(
        self,
        endpoint: Mapping[str, Any],
        function: str | None,
        rest: str,
        arguments: Arguments,
        lane: tuple[object, ...],
    ) -> Answered:
        until = monotonic() + self._settings.deadline_ms / 1000 if self._settings.deadline_ms else None
        if self._settings.batch_size > 1 and function in (None, "apply") and "endpoint:batch" in endpoint:
            path = function_path(endpoint, "batch")
            return self._batcher.ask((*lane, path), arguments, partial(self._ask_batch, endpoint, path, until))
        (result,), url = self._ask(endpoint, _Request(rest, None, until, _one))
        return Answered(result, url)

    def _ask_batch(
        self, endpoint: Mapping[str, Any], path: str, until: float | None, calls: list[Arguments]
    ) -> list[Answered]:
        body = json.dumps([_texts(arguments) for arguments in calls], ensure_ascii=False, separators=(",", ":"))
        read = partial(_as_many, len(calls))
        results, url = self._ask(endpoint, _Request(path, body.encode("utf-8", "replace"), until, read))
        return [Answered(result, url) for result in results]

    def _ask_shadow(self, endpoint: Mapping[str, Any], function: str | None, query: str) -> Result:
        """What a shadow answers; it is not to blame for anything, and nobody waits for it."""
        url = str(endpoint["url"])
        if (trouble := self._trouble(url)) is not None:
            raise ModelUnavailable(trouble, "not allowed")
        address = f"{url.removesuffix('/')}/{function_path(endpoint, function)}?{query}"
        (result,) = _one(address, self._through(self._transport.get, address))
        return result

    # -- Instances, one after the other or side by side

    def _ask(self, endpoint: Mapping[str, Any], request: _Request) -> Answers:
        if self._settings.hedge_ms:
            return offload(self._ask_hedged, endpoint, request)
        failure: MaasError = ModelUnavailable("no instance was asked")
        for number, url in enumerate(islice(self._to_try(endpoint), 1 + self._settings.retries)):
            if number:
                self._counted("retries")
            try:
                return self._ask_one(url, request)
            except RecordRefused:
                raise
            except MaasError as error:
                log.info("%s", error)
                failure = error
        raise failure

    def _ask_hedged(self, endpoint: Mapping[str, Any], request: _Request) -> Answers:
        urls = self._to_try(endpoint)
        pool = self._pool()
        failure: MaasError = ModelUnavailable("no instance was asked")
        may_hedge, retries = True, self._settings.retries
        pending = {pool.submit(self._ask_one, url, request) for url in islice(urls, 1)}
        while pending:
            done, pending = wait(pending, self._settings.hedge_ms / 1000 if may_hedge else None, FIRST_COMPLETED)
            for ended in done:
                try:
                    return ended.result()
                except RecordRefused:
                    raise
                except MaasError as error:
                    log.info("%s", error)
                    failure = error
            if not done:
                may_hedge, another = False, "hedged"
            elif retries:
                retries, another = retries - 1, "retries"
            else:
                continue
            for url in islice(urls, 1):
                self._counted(another)
                pending.add(pool.submit(self._ask_one, url, request))
        raise failure

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._hedges is None:
                self._hedges = ThreadPoolExecutor(HEDGE_THREADS, thread_name_prefix="model")
            return self._hedges

    def _to_try(self, endpoint: Mapping[str, Any]) -> Iterator[str]:
        """The addresses to ask, best first; one in quarantine only if there is no other, one not allowed never.

        Raises ModelUnavailable if none may be asked.
        """
        given = str(endpoint.get("url"))
        if self._settings.choice == "least-busy":
            fresh = self._fresh(endpoint)
            if given in fresh:
                given = self._traffic.less_busy(fresh)
        trouble = self._trouble(given)
        if usable := trouble is None and given not in self._registry.quarantine:
            yield given
        others = [url for url in self._fresh(endpoint) if url != given]
        yield from others
        if not usable and not others:
            if trouble is not None:
                raise ModelUnavailable(trouble, "not allowed")
            yield given

    def _fresh(self, endpoint: Mapping[str, Any]) -> list[str]:
        """The model's instances that may be asked, outside quarantine, in any order."""
        model = _model(endpoint)
        if model is None:  # a map made by hand, of no registered model
            return []
        urls = {instance.url for instance in self._registry.instances(*model)}
        fresh = [url for url in sorted(urls) if url not in self._registry.quarantine and self._trouble(url) is None]
        return random.sample(fresh, len(fresh))

    def _trouble(self, url: str) -> str | None:
        """Why an address is not to be asked, which is said once; None if it is."""
        trouble = trouble_with(url, self._allowed)
        if trouble is not None and url not in self._said_of and len(self._said_of) < MOST_SAID:
            self._said_of.add(url)
            log.warning("the endpoint's url is not asked: %s", trouble)
        return trouble

    def _ask_one(self, url: str, request: _Request) -> Answers:
        avoided = url in self._registry.quarantine
        try:
            lane = self._traffic.enter(url, min(request.seconds(), self._patience.seconds))
            try:
                return self._judged(url, request)
            finally:
                self._traffic.leave(lane)
        except MaasError as error:
            error.url = url
            if avoided and not isinstance(error, RecordRefused):
                error.reason = "quarantined"
            raise

    def _judged(self, url: str, request: _Request) -> Answers:
        """What an instance answers; how it did so counts for or against it."""
        begin = monotonic()
        try:
            results = self._send(url, request)
        except RecordRefused:
            self._strikes.succeeded(url)
            raise
        except MaasError as error:
            if self._is_to_blame(error, monotonic() - begin) and self._strikes.failed(url):
                self._counted("quarantined")
            raise
        self._strikes.succeeded(url)
        return results, url

    def _is_to_blame(self, error: MaasError, seconds: float) -> bool:
        """Not an instance that was asked just before the call's deadline, nor one that we did not get to ask."""
        if error.reason == "not allowed":
            return False
        if error.reason != "time-out" or not self._settings.deadline_ms:
            return True
        settings = self._settings
        shortest = min(settings.timeout_ms, settings.connect_timeout_ms, settings.deadline_ms)
        return seconds >= shortest / 2000  # half of it, as a fair chance

    def _send(self, url: str, request: _Request) -> list[Result]:
        address = f"{url.removesuffix('/')}/{request.rest}"
        seconds = request.seconds()
        limits = {} if math.isinf(seconds) else {"seconds": seconds}
        self._counted("requests")
        if request.body is None:
            answer = self._through(self._transport.get, address, **limits)
        else:
            answer = self._through(self._transport.post, address, request.body, **limits)
        return request.read(address, answer)

    def close(self) -> None:
        """Let go of all connections, once shadows have seen what is still to be shown to them."""
        if self._hedges is not None:
            self._hedges.shutdown(wait=False, cancel_futures=True)
        self._shadows.close(self._settings.timeout_ms / 1000)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _called(function: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
    return function(*arguments, **options)


def _one(address: str, answer: Answer) -> list[Result]:
    value = _json_of(address, answer)
    if not isinstance(value, dict):
        raise ModelRefused(f"{address} answered with a JSON {_KINDS[type(value)]}, not an object")
    return [value]


def _as_many(wanted: int, address: str, answer: Answer) -> list[Result]:
    value = _json_of(address, answer)
    if not isinstance(value, list):
        raise ModelRefused(f"{address} answered with a JSON {_KINDS[type(value)]}, not an array")
    if len(value) != wanted:
        raise ModelRefused(f"{address} was asked {wanted} times and answered {len(value)} times")
    for member in value:
        if not isinstance(member, dict):
            raise ModelRefused(f"{address} answered with a JSON {_KINDS[type(member)]} in the array, not an object")
    return value


def _json_of(address: str, answer: Answer) -> Any:
    if 400 <= answer.status < 500:
        raise RecordRefused(f"{address} answered with status {answer.status}, not 200")
    if answer.status != 200:
        raise ModelRefused(f"{address} answered with status {answer.status}, not 200")
    try:
        return read_json(answer.body)
    except ValueError as error:
        raise ModelRefused(f"{address} answered with something that is not JSON: {error}") from None


_KINDS = {
    list: "array",
    dict: "object",
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _model(endpoint: Mapping[str, Any]) -> Model | None:
    """What makes two endpoints the same model; None for a map made by hand without it, which its address names."""
    name, version = endpoint.get("name"), endpoint.get("version")
    return None if name is None or version is None else Model(str(name), str(version))


def _own(result: Result) -> Result:
    """A copy that the caller may change."""
    return {key: copy.deepcopy(value) if value.__class__ in (dict, list) else value for key, value in result.items()}


def function_path(endpoint: Mapping[str, Any], function: str | None) -> str:
    """The path of a function, without a leading slash: what the endpoint says of it, else its own name."""
    asked = "apply" if function is None else function
    return _quoted_path(str(endpoint.get(f"endpoint:{asked}", asked)))


@lru_cache(1024)
def _quoted_path(path: str) -> str:
    path = path.removeprefix("/")
    if {".", ".."} & set(path.split("/")):
        raise RecordRefused(f"the function {path!r} leads out of the model's address")
    return quote(path, safe="/:@!$&'()*+,;=~%", errors="replace")


def encode_query(arguments: Mapping[str, Any]) -> str:
    """The arguments as a form's query in UTF-8, in their order; one that is null is a bare name.

    Truth values are `true` and `false`, lists and maps compact JSON.
    """
    return "&".join(
        _encode(_text(name)) if value is None else f"{_encode(_text(name))}={_encode(_text(value))}"
        for name, value in arguments.items()
    )


def _texts(arguments: Arguments) -> dict[str, str | None]:
    """The arguments of one call in a batch: the same texts that a query would hold."""
    return {_text(name): None if value is None else _text(value) for name, value in arguments.items()}


_SAFE = re.compile(r"[A-Za-z0-9._*-]*").fullmatch


def _encode(text: str) -> str:
    if _SAFE(text):  # as most are
        return text
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
