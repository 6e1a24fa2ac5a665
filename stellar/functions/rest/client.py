"""Calls of web services: who may be asked, how long, and how many at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx
from cachetools import LRUCache

from stellar.functions.jsons import DECODER
from stellar.functions.rest.connections import ConnectionPool, Response
from stellar.functions.rest.http import CallFailure, Route, Timeouts, basic_authorization, exchange
from stellar.functions.rest.proxies import host, parsed, port, server, without_secrets
from stellar.functions.rest.settings import RestSettings, check_global, limits
from stellar.language.runtime import described
from stellar.net.deadlines import DeadlineNetwork
from stellar.util.filesystems import read
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)


class RestClient:
    """Calls services. It keeps connections, and leaves a server alone for a while that fails again and again.

    The child of a fork begins without connections, failures or calls under way.

    settings: the global configuration, which is looked at in each call; but the limits `pooling.max.total` (100) and
        `pooling.default.max.per.route` (20) only now

    Raises LookupError for a setting that is unknown or has an invalid value.
    """

    def __init__(self, settings: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        check_global(settings)
        self.settings = settings
        self._clock = clock
        self._network = DeadlineNetwork()
        self._pools: dict[Route, ConnectionPool] = {}
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self._breaker = Breaker(self._clock)
        self._seats = Seats(*limits(self.settings))
        self._pools = {}
        self._making = threading.Lock()

    def after_fork(self) -> None:
        """Replace what was inherited by what is new. The threads that used it are in the parent only."""
        for pool in self._pools.values():
            pool.close_sockets()
        self._reset()

    def call(
        self, method: str, url: httpx.URL, settings: RestSettings, *, trusted: bool, content: bytes | None = None
    ) -> Any:
        """The JSON object that a service answers; what stands for an empty answer, or for none, where it does not.

        trusted: whether the address was written in the expression, and so may name any host

        Raises LookupError if a password or certificates can't be read.
        """
        try:
            answer = self._final_answer(method, url, settings, trusted, content)
            return _read_answer(answer, settings)
        except CallFailure as failure:
            log.warning("%s %s: %s", method, without_secrets(url), failure)  # Metron logs it, and gives the override
            return settings.error_value_override

    def close(self) -> None:
        """Close the connections."""
        with self._making:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _final_answer(
        self, method: str, url: httpx.URL, settings: RestSettings, trusted: bool, content: bytes | None
    ) -> Response:
        limits = Timeouts(
            settings.seconds(settings.connect_timeout),
            settings.seconds(settings.socket_timeout),
            time.monotonic() + settings.timeout / 1000,
        )
        first = url
        for _ in range(MOST_REDIRECTS + 1):
            _check_allowed(url, first, trusted, settings)
            headers = {"Accept": "application/json", **_authorization(first, url, settings)}
            if content is not None:
                headers["Content-Type"] = "application/json"
            answer = self._answer(method, url, headers, content, settings, limits)
            if method != "GET" or answer.status not in REDIRECTS or "location" not in answer.headers:
                return answer
            url = _following(url, answer.headers["location"])
        raise CallFailure(f"it leads on more than {MOST_REDIRECTS} times")

    def _answer(
        self,
        method: str,
        url: httpx.URL,
        headers: dict[str, str],
        content: bytes | None,
        settings: RestSettings,
        limits: Timeouts,
    ) -> Response:
        asked = server(url)
        waiting = min(settings.seconds(settings.connection_request_timeout), limits.left)
        with self._seats.taken(asked, waiting), self._breaker.watched(asked):
            answer = exchange(self._pool(settings), method, url, headers, content, limits)
            if answer.status >= 500 and answer.status not in settings.response_codes_allowed:
                raise CallFailure(f"the answer's status is {answer.status}", unwell=True)
            return answer

    def _pool(self, settings: RestSettings) -> ConnectionPool:
        user = settings.proxy_basic_auth_user
        auth = None if user is None else (user, _password(settings.proxy_basic_auth_password_path))
        route = Route(_proxy(settings), auth, settings.ca_path)
        with self._making:
            if route not in self._pools:
                self._pools[route] = route.pool(self._network)
            return self._pools[route]


class Breaker:
    """Keeps away from a server that has failed again and again, and after a while tries it once more.

    clock: tells the time in seconds
    failures: so many in a row are too many
    rest: so many seconds it is left alone then
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, failures: int = 5, rest: float = 30.0) -> None:
        self._clock = clock
        self._most = failures
        self._rest = rest
        self._lock = threading.Lock()
        # How many failures in a row, and until when it rests; of the servers of late, as records may name any number
        self._known: LRUCache[str, tuple[int, float]] = LRUCache(1000)

    @contextmanager
    def watched(self, server: str) -> Iterator[None]:
        """Ask a server within this.

        Raises CallFailure if it is to be left alone.
        """
        with self._lock:
            _, until = self._known.get(server, (0, 0.0))
        if until > self._clock():
            raise CallFailure(
                f"{server} has failed {self._most} times in a row, and is left alone for {self._rest:g} s"
            )
        try:
            yield
        except CallFailure as failure:
            if failure.unwell:
                self._failed(server)
            else:
                self._answered(server)
            raise
        self._answered(server)

    def _failed(self, server: str) -> None:
        with self._lock:
            failures, until = self._known.get(server, (0, 0.0))
            if failures + 1 < self._most:
                self._known[server] = failures + 1, until
            else:  # after the rest, one more failure is enough
                self._known[server] = self._most - 1, self._clock() + self._rest

    def _answered(self, server: str) -> None:
        with self._lock:
            self._known.pop(server, None)


class Seats:
    """Limits how many calls are under way, altogether and to one server."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, server: str, seconds: float) -> Iterator[None]:
        """Make a call within this.

        Raises CallFailure if it can't begin in that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_free(server), max(seconds, 0)):
                raise CallFailure("too many calls are under way, and none of them ended in time")
            self._taken[server] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[server] -= 1
                self._taken += Counter()  # without those that are 0
                self._changed.notify_all()

    def _is_free(self, server: str) -> bool:
        return self._taken[server] < self._each and self._taken.total() < self._total


def _following(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return parsed(location, url)
    except ValueError as error:
        raise CallFailure(f"it leads to what is no address: {error}") from error


def _check_allowed(url: httpx.URL, first: httpx.URL, trusted: bool, settings: RestSettings) -> None:
    """Raises CallFailure for an address that a call, which began at the first, may not ask."""
    if (trusted and host(url) == host(first)) or any(url in servers for servers in settings.hosts_allowed):
        return
    how = "comes from a record" if url is first else f"is where {server(first)} leads to"
    raise CallFailure(f"{server(url)} {how}, and hosts.allowed does not name it")


def _authorization(first: httpx.URL, url: httpx.URL, settings: RestSettings) -> dict[str, str]:
    """The header that says who asks: only to the server that was meant to know."""
    if (first.scheme, server(first)) != (url.scheme, server(url)):
        return {}
    if settings.basic_auth_user is not None:
        user, password = settings.basic_auth_user, _password(settings.basic_auth_password_path)
    elif first.username or first.password:
        user, password = first.username, first.password
    else:
        return {}
    return {"Authorization": basic_authorization(user, password)}


def _proxy(settings: RestSettings) -> tuple[str, int] | None:
    if settings.proxy_host is None:
        return None
    named = f"{settings.proxy_host}:{settings.proxy_port or 8080}"
    try:
        url = parsed(f"http://{named}/")
        if url.path != "/":
            raise ValueError("it is more than a host and a port")
    except ValueError as error:
        raise LookupError(f"{named}, from proxy.host and proxy.port, is no proxy: {error}") from error
    return url.raw_host.decode("ascii"), port(url)


def _password(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return read(path).decode()
    except (OSError, ValueError) as error:
        raise LookupError(f"the password in {path} can't be read: {error}") from error


def _read_answer(answer: Response, settings: RestSettings) -> Any:
    if answer.status not in settings.response_codes_allowed:
        raise CallFailure(f"the answer's status is {answer.status}")
    if settings.verify_content_length and "content-length" not in answer.headers:
        raise CallFailure("the answer does not tell its length")
    if not answer.body.strip():
        return settings.empty_content_override
    try:
        found = DECODER.decode(answer.body.decode())
    except (ValueError, RecursionError) as error:
        raise CallFailure(f"the answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise CallFailure(f"the answer is no JSON object, but {described(found)}")
    return found
