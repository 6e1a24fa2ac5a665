"""HTTP requests over pooled connections, for models and REST functions alike.

`HttpClient.begin` returns an Exchange: a request and its response, which the caller can wait for in steps, concurrently
with a second one, and abandon. Waiting yields in a fiber and blocks in a thread.

A connection is reused only if nothing arrived on it since its last response, and the server has not closed it. After an
unusual response on a reused connection (bytes after its end, a 408 meant for the idle connection, a close) the request
is sent again on a new one, because the bytes may belong to another request. A server that sent unsolicited bytes gets a
new connection for each request, for some time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from stellar.net.connection_pool import Address, ConnectionPool
from stellar.net.http11 import (
    Connection,
    IncompleteResponse,
    ProtocolError,
    ResponseParser,
    connect,
)
from stellar.net.name_resolution import NameResolver, is_numeric
from stellar.util.abbreviate import quote as quote_value
from stellar.util.memoize import memoize_for
from stellar.util.waiting import Waitable, wait_for

if TYPE_CHECKING:
    import ssl

R = TypeVar("R")
Steps = Generator[Waitable, bool, R]

REQUEST_TIMEOUT = 408
FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")


class ConnectTimeout(Exception):
    """No connection was established in time."""


class TunnelRefused(Exception):
    """The proxy refused to connect to the server."""


class Target(NamedTuple):
    """A URL without its query, parsed.

    host: the value of the Host header
    """

    address: Address
    path: str
    host: str


@memoize_for(1024)
def parse_url(url: str) -> Target:
    """Parse an http or https URL without a query. Raises ValueError for an invalid URL."""
    try:
        parts = urlsplit(url)
        host, port, tls = parts.hostname or "", parts.port, parts.scheme == "https"
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:  # also for a host that can't be encoded
        raise ValueError(f"invalid URL {quote_value(url)}: {error}") from None
    if parts.scheme not in ("http", "https") or not host or FORBIDDEN.search(host):
        raise invalid_url(url)
    path = parts.path if parts.path.isascii() else quote(parts.path, safe="/:@!$&'()*+,;=~%")
    default = 443 if tls else 80
    address = Address(host, default if port is None else port, tls)
    name = f"[{host}]" if ":" in host and is_numeric(host) else host
    return Target(address, path, name if address.port == default else f"{name}:{address.port}")


def invalid_url(url: str) -> ValueError:
    """Return the error for a URL whose host or target is invalid."""
    return ValueError(
        f"invalid URL {quote_value(without_query(url))}: missing host, or contains whitespace or control characters"
    )


def without_query(url: str) -> str:
    """Return a URL for logs: without its query, which contains values of records."""
    return url.partition("?")[0]


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """Return the bytes of a request.

    headers: in the order in which they are sent; Content-Length is added for a body

    Raises ValueError for a target, name or value with characters that would break the framing of HTTP/1.1.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if FORBIDDEN.search(target) or any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("invalid request: the target or a header contains control characters")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Exchange(Generic[R]):
    """A request and its response, in steps that never block.

    wanted: the socket or future to wait for before the next step; None before the first step
    limit: the monotonic deadline of the current step
    connected: True once a new connection is established
    """

    __slots__ = ("_steps", "connected", "limit", "url", "wanted")

    def __init__(self, url: str) -> None:
        self.url = url
        self.limit = inf
        self.connected = False
        self.wanted: Waitable | None = None
        self._steps: Steps[R]

    def follow(self, steps: Steps[R]) -> Exchange[R]:
        """Set the generator that does the work, and return this exchange.

        steps: yields the socket or future to wait for, is sent True if it is ready or False if the limit has passed,
            and returns the response
        """
        self._steps = steps
        return self

    def run(self, until: float, idle_seconds: float = inf) -> R:
        """Wait for the response and return it.

        until: a monotonic time; bytes that have arrived by then are still read, but only once, because a response might
            never end
        idle_seconds: the longest wait between two portions

        Raises TimeoutError after that time; a later call continues the exchange, until it is closed. Raises the
        exceptions of `step`, which end it.
        """
        response = self.step(True) if self.wanted is None else None
        late = False
        while response is None:
            left = until - monotonic()
            if left < 0:
                if late:
                    raise TimeoutError
                late = True
            response = self.step(self._await(min(left, idle_seconds)))
        return response

    def _await(self, seconds: float) -> bool:
        """Wait for the next step; return False if its limit has passed. Raises TimeoutError."""
        assert self.wanted is not None
        if self.limit == inf:  # except while it connects
            if wait_for(self.wanted, seconds):
                return True
            raise TimeoutError
        by_limit = self.limit - monotonic()
        if wait_for(self.wanted, min(seconds, by_limit)):
            return True
        if by_limit > seconds:
            raise TimeoutError
        return False

    def step(self, ready: bool) -> R | None:
        """Continue without waiting; return the response if that completes it, else None.

        ready: True if `wanted` is ready, False if the limit has passed

        Raises the exception that `convert_error` returns for an error.
        """
        try:
            self.wanted = next(self._steps) if self.wanted is None else self._steps.send(ready)
        except StopIteration as end:
            response: R = end.value
            return response
        except Exception as error:
            raise self.convert_error(error) from error
        return None

    def convert_error(self, error: Exception) -> Exception:
        """Return the exception to raise for OSError, ConnectTimeout, TunnelRefused or an exception of http11."""
        return error

    def close(self) -> None:
        """Abandon the exchange, if it has not ended, and close its connection."""
        self._steps.close()


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    headers: such as Proxy-Authorization
    """

    address: Address
    headers: Mapping[str, str]


class HttpClient(Generic[R]):
    """An HTTP client with a connection pool, by http and https. Safe to use from many threads and fibers.

    to_response: converts a complete response
    tls: returns the context for https; called only if it is needed
    resolver: may be shared by several clients
    proxy: used for all requests; None for direct connections
    on_unsolicited: called when a server sent bytes that belong to no request
    while_idle: called four times a second while there are idle connections, in a thread
    """

    def __init__(
        self,
        to_response: Callable[[ResponseParser], R],
        tls: Callable[[], ssl.SSLContext],
        resolver: NameResolver | None = None,
        proxy: Proxy | None = None,
        on_unsolicited: Callable[[], object] = lambda: None,
        while_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._to_response = to_response
        self._tls = tls
        self._resolver = resolver or NameResolver()
        self._proxy = proxy
        self._on_unsolicited, self._while_idle = on_unsolicited, while_idle
        self._pool = ConnectionPool(on_unsolicited, while_idle)

    def abandon(self) -> None:
        """Close the child's copies of all sockets after a fork, and start with an empty pool."""
        self._pool.abandon()
        self._pool = ConnectionPool(self._on_unsolicited, self._while_idle)

    def retire(self, address: Address) -> None:
        """Close the connections to a server that was removed: idle ones now, each other one after its exchange."""
        self._pool.retire(address)

    def close(self) -> None:
        """Close the idle connections now, and each other one when it is released."""
        self._pool.close()

    def begin(
        self,
        exchange: Exchange[R],
        address: Address,
        request: bytes,
        *,
        connect_seconds: float,
        max_bytes: int,
        repeatable: bool = True,
    ) -> Exchange[R]:
        """Return the given exchange, prepared to send a request; nothing is sent before its first step.

        connect_seconds: time-out for name resolution, the connection and the TLS handshake together
        max_bytes: the largest allowed body of the response
        repeatable: False if the request must not be sent again once a server may have received it
        """
        return exchange.follow(self._steps(exchange, address, request, connect_seconds, max_bytes, repeatable))

    def _steps(
        self,
        exchange: Exchange[R],
        address: Address,
        request: bytes,
        connect_seconds: float,
        max_bytes: int,
        repeatable: bool,
    ) -> Steps[R]:
        used = self._pool.take(address)
        if used is not None:
            try:
                parser = yield from used.exchange(request, max_bytes)
            except BaseException as error:
                used.close()
                if not isinstance(error, OSError | ProtocolError) or not (repeatable or used.is_unsent):
                    raise
                if not isinstance(error, OSError | IncompleteResponse):
                    self._pool.distrust(address)
            else:
                if not parser.surplus and parser.status != REQUEST_TIMEOUT:
                    if parser.keeps_alive:
                        self._pool.put(address, used)
                    else:
                        used.close()
                    return self._to_response(parser)
                self._discard(address, used, parser)
        connection = yield from self._connect(exchange, address, connect_seconds)
        exchange.connected = True
        try:
            parser = yield from connection.exchange(request, max_bytes)
        except BaseException:
            connection.close()
            raise
        return self._release(address, connection, parser)

    def _release(self, address: Address, connection: Connection, parser: ResponseParser) -> R:
        """Return the response; put the connection back into the pool if it can be reused."""
        # A 408 may have been sent before the request arrived; a response to the request itself may follow
        if parser.keeps_alive and not parser.surplus and parser.status != REQUEST_TIMEOUT:
            self._pool.put(address, connection)
        else:
            self._discard(address, connection, parser)
        return self._to_response(parser)

    def _discard(self, address: Address, connection: Connection, parser: ResponseParser) -> None:
        if parser.surplus:
            self._pool.distrust(address)
        connection.close()

    def _connect(
        self, exchange: Exchange[R], address: Address, connect_seconds: float
    ) -> Generator[Waitable, bool, Connection]:
        exchange.limit = monotonic() + connect_seconds
        try:
            if self._proxy is None:
                connection = yield from self._open(exchange, address, address.tls)
            else:
                connection = yield from self._open_by_proxy(exchange, address, self._proxy)
        except TimeoutError as error:
            raise ConnectTimeout("no connection was established in time") from error
        exchange.limit = inf
        self._pool.watch(connection)
        return connection

    def _open(self, exchange: Exchange[R], address: Address, tls: bool) -> Generator[Waitable, bool, Connection]:
        """Open a connection to the first address of a host that accepts one."""
        end = exchange.limit
        if (look_up := self._resolver.begin(address.host)) is not None:
            while not look_up.done:
                if not (yield look_up):
                    raise TimeoutError
        addresses = self._resolver.get_known(address.host)
        context = self._tls() if tls else None
        for left, (family, host) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = monotonic()
            exchange.limit = now + (end - now) / min(left, 2)  # leave time for the next address
            try:
                return (yield from connect(family, (host, address.port), context, address.host))
            except OSError:
                if left == 1:
                    raise
        raise AssertionError("a resolved host has an address")

    def _open_by_proxy(
        self, exchange: Exchange[R], address: Address, proxy: Proxy
    ) -> Generator[Waitable, bool, Connection]:
        end = exchange.limit
        connection = yield from self._open(exchange, proxy.address, False)
        exchange.limit = end
        if not address.tls:
            return connection
        name = f"[{address.host}]:{address.port}" if ":" in address.host else str(address)
        try:
            request = encode_request("CONNECT", name, {"Host": name, **proxy.headers})
            status = yield from connection.open_tunnel(request)
            if not 200 <= status < 300:
                raise TunnelRefused(f"the proxy refused a connection to {name}: status {status}")
            return (yield from connection.secure(self._tls(), address.host))
        except BaseException:
            connection.close()
            raise
