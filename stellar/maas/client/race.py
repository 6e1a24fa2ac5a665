"""Hedging: a slow attempt, and a second one on another instance."""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from stellar.maas.client.attempts import Attempt, Call, Decoded, InstanceSilent, exchange_of, request_url
from stellar.maas.client.instances import HedgePolicy
from stellar.maas.errors import (
    MaasError,
    RecordRefused,
)
from stellar.util.waiting import current_loop, is_ready

if TYPE_CHECKING:
    from stellar.maas.client.dispatch import Dispatcher

# An instance whose calls are beaten by hedges must have been silent for so long before its circuit opens: any process
# may be paused for a moment
MIN_SILENCE_SECONDS = 0.05
SILENT_DELAYS = 3


class Race:
    """A slow attempt, and sooner or later a second one on another instance; the first answer wins."""

    def __init__(
        self, dispatcher: Dispatcher, call: Call, first: Attempt, policy: HedgePolicy, tried: set[str]
    ) -> None:
        self._dispatcher, self._call, self._first, self._policy = dispatcher, call, first, policy
        self._tried = tried
        self._running = [first]
        self._failure: MaasError | None = None

    def run(self) -> tuple[list[Decoded], str]:
        """Return the first answer. Raises MaasError if both failed, InstanceSilent to give the first up."""
        hub = current_loop()
        assert hub is not None, "a race runs on a run loop"
        next_look = monotonic()
        try:
            while self._running:
                if (now := monotonic()) >= next_look:
                    self._look(now)
                    next_look = now + self._policy.delay
                ends = (min(each.until, exchange_of(each).limit) for each in self._running)
                wanted = [each for each in map(_wanted, self._running) if each is not None]
                if len(wanted) == len(self._running):  # else one has just begun
                    hub.await_any(wanted, max(0.0, min(next_look, *ends) - monotonic()))
                for attempt in tuple(self._running):
                    if (decoded := self._advance(attempt)) is not None:
                        return self._won(attempt, decoded)
            assert self._failure is not None
            raise self._failure
        finally:
            for attempt in self._running:
                if attempt is not self._first:  # which its caller ends
                    self._dispatcher.end_attempt(attempt)

    def _look(self, now: float) -> None:
        """Begin the second attempt if there is none and it may be. Raises InstanceSilent if the first has no chance."""
        dispatcher, first = self._dispatcher, self._first
        if first not in self._running:
            return
        if not first.trial:
            silence = max(MIN_SILENCE_SECONDS, SILENT_DELAYS * self._policy.delay)
            opened = dispatcher.breakers.open_if_silent(first.url, first.load.last_answer, silence)
            dispatcher.count_opened(first.url, opened)
        if len(self._running) > 1:
            return
        if first.url in dispatcher.breakers and not first.trial and self._others():
            first.settled = True
            raise InstanceSilent(f"{first.url} gives no answers")
        if (url := self._quieter()) is not None and self._policy.take():
            self._begin(url, now)

    def _others(self) -> list[str]:
        """The instances besides that could answer."""
        dispatcher = self._dispatcher
        urls = dispatcher.urls_of(self._call.model)
        return [
            url
            for url in urls
            if url not in self._tried and url not in dispatcher.breakers and dispatcher.may_call(url)
        ]

    def _quieter(self) -> str | None:
        """An instance with at most half as many of our requests."""
        dispatcher, model = self._dispatcher, self._call.model
        snapshot = None if model is None else dispatcher.registry.version(*model)
        settings = {} if snapshot is None else snapshot.settings
        loads = {
            url: load.requests
            for url in self._others()
            if 2 * (load := dispatcher.limiter.of(url)).requests <= self._first.load.requests
            and settings.get(url, {}).get("hedge", True)
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
        except MaasError as error:  # the first one goes on
            error.url = url
            self._failed(attempt, error)

    def _advance(self, attempt: Attempt) -> list[Decoded] | None:
        """Do what can be done for an attempt; its answer if that was all. Raises RecordRefused."""
        exchange = exchange_of(attempt)
        try:
            now = monotonic()
            ready = exchange.wanted is None or is_ready(exchange.wanted)
            if not ready and now >= attempt.until:
                raise self._dispatcher.timeout_error(attempt)
            if not ready and now < exchange.limit:
                return None
            answer = exchange.step(ready)
            return None if answer is None else self._dispatcher.read_response(self._call, attempt, answer)
        except MaasError as error:
            error.url = attempt.url
            self._failed(attempt, error)
            return None

    def _failed(self, attempt: Attempt, error: MaasError) -> None:
        self._dispatcher.report_failure(self._call, attempt, error)
        self._running.remove(attempt)
        if attempt is not self._first:
            self._dispatcher.end_attempt(attempt)
        if isinstance(error, RecordRefused):  # which is an answer
            self._beat_first(attempt)
            raise error
        self._failure = error

    def _won(self, winner: Attempt, decoded: list[Decoded]) -> tuple[list[Decoded], str]:
        self._policy.record(monotonic() - self._first.began)
        self._beat_first(winner)
        return decoded, winner.url

    def _beat_first(self, winner: Attempt) -> None:
        """Report that the first instance was slower, if it was another one and has not answered."""
        first = self._first
        if winner is not first and first in self._running:
            now = monotonic()
            first.settled = True
            first.load.measure(now - first.began, now)
            opened = self._dispatcher.breakers.record_beaten(first.url, first.began)
            self._dispatcher.count_opened(first.url, opened)


def _wanted(attempt: Attempt) -> Any:
    return exchange_of(attempt).wanted
