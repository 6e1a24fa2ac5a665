"""One connection by http without TLS: what is said on it, and what comes back, within limits of time and size.

It knows of HTTP/1.1 what models need, at a fraction of what a full client costs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from stellar.fibers import offload, readable, writable
from stellar.maas.errors import ModelRefused

# How long a line of the answer's head may be, and how many there may be
LONGEST_LINE = 65_536
MOST_LINES = 200
MOST_WORDS = 20  # of status 1xx, before the answer itself
CHUNK = 65_536


class Garbled(Exception):
    """What came is no HTTP, or not all of it."""


class Connection:
    """A connection to an address. Not safe to use from several threads at once.

    Raises OSError if it can't be made in so many seconds.
    """

    def __init__(self, place: tuple[str, int], seconds: float) -> None:
        self._socket = _connected(place, monotonic() + seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, deadline: float, most: int) -> tuple[int, bytes, bool]:
        """The status, the body, and whether the connection can be used once more.

        deadline: the moment, by the monotonic clock, until which all of it must have come
        most: how large the body may be

        Raises OSError, of which TimeoutError and, if it was closed before anything came, ConnectionError; Garbled; and
        ModelRefused for a body that is too large.
        """
        self._send(request, deadline)
        _acknowledge_at_once(self._socket)
        incoming = _Incoming(self._socket, deadline)
        status, version, headers = _final_head(incoming)
        body, bounded = _body(incoming, status, headers, most)
        asked = headers.get(b"connection", b"").lower()
        stays = b"close" not in asked if version == b"HTTP/1.1" else b"keep-alive" in asked
        return status, body, stays and bounded and not incoming.held

    def _send(self, request: bytes, deadline: float) -> None:
        left = memoryview(request)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                if not writable(self._socket, deadline - monotonic()):
                    raise TimeoutError from None

    def close(self) -> None:
        self._socket.close()


def _connected(place: tuple[str, int], deadline: float) -> socket.socket:
    """A connection to a host, by whichever of its addresses accepts one first."""
    failure: OSError = OSError(f"{place[0]} has no address")
    for family, kind, protocol, _, address in _addresses(*place):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            _connect(connection, address, deadline)
        except BaseException as error:
            connection.close()
            if not isinstance(error, OSError):
                raise
            failure = error
        else:
            return connection
    raise failure


def _connect(connection: socket.socket, address: Any, deadline: float) -> None:
    try:
        connection.connect(address)
    except BlockingIOError:
        if not writable(connection, deadline - monotonic()):
            raise TimeoutError from None
        if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number)) from None


def _addresses(host: str, port: int) -> list[Any]:
    """The addresses of a host. Only names have to be looked up, which may take a while."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return offload(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)


def _acknowledge_at_once(connection: socket.socket) -> None:
    """Do not let a model wait 40 ms that sends the head of its answer, and the body when that has been acknowledged.

    Many do, Python's http.server among them. The system forgets this in between, so it is said each time.
    """
    if _TCP_QUICKACK is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)


_TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


class _Incoming:
    """What comes in, until a moment."""

    def __init__(self, source: socket.socket, deadline: float) -> None:
        self._source = source
        self._deadline = deadline
        self._began = self._late = False
        self.held = b""

    def more(self) -> bool:
        """Wait for more; False if the other side has ended.

        What has come when the time is over is taken, but once only: it might never end.
        """
        if self._late:
            raise TimeoutError
        self._late = monotonic() > self._deadline
        received = None
        while received is None:
            if not readable(self._source, self._deadline - monotonic()):
                raise TimeoutError
            with suppress(BlockingIOError):  # it was a false alarm
                received = self._source.recv(CHUNK)
        self._began = self._began or bool(received)
        self.held += received
        return bool(received)

    def head(self) -> Iterator[bytes]:
        """The lines before the first empty one, which is taken away too."""
        if not self.held:
            self.more()
        end, earlier = self.held.find(b"\n\r\n"), self.held.find(b"\n\n")
        if end < 0 or 0 <= earlier < end or end > LONGEST_LINE:
            return self._lines()
        whole, self.held = self.held[:end], self.held[end + 3 :]  # it has come in one piece, as most do
        return iter(whole.split(b"\n"))

    def _lines(self) -> Iterator[bytes]:
        for _ in range(MOST_LINES):
            if not (line := self.line()):
                return
            yield line
        raise Garbled("the answer has too many headers")

    def line(self) -> bytes:
        while (end := self.held.find(b"\n")) < 0:
            if len(self.held) > LONGEST_LINE:
                raise Garbled("a line of the answer does not end")
            if not self.more():
                if not self._began:
                    raise ConnectionResetError("the connection was closed without an answer")
                raise Garbled("the answer ended in the middle")
        line, self.held = self.held[:end], self.held[end + 1 :]
        return line.rstrip(b"\r")

    def exactly(self, length: int) -> bytes:
        while len(self.held) < length:
            if not self.more():
                raise Garbled(f"the answer ended after {len(self.held):,} of {length:,} bytes")
        taken, self.held = self.held[:length], self.held[length:]
        return taken

    def all(self, most: int) -> bytes:
        while len(self.held) <= most and self.more():
            pass
        taken, self.held = self.held, b""
        return taken


def _final_head(incoming: _Incoming) -> tuple[int, bytes, dict[bytes, bytes]]:
    """The head of the answer itself, after those of words in between."""
    for _ in range(MOST_WORDS):
        status, version, headers = _head(incoming)
        if not 100 <= status < 200:
            return status, version, headers
    raise Garbled("the answer has too many words in between")


def _head(incoming: _Incoming) -> tuple[int, bytes, dict[bytes, bytes]]:
    lines = incoming.head()
    version, _, rest = next(lines, b"").partition(b" ")
    code = rest.lstrip()[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise Garbled(f"{version[:40]!r} is no HTTP")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return int(code), version, headers


def _body(incoming: _Incoming, status: int, headers: dict[bytes, bytes], most: int) -> tuple[bytes, bool]:
    """The body, and whether it said where it ends."""
    if status in (204, 304):
        return b"", True
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return _chunked(incoming, most), True
    if (length := headers.get(b"content-length")) is None:
        return _allowed(incoming.all(most), most), False
    if not length.isdigit():
        raise Garbled(f"{length[:40]!r} is no length")
    if len(length) > 18 or int(length) > most:
        raise _too_large(most)
    return incoming.exactly(int(length)), True


def _chunked(incoming: _Incoming, most: int) -> bytes:
    body = bytearray()
    while size := _size(incoming.line()):
        if len(body) + size > most:
            raise _too_large(most)
        body += incoming.exactly(size)
        if incoming.line():
            raise Garbled("a chunk of the answer is longer than it says")
    for _ in range(MOST_LINES):
        if not incoming.line():
            return bytes(body)
    raise Garbled("the answer has too many headers")


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
        raise Garbled(f"{line[:40]!r} is no length of a chunk")
    return int(digits, 16)


def _allowed(body: bytes, most: int) -> bytes:
    if len(body) > most:
        raise _too_large(most)
    return body


def _too_large(most: int) -> ModelRefused:
    return ModelRefused(f"the answer is larger than {most:,} bytes")
