"""The HTTP transport: requests to models over keep-alive connections.

`HttpTransport` implements the protocol `Transport`, and one method more: `begin` returns an exchange, which can be
waited for in steps, concurrently with a second one, and abandoned.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from stellar.maas.errors import (
    ConnectionLost,
    ConnectionRefused,
    ModelRefused,
    ModelTimeOut,
    ModelUnavailable,
    RequestUnread,
)
from stellar.maas.transport.base import HEADERS, POST_HEADERS, Response, Timeouts, TlsSettings
from stellar.net.http import (
    FORBIDDEN,
    ConnectTimeout,
    Exchange,
    HttpClient,
    Target,
    invalid_url,
    parse_url,
    without_query,
)
from stellar.net.http11 import IncompleteResponse, ProtocolError, ResponseParser, ResponseTooLarge
from stellar.net.name_resolution import NameResolver
from stellar.util.forks import reset_after_fork
from stellar.util.memoize import memoize_for

if TYPE_CHECKING:
    import ssl

    from stellar.net.credentials import Authorization

# Errors of a connection that could not be opened, so the server has received nothing
_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)

# Errors of a connection that the server closed without having read all of the request
_RESET = (errno.ECONNRESET, errno.EPIPE)


class ModelExchange(Exchange[Response]):
    """An exchange with a model. Its methods raise ModelUnavailable, ModelTimeOut (for a connection) or ModelRefused."""

    __slots__ = ()

    def convert_error(self, error: Exception) -> Exception:
        where = without_query(self.url)
        if isinstance(error, ConnectTimeout):
            return ModelTimeOut(f"{where} accepted no connection in time")
        if isinstance(error, ResponseTooLarge):
            return ModelRefused(str(error))
        if isinstance(error, ProtocolError):
            kind = ConnectionLost if isinstance(error, IncompleteResponse) else ModelUnavailable
            return kind(f"{where} can't be reached by HTTP: {error}", "bad reply")
        if not isinstance(error, OSError | UnicodeError):
            return error
        message = f"{where} can't be reached: {str(error) or type(error).__name__}"
        number = error.errno if isinstance(error, OSError) else None
        if self.connected:
            return RequestUnread(message) if number in _RESET else ConnectionLost(message)
        return ConnectionRefused(message) if number in _REFUSED else ModelUnavailable(message)


class HttpTransport:
    """A transport over http and https, with a connection pool shared by all threads and fibers.

    tls: trusted authorities and credentials
    context: for https; by default made from `tls`
    on_unsolicited: called when a server sent unsolicited bytes, so its earlier responses may have been mixed up
    while_idle: called four times a second while there are idle connections, in a thread

    Raises ValueError or OSError for invalid or unreadable files.
    """

    cooperative = True  # waiting in a fiber yields to other fibers

    def __init__(
        self,
        timeouts: Timeouts,
        tls: TlsSettings | None = None,
        resolver: NameResolver | None = None,
        context: ssl.SSLContext | None = None,
        on_unsolicited: Callable[[], object] = lambda: None,
        while_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._timeouts = timeouts
        self._authorization: Authorization | None = None
        self._context = context
        if tls is not None and (tls.authorization or tls.ca or tls.certificate):
            from stellar.net import credentials  # loads ssl

            if tls.authorization is not None:
                self._authorization = credentials.Authorization(tls.authorization, plain=tls.plain)
            self._context = context or credentials.tls_context(tls.ca, tls.certificate, tls.key)
        self._client: HttpClient[Response] = HttpClient(
            _to_response, self._tls, resolver, on_unsolicited=on_unsolicited, while_idle=while_idle
        )
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._client.abandon()

    def get(self, url: str, seconds: float | None = None) -> Response:
        return self._complete(self.begin(url), seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Response:
        return self._complete(self.begin(url, body), seconds)

    def begin(self, url: str, body: bytes | None = None) -> ModelExchange:
        """Return the exchange for a GET or, with a body, a POST; nothing is sent yet.

        Raises ModelUnavailable for an invalid URL, and for credentials that can't be read.
        """
        exchange = ModelExchange(url)
        base, _, query = url.partition("?")
        server = _server_of(base)
        if body is None and self._authorization is None and _is_printable(query):
            request = b"%b%b%b" % (server.before_query, query.encode("ascii"), server.after_query)
        else:
            target = server.target
            request = _encode(f"{target.path}?{query}", target.host, body, self._authorization_header(target))
        self._client.begin(
            exchange,
            server.target.address,
            request,
            connect_seconds=self._timeouts.connect_seconds,
            max_bytes=self._timeouts.max_bytes,
        )
        return exchange

    def retire(self, url: str) -> None:
        """Close the connections to an instance that was removed, so that it can shut down gracefully.

        Idle ones are closed now, each other one after its exchange.
        """
        self._client.retire(_parse(url).address)

    def close(self) -> None:
        self._client.close()

    def _complete(self, exchange: ModelExchange, seconds: float | None) -> Response:
        try:
            return exchange.run(monotonic() + self._timeouts.within(seconds))
        except TimeoutError:
            raise ModelTimeOut(f"{without_query(exchange.url)} did not respond in time") from None
        finally:
            exchange.close()

    def _authorization_header(self, target: Target) -> str:
        """Return the Authorization header line; empty if it must not be sent to this address."""
        if self._authorization is None:
            return ""
        try:
            value = self._authorization.header(secure=target.address.tls)
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"can't read the credentials: {error}", "not allowed") from None
        return "" if value is None else f"Authorization: {value}\r\n"

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            import ssl  # only for https

            self._context = ssl.create_default_context()
        return self._context


def _parse(url: str) -> Target:
    try:
        return parse_url(url)
    except ValueError as error:
        raise ModelUnavailable(str(error)) from None


class _Server(NamedTuple):
    """A URL without its query, and the bytes of a GET without credentials."""

    target: Target
    before_query: bytes
    after_query: bytes


@memoize_for(1024)
def _server_of(url: str) -> _Server:
    """Return the server of a URL without a query. Raises ModelUnavailable for an invalid URL."""
    target = _parse(url)
    request = _encode(f"{target.path}?", target.host, None, "")
    before_query = f"GET {target.path}?".encode("ascii")
    return _Server(target, before_query, request.removeprefix(before_query))


def _is_printable(query: str) -> bool:
    """Return True for ASCII without whitespace and control characters."""
    return query.isascii() and query.isprintable() and " " not in query


def _encode(target: str, host: str, body: bytes | None, authorization: str) -> bytes:
    if FORBIDDEN.search(target):
        raise ModelUnavailable(str(invalid_url(f"//{host}{target}")))
    if body is None:
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{_HEADERS}{authorization}\r\n".encode("ascii")
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{_POST_HEADERS}{authorization}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def _to_response(parser: ResponseParser) -> Response:
    is_strict = parser.headers.get(b"preference-applied") == b"handling=strict"
    after = None if parser.status == 200 else parser.headers.get(b"retry-after")
    return Response(parser.status, parser.body, None if after is None else _parse_seconds(after), is_strict)


def _parse_seconds(after: bytes) -> float | None:
    """Return the seconds of a Retry-After header, which may also be a date; None if it is invalid."""
    if after.isdigit() and len(after) < 10:
        return float(after)
    from email.utils import parsedate_to_datetime  # slow to load, and rarely needed
    from time import time

    try:
        return max(0.0, parsedate_to_datetime(after.decode("latin-1")).timestamp() - time())
    except (ValueError, TypeError):
        return None


_HEADERS, _POST_HEADERS = (
    "".join(f"{name}: {value}\r\n" for name, value in headers.items()) for headers in (HEADERS, POST_HEADERS)
)
