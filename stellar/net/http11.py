"""HTTP/1.1 on one connection, plain or by TLS, with size limits, in steps that never block.

    connect(address, …)             a Connection
    Connection.exchange(request)    the complete response
    ResponseParser                  an incremental parser of responses

The first two are generators: they yield a socket and the event to wait for (see `stellar.util.waiting`) and are sent
True if it is ready, or False after a time-out. So the caller decides how to wait and for how long, and can abandon them
at any time by closing the generator. Only the features that models need are implemented, at a fraction of the cost of a
full client.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import lru_cache
from selectors import EVENT_READ, EVENT_WRITE
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from stellar.util.waiting import Waitable

if TYPE_CHECKING:
    import ssl

MAX_LINE = 65_536
MAX_LINES = 200  # of a head, and of the trailer of a chunked body
MAX_INTERIM_RESPONSES = 20  # of status 1xx
RECEIVE_BYTES = 65_536
BODILESS = (204, 304)  # the statuses of responses without a body

# A server sends the same heads again and again; the last ones of up to this length are parsed once
KNOWN_HEADS, MAX_KNOWN_HEAD = 512, 1000

# After this number of responses in a row that arrived in one portion each, a server is assumed to send all of them in
# one portion; see `_acknowledge_at_once`
IN_ONE_PORTION, NEVER_IN_ONE = 8, -(1 << 62)


class ProtocolError(Exception):
    """The bytes received are not a valid and complete HTTP response."""


class IncompleteResponse(ProtocolError):
    """The connection was closed before the end of the response."""


class ResponseTooLarge(Exception):
    """The body of the response is larger than allowed."""


class Head(NamedTuple):
    """The head of a response.

    headers: lowercase names; shared by equal heads, so it must not be changed
    keeps_alive: True if it allows to reuse the connection
    length: of the body, if Content-Length alone determines it, otherwise None
    """

    status: int
    headers: Mapping[bytes, bytes]
    keeps_alive: bool
    length: int | None


def _parse_head(data: bytes) -> Head:
    lines = data.split(b"\n")
    if len(lines) > MAX_LINES + 1:
        raise ProtocolError("the response has too many headers")
    version, _, rest = lines[0].partition(b" ")
    code = rest.lstrip()[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise ProtocolError(f"{lines[0][:40]!r} is not HTTP")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    named = headers.get(b"connection", b"").lower()
    keeps_alive = b"close" not in named if version.rstrip() != b"HTTP/1.0" else b"keep-alive" in named
    status, length = int(code), headers.get(b"content-length", b"")
    is_plain = status >= 200 and status not in BODILESS and b"transfer-encoding" not in headers
    return Head(
        status, headers, keeps_alive, int(length) if is_plain and length.isdigit() and len(length) < 10 else None
    )


_parse_known_head = lru_cache(KNOWN_HEADS)(_parse_head)


class ResponseParser:
    """An incremental parser of one response.

    max_bytes: the largest allowed body
    has_body: False for a response without a body, as to CONNECT

    status, headers (lowercase names), body: of the response, once it is complete
    surplus: True if bytes arrived after the end of the response
    keeps_alive: True if the response allows to reuse the connection
    """

    # Defaults of the attributes: most parsers change few of them
    _buffer, _at = b"", 0  # bytes received, and the number of those consumed
    _interim = _missing = _received = _trailers = 0
    status = 0
    headers: Mapping[bytes, bytes] = MappingProxyType({})
    body = b""
    complete = keeps_alive = False

    def __init__(self, max_bytes: int, *, has_body: bool = True) -> None:
        self._max_bytes, self._has_body = max_bytes, has_body
        self._parts: list[bytes] = []
        # Not a bound method, which would be a cycle of references for the garbage collector
        self._step: Callable[[ResponseParser], bool] = ResponseParser._read_head

    @property
    def surplus(self) -> bool:
        return self._at < len(self._buffer)

    def feed(self, data: bytes) -> bool:
        """Parse more bytes; return True once the response is complete.

        Raises ProtocolError for an invalid response, ResponseTooLarge for a body that is too large.
        """
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0
        while not self.complete and self._step(self):
            pass
        return self.complete

    @property
    def begun(self) -> bool:
        """True if any bytes of a response have arrived."""
        return bool(self.status or self._buffer)

    def end(self) -> None:
        """Handle the close of the connection by the server, which completes a body without a length.

        Raises ConnectionResetError if nothing had arrived, IncompleteResponse if the response is not complete.
        """
        if self._step is ResponseParser._read_until_closed:
            self._complete(b"".join(self._parts))
        elif self.begun:
            raise IncompleteResponse("the response ended early")
        else:
            raise ConnectionResetError("the connection was closed without a response")

    def _read_head(self) -> bool:
        buffer, begin = self._buffer, self._at
        end, bare = buffer.find(b"\n\r\n", begin), buffer.find(b"\n\n", begin)
        if end >= 0 and not 0 <= bare < end:
            self._at = end + 3
        elif bare >= 0:
            end, self._at = bare, bare + 2
        else:
            return self._await_head(buffer[begin:])
        data = buffer[begin:end]
        head = _parse_known_head(data) if len(data) <= MAX_KNOWN_HEAD else _parse_head(data)
        if (length := head.length) is not None and length <= self._max_bytes and self._has_body:
            begin, end = self._at, self._at + length
            if end <= len(buffer):  # the common case: the complete body arrived together with the head
                self.status, self.headers, self.keeps_alive = head.status, head.headers, head.keeps_alive
                self._at, self.body, self.complete = end, buffer[begin:end], True
                return True
        self._take_head(head)
        return True

    def _await_head(self, received: bytes) -> bool:
        if received[:5] != b"HTTP/"[: len(received)]:
            raise ProtocolError(f"{received[:40]!r} is not HTTP")
        if len(received) - received.rfind(b"\n") > MAX_LINE:
            raise ProtocolError("a line of the response does not end")
        if received.count(b"\n") > MAX_LINES:
            raise ProtocolError("the response has too many headers")
        return False

    def _take_head(self, head: Head) -> None:
        self.headers, self.status = head.headers, head.status
        if 100 <= head.status < 200:
            self._take_interim()
            return
        self.keeps_alive = head.keeps_alive
        self._choose_body(head.status)

    def _take_interim(self) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM_RESPONSES:
            raise ProtocolError("too many interim responses")

    def _choose_body(self, status: int) -> None:
        """Choose how to find the end of the body: RFC 9112, section 6.3."""
        length = self.headers.get(b"content-length")
        if status in BODILESS or not self._has_body:
            self._complete(b"")
        elif self.headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            self._step = ResponseParser._read_chunk_size
        elif length is None:
            self.keeps_alive = False
            self._step = ResponseParser._read_until_closed
        elif not length.isdigit():
            raise ProtocolError(f"invalid Content-Length {length[:40]!r}")
        else:
            self._missing = int(length) if len(length) <= 18 else self._max_bytes + 1
            if self._missing > self._max_bytes:
                raise self._too_large()
            self._step = ResponseParser._read_length

    def _read_length(self) -> bool:
        part = self._buffer[self._at : self._at + self._missing]
        self._at += len(part)
        self._missing -= len(part)
        if self._missing or self._parts:
            self._parts.append(part)
        if not self._missing:
            self._complete(b"".join(self._parts) if self._parts else part)
        return False

    def _read_until_closed(self) -> bool:
        part = self._buffer[self._at :]
        self._parts.append(part)
        self._at += len(part)
        self._count(len(part))
        return False

    def _read_chunk_size(self) -> bool:
        if (line := self._line()) is None:
            return False
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise ProtocolError(f"invalid chunk size {line[:40]!r}")
        self._missing = int(digits, 16)
        self._count(self._missing)
        self._step = ResponseParser._read_chunk if self._missing else ResponseParser._read_trailer
        return True

    def _read_chunk(self) -> bool:
        end = self._at + self._missing
        if len(self._buffer) < end:
            return False
        self._parts.append(self._buffer[self._at : end])
        self._at = end
        self._step = ResponseParser._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        if (line := self._line()) is None:
            return False
        if line:
            raise ProtocolError("a chunk of the response is longer than its size")
        self._step = ResponseParser._read_chunk_size
        return True

    def _read_trailer(self) -> bool:
        if (line := self._line()) is None:
            return False
        if not line:
            self._complete(b"".join(self._parts))
        self._trailers += 1
        if self._trailers > MAX_LINES:
            raise ProtocolError("the response has too many headers")
        return True

    def _line(self) -> bytes | None:
        """Consume and return the next line; None if it is not complete."""
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            if len(self._buffer) - self._at > MAX_LINE:
                raise ProtocolError("a line of the response does not end")
            return None
        line, self._at = self._buffer[self._at : end], end + 1
        return line.rstrip(b"\r")

    def _count(self, more: int) -> None:
        """Count bytes of the body. Raises ResponseTooLarge above the limit."""
        self._received += more
        if self._received > self._max_bytes:
            raise self._too_large()

    def _complete(self, body: bytes) -> None:
        self.body, self.complete = body, True

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"the response is larger than {self._max_bytes:,} bytes")


class Connection:
    """A connection to a server, for one exchange at a time."""

    __slots__ = ("__weakref__", "_early", "_in_one", "_poll", "_socket", "_tls", "is_unsent", "opened")

    def __init__(self, connected: socket.socket, *, tls: bool) -> None:
        self._socket, self._tls = connected, tls
        self._poll: Any = None
        self._in_one = 0  # number of responses in a row that arrived in one portion
        self._early = b""  # received while the connection was idle
        self.is_unsent = True  # no byte of the last request was sent
        self.opened = monotonic()

    def exchange(self, request: bytes, max_bytes: int) -> Generator[Waitable, bool, ResponseParser]:
        """Send a request and return its response. After an exception the connection must be closed.

        Raises OSError (ConnectionResetError if the server closed the connection without a response), ProtocolError,
        and ResponseTooLarge for a body that is too large.
        """
        self.is_unsent = True
        rejected: OSError | None = None
        if (sent := self._send_at_once(request)) < len(request):
            rejected = yield from self._send(request[sent:])
        if self._in_one < IN_ONE_PORTION:
            _acknowledge_at_once(self._socket)
        portions = 0
        parser = ResponseParser(max_bytes)
        receive, reading = self._socket.recv, (self._socket, EVENT_READ)
        wanted: Waitable = reading
        while True:
            if not (self._tls and self._socket.pending()):  # type: ignore[attr-defined]
                yield wanted
            try:
                data = receive(RECEIVE_BYTES)
            except OSError as error:
                if parser.begun and not is_pending(error):
                    raise IncompleteResponse(f"the response ended early: {error}") from error
                wanted = _next_wait(error, self._socket)
                continue
            wanted = reading
            if not data:
                if rejected is not None and not parser.begun:
                    raise rejected
                parser.end()
                return parser
            portions += 1
            if parser.feed(data):
                self._in_one = self._in_one + 1 if portions == 1 else NEVER_IN_ONE
                return parser

    def _send_at_once(self, request: bytes) -> int:
        """Send a request as far as possible without waiting; return the number of bytes sent."""
        try:
            sent = self._socket.send(request)
        except OSError as error:
            if is_pending(error):
                return 0
            raise
        self.is_unsent = False
        return sent

    def _send(self, request: bytes) -> Generator[Waitable, bool, OSError | None]:
        """Send the rest of a request; return the error if the server stopped reading.

        A server may reject a request before it has read the body, and close the connection. The caller then reports its
        response instead of the error.
        """
        left = memoryview(request)
        while left:
            try:
                left = left[self._socket.send(left) :]
                self.is_unsent = False
            except OSError as error:
                if not is_pending(error) and not self.is_unsent:
                    return error
                yield _next_wait(error, self._socket, EVENT_WRITE)
        return None

    def open_tunnel(self, request: bytes) -> Generator[Waitable, bool, int]:
        """Send a CONNECT request to a proxy and return the status of its response.

        Raises OSError, and ProtocolError for an invalid response or one that is followed by more bytes.
        """
        yield from self._send(request)
        parser = ResponseParser(0, has_body=False)
        while not parser.complete:
            if not (yield self._socket, EVENT_READ):
                raise TimeoutError
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except OSError as error:
                if not is_pending(error):
                    raise
                continue
            if data:
                parser.feed(data)
            else:
                parser.end()
        if parser.surplus:
            raise ProtocolError("the proxy sent data before the TLS handshake")
        return parser.status

    def secure(self, tls: ssl.SSLContext, server_name: str) -> Generator[Waitable, bool, Connection]:
        """Start TLS on this connection; return the secured connection, which replaces it."""
        secured = tls.wrap_socket(self._socket, server_hostname=server_name, do_handshake_on_connect=False)
        try:
            yield from _shake_hands(secured)
        except BaseException:
            secured.close()
            raise
        return Connection(secured, tls=True)

    def is_quiet(self) -> bool:
        """Return True if nothing arrived since the last exchange and the server has not closed the connection."""
        if self._tls:
            return self._is_quiet_by_tls()
        if self._poll is None:
            self._poll = _poll_of(self._socket)
        return not self._poll(0)

    def receive_early(self) -> bytes:
        """Return the bytes that arrived while idle, after `is_quiet` returned False; empty for a closed connection."""
        try:
            return self._early + self._socket.recv(RECEIVE_BYTES)
        except OSError:
            return self._early

    def _is_quiet_by_tls(self) -> bool:
        """Return True if no data arrived; with TLS, session tickets may have arrived, which are not data."""
        try:
            self._early = self._socket.recv(1)
        except OSError as error:
            return is_pending(error)
        return False

    def close(self) -> None:
        self._socket.close()


def connect(
    family: socket.AddressFamily,
    address: tuple[str, int],
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> Generator[Waitable, bool, Connection]:
    """Connect to a numeric address, by TLS if a context is given.

    server_name: the host name that the certificate must contain

    Raises OSError, which includes ssl.SSLError, and TimeoutError if it was sent False.
    """
    connected = socket.socket(family, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connected.connect(address)
        except BlockingIOError:
            yield from _await_connection(connected)
        if tls is not None:
            connected = tls.wrap_socket(connected, server_hostname=server_name, do_handshake_on_connect=False)
            yield from _shake_hands(connected)
    except BaseException:
        connected.close()
        raise
    return Connection(connected, tls=tls is not None)


def _await_connection(connecting: socket.socket) -> Generator[Waitable, bool, None]:
    """Wait until a connection is established. An event may belong to a closed socket that had the same number."""
    while (yield connecting, EVENT_WRITE):
        if number := connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise _connect_error(number) from None
        with suppress(OSError):  # it is not connected
            connecting.getpeername()
            return
    raise TimeoutError from None


def _connect_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))  # an instance of the subclass for the number


def _shake_hands(connected: Any) -> Generator[Waitable, bool, None]:
    while True:
        try:
            connected.do_handshake()
        except OSError as error:
            if not (yield _next_wait(error, connected)):
                raise TimeoutError from None
        else:
            return


def is_pending(error: OSError) -> bool:
    """Return True for the error of an operation that would block."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def _next_wait(error: OSError, one: socket.socket, event: int = EVENT_READ) -> Waitable:
    """Return the socket and event to wait for after an operation that would block. Raises any other error."""
    if not is_pending(error):
        raise error
    name = type(error).__name__
    return one, {"SSLWantReadError": EVENT_READ, "SSLWantWriteError": EVENT_WRITE}.get(name, event)


def _poll_of(one: socket.socket) -> Callable[[int], object]:
    if not hasattr(select, "poll"):  # Windows
        return lambda _: select.select([one], [], [], 0)[0]
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return poll.poll


def _acknowledge_at_once(connection: socket.socket) -> None:
    """Disable delayed acknowledgements, until the system enables them again.

    Many servers, such as Python's http.server, send the head of a response in one segment and the body only after that
    is acknowledged, which would take 40 ms. The system resets the option, so it is set for each exchange. As it takes
    3 µs, it is not set for servers that send head and body together.
    """
    if _TCP_QUICKACK is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)


_TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # only on Linux
