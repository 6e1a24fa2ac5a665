"""HTTP requests over pooled connections, for models and REST functions alike.

`HttpClient.begin` returns an Exchange: a request and its response, which its caller can stop waiting for, resume,
compare with a second one, or abandon. It waits cooperatively in a fiber, and as usual in a thread.

A connection is reused only if nothing at all arrived on it since its last response, and the other side has not closed
it. Anything unusual about a response on a reused connection (bytes after its end, a 408 meant for the idle connection,
a close) sends the request again on a new one: what arrived may belong to another request. A server that sent
unsolicited bytes gets a new connection for each request, for a while.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import lru_cache
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


@lru_cache(1024)
def parse_url(url: str) -> Target:
    """Parse a URL without a query. Raises ValueError if it is not http or https, or can't be requested."""
    try:
        parts = urlsplit(url)
        host, port, tls = parts.hostname or "", parts.port, parts.scheme == "https"
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:  # also for a host that can't be encoded
        raise ValueError(f"invalid URL {url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not host or FORBIDDEN.search(host):
        raise invalid_url(url)
    path = parts.path if parts.path.isascii() else quote(parts.path, safe="/:@!$&'()*+,;=~%")
    default = 443 if tls else 80
    address = Address(host, default if port is None else port, tls)
    name = f"[{host}]" if ":" in host and is_numeric(host) else host
    return Target(address, path, name if address.port == default else f"{name}:{address.port}")


def invalid_url(url: str) -> ValueError:
    """Return the error for a URL whose host or target can't be sent."""
    return ValueError(f"invalid URL {without_query(url)!r}: missing host, or contains whitespace or control characters")


def without_query(url: str) -> str:
    """Return a URL as it may be logged: the query holds values of records."""
    return url.partition("?")[0]


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """Return the bytes of a request.

    headers: in the order in which they are sent; Content-Length is added for a body

    Raises ValueError for a target, name or value that would break the framing of HTTP/1.1.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if FORBIDDEN.search(target) or any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("invalid request: the target or a header contains control characters")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Exchange(Generic[R]):
    """A request and its response, which can be waited for in portions.

    wanted: what it waits for at this moment; None before it has begun
    limit: the monotonic time at which the present step has taken too long
    connected: True once it has a connection
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

        steps: yields what has to be waited for, is sent whether that is ready (False: the limit has passed), and
            returns the response
        """
        self._steps = steps
        return self

    def run(self, until: float, idle_seconds: float = inf) -> R:
        """Wait for the response until a monotonic time.

        What has arrived by then is still read, but only once: a response might never end.

        idle_seconds: the longest wait between two portions

        Raises TimeoutError when the time has passed; the exchange goes on if this is called again, until it is closed.
        Raises what `step` raises, which ends it.
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
        """Wait for what is wanted; return False if the step's limit has passed. Raises TimeoutError."""
        assert self.wanted is not None
        by_limit = self.limit - monotonic()
        if wait_for(self.wanted, min(seconds, by_limit)):
            return True
        if by_limit > seconds:
            raise TimeoutError
        return False

    def step(self, ready: bool) -> R | None:
        """Do what can be done without waiting; return the response if that completes it.

        ready: whether what was wanted is ready; False if the limit has passed

        Raises what `convert_error` returns for an error.
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
        """Return the exception to raise for OSError, ConnectTimeout, TunnelRefused or what http11 raises."""
        return error

    def close(self) -> None:
        """Abandon the exchange, and close its connection, if it has not ended."""
        self._steps.close()


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    headers: such as Proxy-Authorization
    """

    address: Address
    headers: Mapping[str, str]


class HttpClient(Generic[R]):
    """Keep-alive connections to servers by http and https, shared by all threads and fibers.

    to_response: converts a complete response
    tls: returns the context for https; called at the first use
    on_unsolicited: called when a server sent bytes that belong to no request
    """

    def __init__(
        self,
        to_response: Callable[[ResponseParser], R],
        tls: Callable[[], ssl.SSLContext],
        resolver: NameResolver | None = None,
        proxy: Proxy | None = None,
        on_unsolicited: Callable[[], object] = lambda: None,
    ) -> None:
        self._to_response = to_response
        self._tls = tls
        self._resolver = resolver or NameResolver()
        self._proxy = proxy
        self._on_unsolicited = on_unsolicited
        self._pool = ConnectionPool(on_unsolicited)

    def abandon(self) -> None:
        """Close the child's copies of all sockets after a fork, and begin without connections."""
        self._pool.abandon()
        self._pool = ConnectionPool(self._on_unsolicited)

    def close_idle(self, address: Address) -> None:
        """Close the connections to a server that are not in use."""
        self._pool.close_idle(address)

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they are released."""
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
        """Return an exchange that will send a request; nothing is sent before its first step.

        max_bytes: the largest body of the response
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
        """Return the response, and the connection to the pool if it can be reused."""
        # A 408 may be about the time before the request; a response to the request itself may follow
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
        """Open a connection to whichever address of a host accepts one first."""
        end = exchange.limit
        if (looked_up := self._resolver.begin(address.host)) is not None:
            while not looked_up.done:
                if not (yield looked_up):
                    raise TimeoutError
        addresses = self._resolver.known(address.host)
        context = self._tls() if tls else None
        for left, (family, host) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = monotonic()
            exchange.limit = now + (end - now) / min(left, 2)  # leaves time for the next one
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
