"""Dispatch of calls: choice of an instance, concurrency limit, hedging, retries, and waiting during an outage.

    choose an instance: closed circuits first, uniformly or the less busy of two
      → take one of the instance's slots (concurrency limit)
        → exchange; if it is slow, hedge it by a second one (see `Race`), and the first response wins
    a failure costs a retry on another instance; a refused connection, a trial and a busy instance cost none
    no instance left → wait for the outage to end, if the model is desired

Each outcome is reported to the circuit breaker. The common call is one exchange in the caller's own thread or fiber.
Only a slow one is moved to a run loop (`stellar.util.scheduler.RunLoop`), which waits for both exchanges at once; so
hedging costs nothing until it is needed, and no thread per call.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Any

from stellar.maas.client.attempts import Attempt, Counting, Decoded, InstanceSilent, ModelCall, request_url
from stellar.maas.client.instances import HedgePolicy
from stellar.maas.client.outages import RETRY_SECONDS, Outages
from stellar.maas.client.race import Race
from stellar.maas.client.reporter import Reporter
from stellar.maas.client.settings import ClientSettings
from stellar.maas.errors import (
    ConnectionLost,
    ConnectionRefused,
    InstanceBusy,
    MaasError,
    ModelNotFound,
    ModelTimeOut,
    ModelUnavailable,
    RecordRefused,
    RequestUnread,
)
from stellar.maas.registry import Registry
from stellar.maas.schema import Model
from stellar.maas.transport.base import Response, Transport
from stellar.maas.transport.http import ModelExchange
from stellar.net.allowed_hosts import AllowedHosts, find_url_problem
from stellar.net.limits import ConcurrencyLimiter, ServerLoad
from stellar.util.forks import reset_after_fork
from stellar.util.scheduler import RunLoop
from stellar.util.waiting import current_loop, offload, sleep

log = logging.getLogger(__name__)

MAX_POLICIES = 10_000
MAX_CALLABLE = 4096
MAX_WARNED = 1000


class Dispatcher:
    """Sends calls to instances. Safe to use from many threads and fibers.

    counting: the counters requests, retries, hedged and quarantined
    reporter: counts the outcomes of attempts, for the reports of the client
    observe: receives the model and the seconds of each response; None if they are not needed
    """

    def __init__(
        self,
        registry: Registry,
        settings: ClientSettings,
        transport: Transport,
        outages: Outages,
        counting: Counting,
        reporter: Reporter,
    ) -> None:
        self.registry, self._settings, self.counters, self._reporter = registry, settings, counting, reporter
        self.observe: Callable[[Model | None, float], None] | None = None
        self._transport = transport
        self.begin_exchange: Callable[[str, bytes | None], ModelExchange] | None = getattr(transport, "begin", None)
        self._cooperative = getattr(transport, "cooperative", False)
        self._timeouts = settings.timeouts
        self._allowed = AllowedHosts.of(settings.hosts_allowed)
        self.breakers = registry.breakers
        self._uniform = settings.choice == "uniform"
        self._outages = outages
        self.limiter = ConcurrencyLimiter(settings.max_in_flight)
        self._hedge_seconds = None if settings.hedge_ms is None else settings.hedge_ms / 1000
        self._policies: dict[Model, HedgePolicy] = {}
        self._callable: set[str] = set()  # URLs known to be allowed
        self._warned: set[str] = set()
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._loop: RunLoop | None = None

    def send(self, call: ModelCall) -> tuple[list[Decoded], str]:
        """Return the decoded response of an instance, and the URL of the instance.

        Raises MaasError.
        """
        try:
            while True:
                try:
                    outcome = self._send(call)
                except MaasError as error:
                    self._await_turn(call, error)
                else:
                    if call.model is not None:
                        self._outages.end(call.model)
                    return outcome
        except MaasError as error:
            if not call.reported and error.reason != "not allowed" and self.urls_of(call.model):
                self._report_failure(call, error.url or call.given)
            raise

    def _await_turn(self, call: ModelCall, error: MaasError) -> None:
        """Wait while the instances are busy or the model is in an outage. Raises the error if the call must not."""
        if isinstance(error, RecordRefused):
            raise error
        if isinstance(error, InstanceBusy):
            self._await_rest(call, error)
        else:
            self._await_instance(call, error)

    def _send(self, call: ModelCall) -> tuple[list[Decoded], str]:
        """Call instances until one responds, none is left, or no retry is left."""
        tried: set[str] = set()
        failure: MaasError | None = None
        call.unreachable = frozenset()
        while (url := self._next_url(call, tried)) is not None:
            if failure is not None:
                self.counters.count("retries")
            tried.add(url)
            try:
                return self._attempt(call, url, tried)
            except RecordRefused:
                raise
            except MaasError as error:
                log.debug("%s", error)
                failure = error
                if call.charged:
                    if not call.retries:
                        break
                    call.retries -= 1
        else:
            if failure is not None and call.charged:
                call.retries += 1  # there was no other instance to spend it on
        raise failure or ModelUnavailable("no instance was called")

    # --- choice of an instance

    def _next_url(self, call: ModelCall, tried: set[str]) -> str | None:
        """Return the URL of the instance to call; None if all were tried.

        Raises ModelUnavailable if no instance is allowed, InstanceBusy if all are busy.
        """
        given = call.given
        if not tried and self._uniform and self.breakers.is_healthy(given) and self.is_allowed(given):
            return given  # the common case
        urls = self.urls_of(call.model)
        if not tried and (first := self._first_url(call, urls)) is not None:
            return first
        candidates = [url for url in self.breakers.exclude_open(urls) if url not in tried and self.is_allowed(url)]
        rested = [url for url in candidates if not self.breakers.rest_seconds(url)]
        if rested:
            return self._choose(rested)
        if candidates:
            raise InstanceBusy(f"all instances of {call.model} are busy", 0.0)
        if tried:
            return None
        if (refusal := self._refusal_of(given)) is not None:
            raise ModelUnavailable(refusal, "not allowed")
        if self.breakers.rest_seconds(given):
            raise InstanceBusy(f"{given} is busy", 0.0)
        return given

    def _first_url(self, call: ModelCall, urls: Sequence[str]) -> str | None:
        """Return the instance that the registry chose, or a less busy one; None if it must not be called."""
        given = call.given
        closed = self.breakers.exclude_open(urls)
        if given not in urls:
            return None if urls and given in self.breakers else self._unless_resting(given)
        if given not in closed:
            return None
        if not self._uniform:
            given = self.limiter.less_busy([url for url in closed if self.is_allowed(url)] or [given])
        return self._unless_resting(given)

    def _unless_resting(self, url: str) -> str | None:
        return url if self.is_allowed(url) and not self.breakers.rest_seconds(url) else None

    def _choose(self, urls: Sequence[str]) -> str:
        return random.choice(urls) if self._uniform else self.limiter.less_busy(urls)

    def urls_of(self, model: Model | None) -> tuple[str, ...]:
        """Return the URLs of the registered instances of a model."""
        if model is None or (snapshot := self.registry.version(*model)) is None:
            return ()
        return snapshot.urls

    def is_allowed(self, url: str) -> bool:
        """Return True if `maas.hosts.allowed` permits calls of a URL."""
        return url in self._callable or self._refusal_of(url) is None

    def _refusal_of(self, url: str) -> str | None:
        """Return the reason why a URL must not be called, and log it once; None if it is allowed."""
        refusal = find_url_problem(url, self._allowed)
        if refusal is None:
            if len(self._callable) >= MAX_CALLABLE:
                self._callable.clear()
            self._callable.add(url)
        elif url not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(url)
            log.warning("endpoint not allowed: %s", refusal)
        return refusal

    # --- waiting for an instance

    def _await_rest(self, call: ModelCall, error: InstanceBusy) -> None:
        """Wait until a busy instance can be called again. Raises the error if that is after the call's deadline."""
        urls = self.urls_of(call.model) or (call.given,)
        pause = min((rest for url in urls if (rest := self.breakers.rest_seconds(url))), default=0.0)
        if monotonic() + pause >= min(call.until, call.began + self._timeouts.seconds):
            raise error
        sleep(pause)

    def _await_instance(self, call: ModelCall, error: MaasError) -> None:
        """Wait for an instance of a desired model that can't be reached. Raises the error for any other failure."""
        if not self._settings.wait_ms or not self._is_absent(call):
            raise error
        if isinstance(error, ConnectionLost):
            self._charge(call, error)
        assert call.model is not None
        if not self._outages.wait(call.model, call.until):
            raise ModelUnavailable(f"no instance of {call.model} can be reached: {error.summary}", "no instance")

    def _charge(self, call: ModelCall, error: ConnectionLost) -> None:
        """Charge a lost connection: a retry, or some time if the request was unread. Raises the error if none is left.

        A server that listens only between two calls resets all connections but one, so resets alone must not use up the
        retries of a call.
        """
        if isinstance(error, RequestUnread):
            now = monotonic()
            call.first_unread = min(call.first_unread, now)
            if now < call.first_unread + self._settings.wait_ms / 1000:
                # at random, or all callers that were reset together would come back together
                sleep(min(random.uniform(0, RETRY_SECONDS), max(0.0, call.until - now)))
                return
        if not call.retries:
            raise error
        call.retries -= 1

    def _is_absent(self, call: ModelCall) -> bool:
        """Return True if the model is desired and has no instance, or none that can be reached."""
        if call.model is None:
            return False
        if urls := self.urls_of(call.model):
            return call.unreachable.issuperset(urls) and not (call.chosen and self._is_on_trial(call.model))
        if call.chosen and self._has_another_version(call.model.name):
            return False
        return self.registry.is_desired(*call.model)

    def _is_on_trial(self, model: Model) -> bool:
        """Return True if a failed call is repeated at another version, and so must not wait."""
        plan = self.registry.traffic(model.name)
        return plan is not None and plan.without_trial(model.version) is not None

    def _has_another_version(self, name: str) -> bool:
        try:
            self.registry.endpoint(name)
        except ModelNotFound:
            return False
        return True

    # --- one attempt

    def _attempt(self, call: ModelCall, url: str, tried: set[str]) -> tuple[list[Decoded], str]:
        """Call an instance while holding one of its slots, and report the outcome."""
        call.charged = True
        attempt = self._take_slot(call, url, tried)
        try:
            if self.begin_exchange is None:
                return self._send_by_transport(call, attempt), attempt.url
            return self._send_by_exchange(call, attempt, tried)
        except MaasError as error:
            error.url = error.url or attempt.url
            call.charged = not attempt.trial and not _is_free(error)
            self.report_failure(call, attempt, error)
            raise
        finally:
            self.end_attempt(attempt)

    def _send_by_exchange(self, call: ModelCall, attempt: Attempt, tried: set[str]) -> tuple[list[Decoded], str]:
        assert self.begin_exchange is not None
        attempt.exchange = exchange = self.begin_exchange(request_url(attempt.url, call), call.body)
        first_until, policy = attempt.until, None
        if call.hedged and (policy := self._policy(call, attempt.url)) is not None:
            first_until = min(first_until, attempt.began + policy.delay)
        try:
            response = exchange.run(first_until)
        except TimeoutError:
            if policy is None or first_until >= attempt.until:
                raise self.timeout_error(attempt) from None
            return self._race(call, attempt, policy, tried)
        attempt.exchange = None  # it has ended
        seconds = monotonic() - attempt.began
        decoded = self.read_response(call, attempt, response)
        if policy is not None:
            policy.record(seconds)
        return decoded, attempt.url

    def _send_by_transport(self, call: ModelCall, attempt: Attempt) -> list[Decoded]:
        """Send an attempt by a transport that only has `get` and `post`."""
        url = request_url(attempt.url, call)
        limits = {} if call.until == inf else {"seconds": attempt.until - attempt.began}
        send = call_directly if self._cooperative else offload
        if call.body is None:
            response = send(self._transport.get, url, **limits)
        else:
            response = send(self._transport.post, url, call.body, **limits)
        return self.read_response(call, attempt, response)

    def _take_slot(self, call: ModelCall, url: str, tried: set[str]) -> Attempt:
        """Take a slot of the instance, or of another one if it is full. Raises ModelTimeOut if no slot becomes free."""
        now = monotonic()
        if now >= call.until:
            raise ModelTimeOut("no instance responded before the deadline of the call")
        load = self.limiter.of(url)
        if not self.limiter.try_enter(load):
            url, load = self._await_slot(call, url, tried, min(call.until, now + self._timeouts.seconds))
            now = monotonic()
        return self.new_attempt(call, url, load, now)

    def new_attempt(self, call: ModelCall, url: str, load: ServerLoad, now: float) -> Attempt:
        """Return an attempt for which a slot was taken."""
        self.counters.count_request()
        if self.breakers.is_healthy(url):  # the common case
            avoided = trial = False
        else:
            avoided, trial = self.breakers.is_open(url), self.breakers.begin_trial(url)
        return Attempt(url, load, now, min(call.until, now + self._timeouts.seconds), avoided, trial)

    def _await_slot(self, call: ModelCall, url: str, tried: set[str], until: float) -> tuple[str, ServerLoad]:
        while True:
            closed = self.breakers.exclude_open(self.urls_of(call.model))
            others = [each for each in closed if each not in tried and self.is_allowed(each)]
            for other in random.sample(others, len(others)):
                load = self.limiter.of(other)
                if self.limiter.try_enter(load):
                    tried.add(other)
                    return other, load
            if others and url in self.breakers:  # its circuit is open: wait for another instance
                tried.add(url := random.choice(others))
            load = self.limiter.of(url)
            if self.limiter.enter(load, until - monotonic()):
                return url, load
            if monotonic() >= until:
                error = ModelTimeOut(f"{url} was busy with {self._settings.max_in_flight} requests until the time-out")
                error.url = url
                raise error

    def read_response(self, call: ModelCall, attempt: Attempt, response: Response) -> list[Decoded]:
        """Decode a response, and report success."""
        decoded = call.read(request_url(attempt.url, call), response)
        self._record_success(call, attempt)
        if call.model is not None:
            self._reporter.count(call.model, attempt.url, failed=False)
        return decoded

    def _record_success(self, call: ModelCall, attempt: Attempt) -> None:
        now = monotonic()
        attempt.settled = True
        attempt.load.last_response = now
        attempt.load.measure(now - attempt.began, now)
        if self.observe is not None:
            self.observe(call.model, now - attempt.began)
        self.breakers.record_success(attempt.url)

    def report_failure(self, call: ModelCall, attempt: Attempt, error: MaasError) -> None:
        """Report the failure of an attempt to the circuit breaker."""
        if attempt.settled:
            return
        attempt.settled = True
        url = attempt.url
        if isinstance(error, RecordRefused):
            self._record_success(call, attempt)
            self._report_failure(call, url)
        elif isinstance(error, InstanceBusy):
            self.breakers.rest(url, error.seconds)
        elif not self._is_instance_failure(attempt, error):
            if attempt.trial:
                self.breakers.end_trial(url)
        else:
            if isinstance(error, ConnectionRefused | ConnectionLost):
                call.unreachable |= {url}
            if not _is_free(error):  # else it has probably just ended, and matters only if no other one responds
                self._report_failure(call, url)
            refused = isinstance(error, ConnectionRefused)
            opened = self.breakers.record_refused(url) if refused else self.breakers.record_failure(url)
            self.count_opened(url, opened)
            if attempt.avoided:
                error.reason = "quarantined"

    def _report_failure(self, call: ModelCall, url: str) -> None:
        call.reported = True
        if call.model is not None:
            self._reporter.count(call.model, url, failed=True)

    def count_opened(self, url: str, opened: bool) -> None:
        """Count a circuit that was opened, and release the callers that wait for a slot of the instance."""
        if opened:
            self.counters.count("quarantined")
            self._reporter.start()
            self.limiter.evict(url)

    def _is_instance_failure(self, attempt: Attempt, error: MaasError) -> bool:
        """Return False if the failure is due to our own allow-list, or to an attempt begun just before the deadline."""
        if error.reason == "not allowed":
            return False
        if error.reason != "time-out" or not self._settings.deadline_ms:
            return True
        settings = self._settings
        shortest = min(settings.timeout_ms, settings.connect_timeout_ms, settings.deadline_ms)
        return monotonic() - attempt.began >= shortest / 2000  # it had at least half of that time

    def end_attempt(self, attempt: Attempt) -> None:
        """Close the exchange of an attempt, and free its slot."""
        if attempt.exchange is not None:
            attempt.exchange.close()
        self.limiter.leave(attempt.load)
        if attempt.trial and not attempt.settled:
            self.breakers.end_trial(attempt.url)

    def timeout_error(self, attempt: Attempt) -> ModelTimeOut:
        """Return the error for an attempt that reached its deadline."""
        return ModelTimeOut(f"{attempt.url} did not respond in time")

    # --- hedging

    def _policy(self, call: ModelCall, url: str) -> HedgePolicy | None:
        """Return the hedging policy of a call; None if it must not be hedged."""
        model = call.model
        if model is None or (snapshot := self.registry.version(*model)) is None or len(snapshot.urls) < 2:
            return None
        if snapshot.settings and not snapshot.settings.get(url, {}).get("hedge", True):
            return None
        policy = self._policies.get(model)
        if policy is None:
            if len(self._policies) >= MAX_POLICIES:
                self._policies.clear()
            policy = self._policies[model] = HedgePolicy(self._hedge_seconds)
        return policy

    def _race(self, call: ModelCall, first: Attempt, policy: HedgePolicy, tried: set[str]) -> tuple[list[Decoded], str]:
        """Continue a slow attempt on a run loop, concurrently with a second one."""
        race = Race(self, call, first, policy, tried)
        if current_loop() is not None:
            return race.run()
        return self._run_loop().run(race.run)

    def _run_loop(self) -> RunLoop:
        with self._lock:
            if self._loop is None:
                self._loop = RunLoop("model calls")
            return self._loop

    def close(self) -> None:
        """End the run loop after the calls on it have ended."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.shutdown()


def _is_free(error: MaasError) -> bool:
    """Return True for failures that do not cost a retry."""
    return isinstance(error, ConnectionRefused | RequestUnread | InstanceBusy | InstanceSilent)


def call_directly(function: Callable[..., Response], *arguments: Any, **options: Any) -> Response:
    """Call a function in this thread; the counterpart of `offload` for cooperative transports."""
    return function(*arguments, **options)
