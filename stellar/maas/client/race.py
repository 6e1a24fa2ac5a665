"""Hedging: a second attempt on another instance while the first one is slow."""

from __future__ import annotations

import random
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from stellar.maas.client.attempts import Attempt, Decoded, InstanceSilent, ModelCall, exchange_of, request_url
from stellar.maas.client.instances import HedgePolicy
from stellar.maas.errors import MaasError, RecordRefused
from stellar.util.waiting import current_loop, is_ready

if TYPE_CHECKING:
    from stellar.maas.client.dispatch import Dispatcher

# The circuit of an instance that loses to hedges opens only after it has not responded for this time, because any
# process may be paused briefly
MIN_SILENCE_SECONDS = 0.05
SILENT_DELAYS = 3


class Race:
    """A slow attempt and its hedge, an attempt on another instance; the first response wins.

    `run` waits on a run loop for both exchanges. It also checks the first instance once per hedging delay: whether a
    hedge may be sent (budget, a less loaded instance), and whether the instance has stopped responding to all callers.
    """

    def __init__(
        self, dispatcher: Dispatcher, call: ModelCall, first: Attempt, policy: HedgePolicy, tried: set[str]
    ) -> None:
        self._dispatcher, self._call, self._first, self._policy = dispatcher, call, first, policy
        self._tried = tried
        self._running = [first]
        self._failure: MaasError | None = None

    def run(self) -> tuple[list[Decoded], str]:
        """Return the first response and its URL. Raises MaasError if both failed, or InstanceSilent."""
        loop = current_loop()
        assert loop is not None, "a race needs a run loop"
        next_check = monotonic()
        try:
            while self._running:
                if (now := monotonic()) >= next_check:
                    self._check(now)
                    next_check = now + self._policy.delay
                ends = (min(each.until, exchange_of(each).limit) for each in self._running)
                waiting_for = [each for each in map(_wait_target, self._running) if each is not None]
                if len(waiting_for) == len(self._running):  # otherwise one has just begun
                    loop.await_any(waiting_for, max(0.0, min(next_check, *ends) - monotonic()))
                for attempt in tuple(self._running):
                    if (decoded := self._advance(attempt)) is not None:
                        return self._finish(attempt, decoded)
            assert self._failure is not None
            raise self._failure
        finally:
            for attempt in self._running:
                if attempt is not self._first:  # the caller ends the first one
                    self._dispatcher.end_attempt(attempt)

    def _check(self, now: float) -> None:
        """Begin the hedge if it is due. Raises InstanceSilent if the first one stopped responding."""
        dispatcher, first = self._dispatcher, self._first
        if first not in self._running:
            return
        if not first.trial:
            silence = max(MIN_SILENCE_SECONDS, SILENT_DELAYS * self._policy.delay)
            opened = dispatcher.breakers.open_if_unresponsive(first.url, first.load.last_response, silence)
            dispatcher.count_opened(first.url, opened)
        if len(self._running) > 1:
            return
        if first.url in dispatcher.breakers and not first.trial and self._other_urls():
            first.settled = True
            raise InstanceSilent(f"{first.url} has stopped responding")
        if (url := self._less_loaded_url()) is not None and self._policy.take():
            self._begin(url, now)

    def _other_urls(self) -> list[str]:
        """Return the other instances that may be called."""
        dispatcher = self._dispatcher
        urls = dispatcher.urls_of(self._call.model)
        return [
            url
            for url in urls
            if url not in self._tried and url not in dispatcher.breakers and dispatcher.is_allowed(url)
        ]

    def _less_loaded_url(self) -> str | None:
        """Return the least loaded other instance with at most half as many requests, if any.

        A trial may use any other instance: it is the only request of its own, and the others are busy with all the
        rest. The calls that follow in a window would have to end before it.
        """
        dispatcher, model = self._dispatcher, self._call.model
        snapshot = None if model is None else dispatcher.registry.version(*model)
        settings = {} if snapshot is None else snapshot.settings
        most = inf if self._first.trial else self._first.load.requests
        loads = {
            url: load.requests
            for url in self._other_urls()
            if 2 * (load := dispatcher.limiter.of(url)).requests <= most and settings.get(url, {}).get("hedge", True)
        }
        return min(loads, key=lambda url: (loads[url], random.random())) if loads else None

    def _begin(self, url: str, now: float) -> None:
        dispatcher, call = self._dispatcher, self._call
        load = dispatcher.limiter.of(url)
        if not dispatcher.limiter.try_enter(load):
            return
        self._tried.add(url)
        attempt = dispatcher.new_attempt(call, url, load, now)
        self._running.append(attempt)
        dispatcher.counters.count("hedged")
        assert dispatcher.begin_exchange is not None
        try:
            attempt.exchange = dispatcher.begin_exchange(request_url(url, call), call.body)
        except MaasError as error:  # the first attempt continues
            error.url = url
            self._record_failure(attempt, error)

    def _advance(self, attempt: Attempt) -> list[Decoded] | None:
        """Advance an attempt without waiting; return its decoded response if it is complete. Raises RecordRefused."""
        exchange = exchange_of(attempt)
        try:
            now = monotonic()
            ready = exchange.wanted is None or is_ready(exchange.wanted)
            if not ready and now >= attempt.until:
                raise self._dispatcher.timeout_error(attempt)
            if not ready and now < exchange.limit:
                return None
            response = exchange.step(ready)
            return None if response is None else self._dispatcher.read_response(self._call, attempt, response)
        except MaasError as error:
            error.url = attempt.url
            self._record_failure(attempt, error)
            return None

    def _record_failure(self, attempt: Attempt, error: MaasError) -> None:
        self._dispatcher.report_failure(self._call, attempt, error)
        self._running.remove(attempt)
        if attempt is not self._first:
            self._dispatcher.end_attempt(attempt)
        if isinstance(error, RecordRefused):  # a valid response
            self._beat_first(attempt)
            raise error
        self._failure = error

    def _finish(self, winner: Attempt, decoded: list[Decoded]) -> tuple[list[Decoded], str]:
        self._policy.record(monotonic() - self._first.began)
        self._beat_first(winner)
        return decoded, winner.url

    def _beat_first(self, winner: Attempt) -> None:
        """Report that the first instance lost to the hedge, if it did."""
        first = self._first
        if winner is not first and first in self._running:
            now = monotonic()
            first.settled = True
            first.load.measure(now - first.began, now)
            opened = self._dispatcher.breakers.record_beaten(first.url, first.began)
            self._dispatcher.count_opened(first.url, opened)


def _wait_target(attempt: Attempt) -> Any:
    """Return the event or socket that an attempt waits for."""
    return exchange_of(attempt).wanted
