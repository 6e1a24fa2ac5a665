"""Requests to models over HTTP, and their responses.

`Transport` is the seam: one method, so that it can be replaced. `HttpTransport` keeps connections to models alive. It
offers more than the seam asks for: `begin` gives an Exchange, which its caller can stop waiting for, go on with later,
compare with a second one, or abandon.

A connection is only used again if nothing at all arrived on it since its last response, and the other side has not
closed it. Whatever is unusual about a response on a used connection (bytes beyond its end, a 408 that was meant for an
idle connection, a close) sends the request again on a fresh one: what arrived may belong to another request. A server
that sent what nobody asked for gets a connection of its own for each request, for a while.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Generator
from functools import lru_cache
from math import inf
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from stellar.maas.errors import (
    ConnectionLost,
    ConnectionRefused,
    ModelRefused,
    ModelTimeOut,
    ModelUnavailable,
    RequestUnread,
)
from stellar.maas.transport.base import HEADERS, POST_HEADERS, Response, Timeouts, TlsSettings
from stellar.maas.transport.connection_pool import Address, ConnectionPool
from stellar.net.http11 import (
    Connection,
    IncompleteResponse,
    ProtocolError,
    ResponseParser,
    ResponseTooLarge,
    connect,
)
from stellar.net.name_resolution import NameResolver, is_numeric
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Wanted, wait_for

if TYPE_CHECKING:
    import ssl

    from stellar.maas.transport.credentials import Authorization


REQUEST_TIMEOUT = 408

# Of a connection that could not be made because nothing listens there, or there is no way to it
_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)

# Of a connection whose other side ended without having read all that was sent
_RESET = (errno.ECONNRESET, errno.EPIPE)


Steps = Generator[Wanted, bool, Response]


class Exchange:
    """A request and its response, which can be waited for in portions.

    steps: does the work. It yields what has to be waited for, is sent whether that is ready (False: the limit has
        passed), and returns the answer

    wanted: what it waits for at this moment; None before it has begun
    limit: the monotonic time at which the present step has taken too long
    connected: whether it has a connection
    """

    __slots__ = ("_steps", "connected", "limit", "url", "wanted")

    def __init__(self, url: str) -> None:
        self.url = url
        self.limit = inf
        self.connected = False
        self.wanted: Wanted | None = None
        self._steps: Steps

    def follow(self, steps: Steps) -> Exchange:
        self._steps = steps
        return self

    def run(self, until: float) -> Response:
        """Wait for the answer, but not beyond a monotonic time.

        What has arrived by then counts, but once only: it might never end.

        Raises TimeoutError when the time is over; the exchange goes on if this is called again, until it is closed.
        Raises ModelUnavailable, ModelTimeOut (for a connection) or ModelRefused, which end it.
        """
        answer = self.step(True) if self.wanted is None else None
        late = False
        while answer is None:
            left = until - monotonic()
            if left < 0:
                if late:
                    raise TimeoutError
                late = True
            answer = self.step(self._await(left))
        return answer

    def _await(self, seconds: float) -> bool:
        """Wait for what is wanted; False if the step's limit has passed. Raises TimeoutError if the time has."""
        assert self.wanted is not None
        by_limit = self.limit - monotonic()
        if wait_for(self.wanted, min(seconds, by_limit)):
            return True
        if by_limit > seconds:
            raise TimeoutError
        return False

    def step(self, ready: bool) -> Response | None:
        """Do what can be done without waiting; the answer if that completes it. Raises what `run` raises.

        ready: whether what was wanted is there; False if the limit has passed
        """
        try:
            self.wanted = next(self._steps) if self.wanted is None else self._steps.send(ready)
        except StopIteration as end:
            answer: Response = end.value
            return answer
        except TimeoutError:
            raise ModelTimeOut(f"{shown(self.url)} accepted no connection in time") from None
        except ResponseTooLarge as error:
            raise ModelRefused(str(error)) from None
        except (OSError, UnicodeError, ProtocolError) as error:
            raise self._failure(error) from error
        return None

    def _failure(self, error: Exception) -> ModelUnavailable:
        where = shown(self.url)
        if isinstance(error, ProtocolError):
            kind = ConnectionLost if isinstance(error, IncompleteResponse) else ModelUnavailable
            return kind(f"{where} can't be reached by HTTP: {error}", "bad reply")
        message = f"{where} can't be reached: {str(error) or type(error).__name__}"
        if self.connected:
            is_reset = isinstance(error, OSError) and error.errno in _RESET
            return RequestUnread(message) if is_reset else ConnectionLost(message)
        refused = isinstance(error, OSError) and error.errno in _REFUSED
        return ConnectionRefused(message) if refused else ModelUnavailable(message)

    def close(self) -> None:
        """Abandon it if it has not ended, and close its connection then."""
        self._steps.close()


class HttpTransport:
    """Keep-alive connections to models by http and https, shared by all threads and fibers.

    context: how connections are secured by https; by default as `trust` says
    on_unsolicited: called when a server sent what nobody asked for: an earlier answer of it may have been another's

    Raises ValueError or OSError for files that can't be used.
    """

    cooperative = True  # in a fiber, where it waits

    def __init__(
        self,
        patience: Timeouts,
        trust: TlsSettings | None = None,
        resolver: NameResolver | None = None,
        context: ssl.SSLContext | None = None,
        on_unsolicited: Callable[[], object] = lambda: None,
    ) -> None:
        trust = trust or TlsSettings()
        self._patience = patience
        self._resolver = resolver or NameResolver()
        self._authorization: Authorization | None = None
        self._context = context
        if trust.authorization is not None or trust.ca is not None or trust.certificate is not None:
            from stellar.maas.transport import credentials  # loads ssl, which few need

            if trust.authorization is not None:
                self._authorization = credentials.Authorization(trust.authorization, plain=trust.plain)
            self._context = context or credentials.tls_context(trust.ca, trust.certificate, trust.key)
        self._on_unsolicited = on_unsolicited
        self._pool = ConnectionPool(on_unsolicited)
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._pool.abandon()
        self._pool = ConnectionPool(self._on_unsolicited)

    def get(self, url: str, seconds: float | None = None) -> Response:
        return self._complete(self.begin(url), seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Response:
        return self._complete(self.begin(url, body), seconds)

    def begin(self, url: str, body: bytes | None = None) -> Exchange:
        """A GET or, with a body, a POST, as an exchange that has not begun.

        Raises ModelUnavailable for a URL that can't be requested.
        """
        exchange = Exchange(url)
        address, _, query = url.partition("?")
        target, path, host = _parsed(address)
        request = _request(f"{path}?{query}", host, body, self._identification(target))
        return exchange.follow(self._steps(exchange, target, request))

    def close_idle(self, url: str) -> None:
        """Close the connections to an instance that are not in use: it was removed, and waits for us to leave."""
        self._pool.close_idle(_parsed(url)[0])

    def _complete(self, exchange: Exchange, seconds: float | None) -> Response:
        try:
            return exchange.run(monotonic() + self._patience.within(seconds))
        except TimeoutError:
            raise ModelTimeOut(f"{shown(exchange.url)} gave no answer in time") from None
        finally:
            exchange.close()

    def _identification(self, target: Address) -> str:
        """The line of the head that says who we are; empty where that is not to be sent."""
        value = self._authorization and self._authorization.header(secure=target.tls)
        return f"Authorization: {value}\r\n" if value else ""

    def _steps(self, exchange: Exchange, target: Address, request: bytes) -> Steps:
        used = self._pool.take(target)
        if used is not None:
            try:
                parser = yield from used.exchange(request, self._patience.most_bytes)
            except BaseException as error:
                used.close()
                if not isinstance(error, OSError | ProtocolError):
                    raise
                if not isinstance(error, OSError | IncompleteResponse):
                    self._pool.distrust(target)
            else:
                if not parser.surplus and parser.status != REQUEST_TIMEOUT:
                    if parser.keeps_alive:
                        self._pool.put(target, used)
                    else:
                        used.close()
                    return _answer(parser)
                self._discard(target, used, parser)
        connection = yield from self._connect(exchange, target)
        exchange.connected = True
        try:
            parser = yield from connection.exchange(request, self._patience.most_bytes)
        except BaseException:
            connection.close()
            raise
        return self._release(target, connection, parser)

    def _release(self, target: Address, connection: Connection, parser: ResponseParser) -> Response:
        """Keep the connection for the next request if it can be used again; the answer."""
        if parser.keeps_alive and not parser.surplus:
            self._pool.put(target, connection)
        else:
            self._discard(target, connection, parser)
        return _answer(parser)

    def _discard(self, target: Address, connection: Connection, parser: ResponseParser) -> None:
        if parser.surplus:
            self._pool.distrust(target)
        connection.close()

    def _connect(self, exchange: Exchange, target: Address) -> Generator[Wanted, bool, Connection]:
        """A fresh connection, by whichever of the host's addresses accepts one first."""
        end = exchange.limit = monotonic() + self._patience.connect_seconds
        if (looked_up := self._resolver.begin(target.host)) is not None:
            while not looked_up.done:
                if not (yield looked_up):
                    raise TimeoutError
        addresses = self._resolver.known(target.host)
        context = self._tls() if target.tls else None
        for left, (family, host) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = monotonic()
            exchange.limit = now + (end - now) / min(left, 2)  # some time is left for the next one
            try:
                connection = yield from connect(family, (host, target.port), context, target.host)
            except OSError:
                if left == 1:
                    raise
            else:
                break
        exchange.limit = inf
        self._pool.watch(connection)
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            import ssl  # which few need

            self._context = ssl.create_default_context()
        return self._context

    def close(self) -> None:
        self._pool.close()


def _answer(parser: ResponseParser) -> Response:
    if parser.status == 200 or (after := parser.headers.get(b"retry-after")) is None:
        return Response(parser.status, parser.body)
    return Response(parser.status, parser.body, _seconds(after))


def _seconds(after: bytes) -> float | None:
    """The seconds of a Retry-After header, which may also be a date."""
    if after.isdigit() and len(after) < 10:
        return float(after)
    from email.utils import parsedate_to_datetime  # slow to load, and seldom needed
    from time import time

    try:
        return max(0.0, parsedate_to_datetime(after.decode("latin-1")).timestamp() - time())
    except (ValueError, TypeError):
        return None


def shown(url: str) -> str:
    """A URL as it may be logged: without the query, which holds what records say."""
    return url.partition("?")[0]


def _request(target: str, host: str, body: bytes | None, identification: str) -> bytes:
    if _FORBIDDEN.search(target):
        raise _invalid(f"//{host}{target}")
    if body is None:
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{_HEADERS}{identification}\r\n".encode("ascii")
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{_POST_HEADERS}{identification}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


@lru_cache(1024)
def _parsed(url: str) -> tuple[Address, str, str]:
    """Return the address, the path and the value of the Host header of a URL without a query."""
    try:
        parts = urlsplit(url)
        host, port, tls = parts.hostname or "", parts.port, parts.scheme == "https"
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:  # also of what can't be encoded as a name
        raise ModelUnavailable(f"invalid URL {url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not host or _FORBIDDEN.search(host):
        raise _invalid(url)
    path = parts.path if parts.path.isascii() else quote(parts.path, safe="/:@!$&'()*+,;=~%")
    default = 443 if tls else 80
    name = f"[{host}]" if ":" in host and is_numeric(host) else host
    target = Address(host, default if port is None else port, tls)
    return target, path, name if target.port == default else f"{name}:{target.port}"


def _invalid(url: str) -> ModelUnavailable:
    return ModelUnavailable(f"invalid URL {shown(url)!r}: missing host, or contains whitespace or control characters")


_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
_HEADERS, _POST_HEADERS = (
    "".join(f"{name}: {value}\r\n" for name, value in headers.items()) for headers in (HEADERS, POST_HEADERS)
)
