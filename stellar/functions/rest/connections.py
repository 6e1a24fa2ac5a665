"""HTTP/1.1 connections of the REST functions, kept alive between requests.

The response to one request must never be taken for that of another, whatever a server sends and whenever. So:

- A connection is reused only if its last response has ended and nothing followed it: no byte in the parser's buffer,
  in that of TLS or in the socket. A byte that comes while a connection is idle ends it.
- A connection that failed, timed out or was left before the end of a response is closed.
- A 408 on a reused connection may be about the time that it was idle. It is closed, since a response to the request
  itself may still follow, and the request is sent once more, on a new connection.
- A server may close an idle connection just when a request is sent. The request is sent once more on a new connection
  if that can't do it twice: a GET, or any request whose head was not sent as a whole.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import h11
import httpcore
import httpx

from stellar.functions.rest.proxies import port, server
from stellar.net.deadlines import DeadlineNetwork

IDLE_SECONDS = 5.0
MAX_HEAD_BYTES = 100 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
_READ_BYTES = 64 * 1024
_REQUEST_TIMEOUT = 408

Timeouts = Mapping[str, float]  # as `stellar.net.deadlines.timeouts` gives them


class ResponseTooLarge(Exception):
    """The body of a response has more than MAX_BODY_BYTES."""


class TunnelRefused(Exception):
    """A proxy does not connect us to a server."""


class StaleConnection(Exception):
    """A reused connection ended before any byte of a response came.

    unsent: True if the server can't have received the head of the request
    """

    def __init__(self, error: Exception, *, unsent: bool) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.unsent = unsent


@dataclass(frozen=True, slots=True)
class Request:
    """A method, a URL, headers in the order in which they are sent, and a body; None for none."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A status, headers by their lowercase names, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy: its host, its port, and the value of Proxy-Authorization, if it needs one."""

    host: str
    port: int
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.authorization is None else {"Proxy-Authorization": self.authorization}


class Connection:
    """One connection, which carries one request at a time."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self.stream = stream
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._used = False
        self.idle_since = 0.0

    def exchange(self, request: Request, target: bytes, timeouts: Timeouts) -> Response:
        """Send a request and return its response.

        Raises StaleConnection if the connection was used before and has ended since, h11.ProtocolError for what is not
        HTTP, ResponseTooLarge, and httpcore's exceptions for what goes wrong with the network.
        """
        reused, self._used = self._used, True
        if reused:
            self._parser.start_next_cycle()
        elif not self._is_tls and self.stream.get_extra_info("is_readable"):
            raise h11.RemoteProtocolError("the server sent or ended something before it was asked")
        self._send(request, target, timeouts, reused)
        self._receive_first(timeouts, reused)
        return self._receive(timeouts)

    def connect_tunnel(self, target: str, headers: Mapping[str, str], timeouts: Timeouts) -> httpcore.NetworkStream:
        """Have a proxy connect us to a server, and return the stream to it. Raises TunnelRefused."""
        named = {"Host": target, "Accept": "*/*", **headers}
        head = self._parser.send(h11.Request(method="CONNECT", target=target, headers=list(named.items())))
        self.stream.write((head or b"") + (self._parser.send(h11.EndOfMessage()) or b""), timeouts["write"])
        response = self._next_response(timeouts)
        if not 200 <= response.status_code < 300:
            reason = bytes(response.reason).decode("ascii", "replace")
            raise TunnelRefused(f"the proxy refused a connection to {target}: {response.status_code} {reason}")
        if self._parser.trailing_data[0]:
            raise h11.RemoteProtocolError("the proxy sent data before the TLS handshake")
        return self.stream

    @property
    def is_reusable(self) -> bool:
        """True if the last response has ended, and nothing followed it."""
        states = (self._parser.our_state, self._parser.their_state)
        if states != (h11.DONE, h11.DONE) or self._parser.trailing_data != (b"", False):
            return False
        return not self._has_pending_bytes()

    def is_alive(self, now: float) -> bool:
        """True if an idle connection may be used: it is not too old, and nothing came while it was idle."""
        return now < self.idle_since + IDLE_SECONDS and not self._has_pending_bytes()

    def close(self) -> None:
        """Close the socket, without sending anything."""
        self.stream.close()

    @property
    def _is_tls(self) -> bool:
        return self.stream.get_extra_info("ssl_object") is not None

    def _has_pending_bytes(self) -> bool:
        decrypted = self.stream.get_extra_info("ssl_object")
        return bool(decrypted is not None and decrypted.pending()) or bool(self.stream.get_extra_info("is_readable"))

    def _send(self, request: Request, target: bytes, timeouts: Timeouts, reused: bool) -> None:
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        event = h11.Request(method=request.method, target=target, headers=list(headers.items()))
        try:
            self.stream.write(self._parser.send(event) or b"", timeouts["write"])
        except httpcore.WriteError as error:
            if reused:
                raise StaleConnection(error, unsent=True) from error
            raise
        self._send_body(request.body or b"", timeouts)

    def _send_body(self, body: bytes, timeouts: Timeouts) -> None:
        data = self._parser.send(h11.Data(data=body)) if body else b""
        try:
            self.stream.write((data or b"") + (self._parser.send(h11.EndOfMessage()) or b""), timeouts["write"])
        except httpcore.WriteError:
            # A server may refuse a body that it has not read, and close; its response is what to report
            return

    def _receive_first(self, timeouts: Timeouts, reused: bool) -> None:
        """Receive the first bytes of a response."""
        try:
            data = self.stream.read(_READ_BYTES, timeouts["read"])
            if not data:
                raise httpcore.RemoteProtocolError("the server closed the connection without a response")
        except (httpcore.ReadError, httpcore.RemoteProtocolError) as error:
            if reused:
                raise StaleConnection(error, unsent=False) from error
            raise
        self._parser.receive_data(data)

    def _receive(self, timeouts: Timeouts) -> Response:
        head = self._next_response(timeouts)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        body = bytearray()
        while isinstance(event := self._next_event(timeouts), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise ResponseTooLarge(f"the answer has more than {MAX_BODY_BYTES} bytes")
        return Response(head.status_code, headers, bytes(body))

    def _next_response(self, timeouts: Timeouts) -> h11.Response:
        """Return the head of the response, past what is only informational."""
        while isinstance(event := self._next_event(timeouts), h11.InformationalResponse):
            continue
        if not isinstance(event, h11.Response):
            raise h11.RemoteProtocolError("the server sent something else than a response")
        return event

    def _next_event(self, timeouts: Timeouts) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            data = self.stream.read(_READ_BYTES, timeouts["read"])
            if not data and self._parser.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the server closed the connection within the head of a response")
            self._parser.receive_data(data)
        return event


class ConnectionPool:
    """Keep-alive connections by one route. Safe to use from many threads.

    network: connects to hosts
    certificates: which certificates of servers are trusted
    proxy: goes between, if there is one
    """

    def __init__(self, network: DeadlineNetwork, certificates: ssl.SSLContext, proxy: Proxy | None = None) -> None:
        self._network = network
        self._certificates = certificates
        self._proxy = proxy
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[Connection]] = {}
        self._open: set[Connection] = set()  # changed by single operations, each of which is atomic

    def exchange(self, request: Request, timeouts: Timeouts) -> Response:
        """Return the response to a request, which is sent once more if an idle connection turns out to be closed.

        Raises what Connection.exchange raises, and TunnelRefused.
        """
        connection = self._take_idle(request.url)
        if connection is not None:
            try:
                response = self._exchange_on(connection, request, timeouts)
            except StaleConnection as stale:
                if not (stale.unsent or request.method == "GET"):
                    raise
            else:
                if response.status != _REQUEST_TIMEOUT:
                    return response
        return self._exchange_on(self._connect(request.url, timeouts), request, timeouts)

    def close(self) -> None:
        """Close all connections, those in use as well."""
        with self._lock:
            self._idle.clear()
        self.close_sockets()

    def close_sockets(self) -> None:
        """Close the sockets of all connections without sending anything and without waiting for a lock."""
        while self._open:
            self._open.pop().close()

    def _exchange_on(self, connection: Connection, request: Request, timeouts: Timeouts) -> Response:
        reusable = False
        try:
            response = connection.exchange(self._routed(request), self._target(request.url), timeouts)
            reusable = response.status != _REQUEST_TIMEOUT and connection.is_reusable
        finally:
            if reusable:
                self._put_idle(request.url, connection)
            else:
                self._close(connection)
        return response

    def _take_idle(self, url: httpx.URL) -> Connection | None:
        now = time.monotonic()
        while True:
            with self._lock:
                kept = self._idle.get(_origin(url))
                if not kept:
                    return None
                connection = kept.pop()
            if connection.is_alive(now):
                return connection
            self._close(connection)

    def _put_idle(self, url: httpx.URL, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(_origin(url), []).append(connection)
            expired = self._remove_expired(connection.idle_since)
        for each in expired:
            self._close(each)

    def _remove_expired(self, now: float) -> list[Connection]:
        """Remove connections that were idle for too long, which are at the beginning of their lists."""
        expired = []
        for origin, kept in list(self._idle.items()):
            while kept and kept[0].idle_since + IDLE_SECONDS <= now:
                expired.append(kept.pop(0))
            if not kept:
                del self._idle[origin]
        return expired

    def _close(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def _open_connection(self, stream: httpcore.NetworkStream) -> Connection:
        connection = Connection(stream)
        self._open.add(connection)
        return connection

    def _connect(self, url: httpx.URL, timeouts: Timeouts) -> Connection:
        proxy = self._proxy
        name, number = (url.raw_host.decode("ascii"), port(url)) if proxy is None else (proxy.host, proxy.port)
        connection = self._open_connection(self._network.connect_tcp(name, number, timeouts["connect"]))
        if url.scheme == "http":
            return connection
        try:
            return self._secure(connection, url, timeouts)
        except BaseException:
            self._close(connection)
            raise

    def _secure(self, connection: Connection, url: httpx.URL, timeouts: Timeouts) -> Connection:
        stream = connection.stream
        if self._proxy is not None:
            stream = connection.connect_tunnel(server(url), self._proxy.headers, timeouts)
        secured = stream.start_tls(self._certificates, url.raw_host.decode("ascii"), timeouts["connect"])
        self._open.discard(connection)
        return self._open_connection(secured)

    def _routed(self, request: Request) -> Request:
        """Add what a proxy that passes the request on is to know."""
        if self._proxy is None or request.url.scheme != "http":
            return request
        return replace(request, headers={**request.headers, **self._proxy.headers})

    def _target(self, url: httpx.URL) -> bytes:
        if self._proxy is None or url.scheme != "http":
            return url.raw_path
        return b"http://" + url.netloc + url.raw_path


def _origin(url: httpx.URL) -> tuple[str, str]:
    return url.scheme, server(url)
