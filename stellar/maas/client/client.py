"""The model client: result cache, single flight, batches and dispatch to an instance.

A call goes through  cache → single flight → batch → dispatch (see `stellar.maas.client.dispatch`); steps that are
switched off are skipped.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self

from stellar.maas.client.attempts import Decoded, ModelCall, Read, Result
from stellar.maas.client.batching import Abandoned, Batcher, error_for_others
from stellar.maas.client.call_counts import CallCounts, CountsByModel
from stellar.maas.client.decoding import decode_batch, decode_one
from stellar.maas.client.dispatch import Dispatcher, call_directly
from stellar.maas.client.encoding import Arguments, encode_query, function_path, to_strings
from stellar.maas.client.failure_log import FailureLog
from stellar.maas.client.instances import DeploymentTracker
from stellar.maas.client.latencies import ModelLatencies
from stellar.maas.client.local import EvaluatedInstance, LocalCalls, LocalModels, ToParameters
from stellar.maas.client.outages import Outages
from stellar.maas.client.reporter import Reporter
from stellar.maas.client.reselect import choose_again
from stellar.maas.client.result_cache import ResultCache
from stellar.maas.client.routes import CallRoute, Routes
from stellar.maas.client.settings import ClientSettings
from stellar.maas.client.shadow import BoundedFile, OnDisagreement, Shadows
from stellar.maas.errors import MaasError, ModelNotFound, ModelUnavailable, Reason
from stellar.maas.registry import Registry
from stellar.maas.routing import Chosen
from stellar.maas.schema import Model, ModelEndpoint, read_json
from stellar.maas.transport.base import Response, Transport
from stellar.maas.transport.http import HttpTransport
from stellar.monitoring.metrics import Distribution
from stellar.net.allowed_hosts import AllowedHosts, find_url_problem
from stellar.net.breaker import State
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Future, offload

__all__ = ["ClientSettings", "Counters", "ModelClient", "encode_query", "function_path"]

log = logging.getLogger(__name__)

OnFailure = Callable[[str | None, str | None, Reason, str | None], object]


@dataclass(slots=True)
class Counters:
    """Counters of a client.

    calls: calls of `apply`; each is a cache hit, joined to an equal call in flight, or sent
    cache_hits, joined: calls that made no request of their own
    requests: requests to instances, retries and hedges included; a batch is one request
    retries: requests made because another one had failed
    hedged: requests made because another one was slow
    quarantined: number of times that a circuit was opened
    failures: failed calls by reason; failures to find a model are not included in `calls`
    circuits: state of each circuit that is not closed, by URL: "open", "half-open" or "resting"
    compared, disagreed: calls whose result was compared with a shadow's, and those with a different result
    shadow_failed, shadow_dropped: calls that failed at the shadow, and calls that it was not sent because it was busy
    local: calls that were evaluated in this process; they are no requests
    local_sent: calls that were not, although their kind of model can be: the model is not loaded, or is being judged
    """

    calls: int = 0
    cache_hits: int = 0
    joined: int = 0
    requests: int = 0
    retries: int = 0
    hedged: int = 0
    quarantined: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)
    circuits: Mapping[str, State] = field(default_factory=dict)
    compared: int = 0
    disagreed: int = 0
    shadow_failed: int = 0
    shadow_dropped: int = 0
    local: int = 0
    local_sent: int = 0


@dataclass(slots=True)
class _Request:
    """A request to a model.

    deployment: number of the model's deployment when the call began
    key: key of the result in the cache
    epoch: of the cache when the call began
    until: deadline of the whole call, monotonic; infinity for none
    """

    endpoint: Mapping[str, Any]
    route: CallRoute
    arguments: Arguments
    query: str
    deployment: int
    key: str
    epoch: int
    until: float


class ModelClient:
    """A client for models over HTTP. Create one and share it: it is safe for threads, fibers and forks.

    registry: source of the instances
    transport: sends the requests; by default HTTP with keep-alive connections. A transport with only `get` and `post`
        is used without hedging
    clock: monotonic seconds, for the age of cached results
    on_failure: called with name, version, reason and URL for each failed call, in the caller's thread
    on_disagreement: called for each result of a shadow that differs from the caller's, in another thread
    local: models that are evaluated in this process if the setting `local` has their kind; see
        `stellar.local_models`

    Results are cached by the model's name and version, the function and the arguments, independent of the instance,
    until all instances of that version have been replaced. Concurrent equal calls share one request.
    """

    cooperative = True  # waiting in a fiber yields to other fibers

    def __init__(
        self,
        registry: Registry,
        settings: ClientSettings | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = monotonic,
        on_failure: OnFailure | None = None,
        on_disagreement: OnDisagreement | None = None,
        local: LocalModels | None = None,
    ) -> None:
        self.registry = registry
        self._settings = settings = settings or ClientSettings()
        registry.breakers.failures = settings.breaker_failures
        self._cache = ResultCache(settings.cache_size, settings.cache_minutes * 60, settings.cache_bytes, clock)
        self._transport = transport or HttpTransport(
            settings.timeouts,
            settings.tls,
            on_unsolicited=self._cache.clear,
            while_idle=lambda: self._deployments.update(),
        )
        self._counters = Counters()  # without those that are counted by model
        self._counts = CountsByModel()
        self._latencies = ModelLatencies()
        self._routes = Routes(self._counts)
        self._on_failure = on_failure
        self._failure_log = FailureLog()
        retire = getattr(self._transport, "retire", lambda _: None)
        self._deployments = DeploymentTracker(registry, retire)
        self._outages = Outages(settings.wait_ms / 1000)
        self._batcher = Batcher(settings.batch_size, settings.batch_wait_ms / 1000)
        self._local: LocalCalls | None = None
        self._reporter = Reporter(registry, lambda: self._local.read_counts() if self._local is not None else {})
        self._dispatcher = Dispatcher(registry, settings, self._transport, self._outages, self, self._reporter)
        if local is not None and settings.local:
            is_allowed = self._dispatcher.is_allowed
            self._local = LocalCalls(registry, local, settings.local, is_allowed, self, self._counts)
        self._shadows = Shadows(
            registry,
            self._call_shadow,
            settings.shadow_in_flight,
            settings.shadow_keys,
            BoundedFile(settings.shadow_file) if settings.shadow_file else None,
            on_disagreement,
        )
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Future[bytes] | None] = {}  # None until a second caller waits for the result

    def counters(self) -> Counters:
        """Return a copy of the counters."""
        shadows = asdict(self._shadows.counters())
        circuits = dict(self.registry.breakers.states())
        with self._lock:
            total = self._counts.sum()
            calls = {"calls": total.calls, "cache_hits": total.cache_hits, "joined": total.joined, "local": total.local}
            return replace(self._counters, **calls, failures=total.failures, circuits=circuits, **shadows)

    def counts_by_model(self) -> dict[Model, CallCounts]:
        """Return a copy of the counts of calls by model version."""
        with self._lock:
            return dict(self._counts.copy())

    def calls_of_instances(self) -> Mapping[tuple[Model, str], tuple[int, int]]:
        """Return calls and failures by model version and URL of an instance."""
        return self._reporter.read_counts()

    def cache_size(self) -> tuple[int, int]:
        """Return the number of cached results, and their memory in bytes."""
        return len(self._cache), self._cache.bytes

    def measure_latencies(self) -> None:
        """Measure the latencies of requests from now on."""
        self._dispatcher.observe = self._latencies.observe

    def latencies(self) -> dict[Model, Distribution]:
        """Return the latencies of requests by model version, since `measure_latencies` was called."""
        return self._latencies.read()

    def count_request(self) -> None:
        """Add 1 to the counter of requests."""
        with self._lock:
            self._counters.requests += 1

    def count(self, what: str) -> None:
        """Add 1 to a counter."""
        with self._lock:
            setattr(self._counters, what, getattr(self._counters, what) + 1)

    # --- look-up

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        """Return an instance of a model, as the registry chooses it; wait for one if the model is desired but absent.

        Raises ModelNotFound, or ModelUnavailable if no instance of a desired model is registered in time.
        """
        until = self._deadline()
        while True:
            try:
                found = self.registry.endpoint(name, version, key)
            except ModelNotFound as error:
                if not self._settings.wait_ms or not self.registry.is_desired(name, version):
                    raise
                if not self._outages.wait((name, version), until):
                    raise ModelUnavailable(f"no instance of {name} {version or ''}".rstrip(), "no instance") from error
            else:
                self._outages.end((name, version))
                return found

    def _deadline(self) -> float:
        return monotonic() + self._settings.deadline_ms / 1000 if self._settings.deadline_ms else inf

    # --- calling

    def apply(
        self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Arguments | None = None
    ) -> Result:
        """Return the model's result for these arguments: a JSON object, a new one for each call.

        endpoint: a map with name, version and url, and `endpoint:<function>` for functions with a path of their own
        function: a function of the endpoint, or a path; defaults to `apply`
        arguments: sent as a query; null values become bare names

        If the registry chose the endpoint's version, and its last instance is gone, or a rollout has it on trial and
        the call failed, another version is called.

        Raises ModelUnavailable or ModelRefused.
        """
        return self.apply_values(endpoint, function, arguments or {}, None)

    def apply_values(
        self,
        endpoint: Mapping[str, Any],
        function: str | None,
        values: Arguments,
        to_parameters: ToParameters | None,
    ) -> Result:
        """Return the model's result for values of a language, as `apply` does.

        to_parameters: converts the values to arguments if they are sent
        """
        until = self._deadline()
        while True:
            try:
                return self._apply(endpoint, function, values, to_parameters, until)
            except MaasError as error:
                if (substitute := choose_again(endpoint, self.registry)) is None:
                    self.record_failure(endpoint, error)
                    raise
                log.debug("%s; calling %s @ %s instead", error, substitute["name"], substitute["version"])
                endpoint = substitute

    def _apply(
        self,
        endpoint: Mapping[str, Any],
        function: str | None,
        arguments: Arguments,
        to_parameters: ToParameters | None,
        until: float,
    ) -> Result:
        if self._local is not None and (found := self._local.find(endpoint, function)) is not None:
            plan = self.registry.traffic(found.model.name)
            if plan is None:  # the common case
                return self._evaluate(found, arguments, to_parameters)
            if not self._local.is_sampled(plan):
                result = self._evaluate(found, arguments, to_parameters)
                if plan.shadow is not None:
                    parameters = arguments if to_parameters is None else to_parameters(arguments)
                    self._shadows.submit(endpoint, function, encode_query(parameters), result)
                return result
        if to_parameters is not None:
            arguments = to_parameters(arguments)
        request = self._new_request(endpoint, function, arguments, until)
        while True:
            if (cached := self._cache.get(request.key)) is not None:
                self._count_hit(request)
                return _decode(cached)
            if (flight := self._join(request)) is None:
                break
            try:
                data = flight.result()
            except Abandoned:
                self._uncount_join(request)
            else:
                self._count_shared(request)
                return _decode(data)
        result = self._lead(request)
        self._shadows.submit(endpoint, function, request.query, result)
        return result

    def _evaluate(self, found: EvaluatedInstance, arguments: Arguments, to_parameters: ToParameters | None) -> Result:
        """Return the result of a model in this process. Raises ModelRefused, as for the response of its instance.

        The call is counted as one of the instance. It is not cached: a look-up takes longer than the evaluation.
        """
        result = found.score(arguments, to_parameters)
        if isinstance(result, Response):
            return self._raise_refusal(found, result)
        counts = found.counts
        with self._lock:
            counts.calls += 1
            counts.local += 1
            counts.succeeded += 1
            found.calls += 1
        self._reporter.start()
        return result

    def _raise_refusal(self, instance: EvaluatedInstance, response: Response) -> NoReturn:
        """Raise the error that the response of an instance raises."""
        with self._lock:
            instance.counts.calls += 1
            instance.counts.local += 1
            instance.calls += 1
            instance.failures += 1
        self._reporter.start()
        try:
            decode_one(f"{instance.url.removesuffix('/')}/apply", response)
        except MaasError as error:
            error.url = instance.url
            raise
        raise AssertionError("a response without a result is an error")

    def _new_request(
        self, endpoint: Mapping[str, Any], function: str | None, arguments: Arguments, until: float
    ) -> _Request:
        route, query = self._routes.find(endpoint, function), encode_query(arguments)
        deployment = 0 if route.model is None else self._deployments.number(route.model)
        key = f"{route.identity}\0{deployment}\0{route.path}?{query}"
        return _Request(endpoint, route, arguments, query, deployment, key, self._cache.epoch, until)

    def _count_hit(self, request: _Request) -> None:
        counts = request.route.counts
        with self._lock:
            counts.calls += 1
            counts.cache_hits += 1

    def _count_shared(self, request: _Request) -> None:
        with self._lock:
            request.route.counts.shared += 1

    def _uncount_join(self, request: _Request) -> None:
        """Undo the counting of `_join`, before it is called again for the same call."""
        counts = request.route.counts
        with self._lock:
            counts.calls -= 1
            counts.joined -= 1

    def _join(self, request: _Request) -> Future[bytes] | None:
        """Count a call. Return the result of the equal call in flight; None if this caller has to make it."""
        key, counts = request.key, request.route.counts
        with self._lock:
            counts.calls += 1
            if key not in self._flights:
                self._flights[key] = None
                return None
            counts.joined += 1
            flight = self._flights[key]
            if flight is None:
                flight = self._flights[key] = Future()
            return flight

    def _lead(self, request: _Request) -> Result:
        """Call the model on behalf of all callers that wait for the same result."""
        try:
            decoded, url = self._send(request)
            if self._cache.enabled and self._is_current(request, url):
                self._cache.put(request.key, decoded.data, request.epoch)
        except BaseException as error:
            if (flight := self._end_flight(request, 0)) is not None:
                flight.set_exception(error_for_others(error))
            raise
        if (flight := self._end_flight(request, 1)) is not None:
            flight.set_result(decoded.data)
        return decoded.result

    def _is_current(self, request: _Request, url: str) -> bool:
        """Return True if the instance at a URL belongs to the deployment for which a request was made."""
        model = request.route.model
        return model is None or self._deployments.is_current(model, request.deployment, url)

    def _end_flight(self, request: _Request, succeeded: int) -> Future[bytes] | None:
        """Return the future of the callers that wait for the result of a call; None if no caller waits.

        succeeded: 1 if the call returns a result, 0 if it failed
        """
        with self._lock:
            request.route.counts.succeeded += succeeded
            return self._flights.pop(request.key, None)  # it is missing in the child of a fork

    def record_failure(self, endpoint: Mapping[str, Any], error: MaasError) -> None:
        """Count a failed call, log it, and report it to `on_failure`.

        `apply` calls this itself. Callers need it for calls that could not be made, as no instance was found.
        """
        name, version = (None if endpoint.get(key) is None else str(endpoint[key]) for key in ("name", "version"))
        # A name that is not registered may be anything that records contain
        is_known = name is not None and version is not None and not isinstance(error, ModelNotFound)
        with self._lock:
            counts = self._counts.of(Model(name or "", version or "") if is_known else None)
            counts.failures[error.reason] += 1
        self._failure_log.record("a model" if name is None else f"{name} {version or ''}".rstrip(), error)
        if self._on_failure is None:
            return
        try:
            self._on_failure(name, version, error.reason, error.url)
        except Exception:  # an error in the callback must not change the outcome of the call
            log.exception("the callback for failed model calls raised an error")

    # --- requests

    def _send(self, request: _Request) -> tuple[Decoded, str]:
        route, settings = request.route, self._settings
        if route.batch_path is not None and settings.batch_size > 1:
            lane = (route.model or route.url, request.deployment, route.batch_path)
            send = partial(self._send_batch, request, route.batch_path)
            decoded, url = self._batcher.call(lane, request.arguments, send)
            if decoded.refusal is not None:
                decoded.refusal.url = url
                raise decoded.refusal
            return decoded, url
        hedged = route.is_apply and settings.hedge_ms != 0
        call = self._new_call(request, f"{route.path}?{request.query}", None, decode_one, hedged)
        (decoded,), url = self._dispatcher.send(call)
        return decoded, url

    def _send_batch(self, request: _Request, path: str, calls: list[Arguments]) -> list[tuple[Decoded, str]]:
        members = [to_strings(arguments) for arguments in calls]
        body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        call = self._new_call(request, path, body, partial(decode_batch, len(calls)), False)
        results, url = self._dispatcher.send(call)
        return [(result, url) for result in results]

    def _new_call(self, request: _Request, rest: str, body: bytes | None, read: Read, hedged: bool) -> ModelCall:
        route, chosen = request.route, isinstance(request.endpoint, Chosen)
        return ModelCall(
            route.model, route.url, rest, body, request.until, read, hedged, chosen, self._settings.retries
        )

    def _call_shadow(self, endpoint: Mapping[str, Any], function: str | None, query: str) -> Result:
        """Return the result of a shadow. It is not reported to the circuit breaker."""
        url = str(endpoint["url"])
        if (refusal := find_url_problem(url, AllowedHosts.of(self._settings.hosts_allowed))) is not None:
            raise ModelUnavailable(refusal, "not allowed")
        target = f"{url.removesuffix('/')}/{function_path(endpoint, function)}?{query}"
        call = call_directly if getattr(self._transport, "cooperative", False) else offload
        (decoded,) = decode_one(target, call(self._transport.get, target))
        return decoded.result

    def close(self) -> None:
        """Wait for the calls of shadows, close all connections, and log the failures that were counted."""
        self._shadows.close(self._settings.timeout_ms / 1000)
        self._dispatcher.close()
        self._reporter.close()
        self._transport.close()
        self._failure_log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _decode(data: bytes) -> Result:
    result: Result = read_json(data)
    return result
