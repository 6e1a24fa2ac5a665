"""How a request goes to a model: one method, so that it can be replaced."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections import defaultdict
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from stellar.maas.errors import ModelRefused, ModelTimeOut, ModelUnavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Asked of every model. A compressed answer could grow beyond all bounds, so none is asked for.
HEADERS = {"accept": "application/json", "accept-encoding": "identity"}

POST_HEADERS = {**HEADERS, "content-type": "application/json"}

# Servers that people run behind models close idle connections after 5 s; be there first
IDLE_SECONDS = 4.0

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status and the whole body."""

    status: int
    body: bytes


class Transport(Protocol):
    """What carries a request to a model. Safe to use from many threads."""

    def get(self, url: str, seconds: float | None = None) -> Answer:
        """The answer to a GET, whatever its status; redirects are not followed.

        seconds: how long to wait at most; None for as long as the transport waits by itself

        Raises ModelTimeOut if none came in time, ModelUnavailable if there is none, ModelRefused if it is larger than
        allowed.
        """

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Answer:
        """The answer to a POST of JSON, in the same way. Only endpoints with a function `batch` are asked so."""

    def close(self) -> None:
        """Let go of all connections."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a connection and for the whole answer, in seconds; how large a body may be, in bytes."""

    connect_seconds: float
    seconds: float
    most_bytes: int

    def within(self, seconds: float | None) -> float:
        """How long to wait for an answer that must come within so many seconds."""
        return self.seconds if seconds is None else min(self.seconds, seconds)


class HttpTransport:
    """Keep-alive connections to models by http and https, shared by all threads."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._plain = PlainTransport(patience)
        self._secure: Transport | None = None
        self._lock = threading.Lock()

    def get(self, url: str, seconds: float | None = None) -> Answer:
        return self._for(url).get(url, seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Answer:
        return self._for(url).post(url, body, seconds)

    def _for(self, url: str) -> Transport:
        return self._secured() if url[:6].lower() == "https:" else self._plain

    def _secured(self) -> Transport:
        with self._lock:
            if self._secure is None:
                from stellar.maas.secure import SecureTransport  # loads httpx, which few need

                self._secure = SecureTransport(self._patience)
            return self._secure

    def close(self) -> None:
        self._plain.close()
        if self._secure is not None:
            self._secure.close()


class PlainTransport:
    """Connections by http without TLS, at a third of what a full HTTP client costs."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._idle: defaultdict[Place, list[tuple[http.client.HTTPConnection, float]]] = defaultdict(list)
        self._next_sweep = 0.0
        self._closed = False
        self._lock = threading.Lock()

    def get(self, url: str, seconds: float | None = None) -> Answer:
        return self._answer(url, None, seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Answer:
        return self._answer(url, body, seconds)

    def _answer(self, url: str, body: bytes | None, seconds: float | None) -> Answer:
        place, target = _place_and_target(url)
        deadline = monotonic() + self._patience.within(seconds)
        try:
            if kept := self._take(place):
                try:
                    return self._ask(kept, place, target, body, deadline)
                except ConnectionError:  # the model had closed it meanwhile; that says nothing against the model
                    pass
            return self._ask(self._connected(place, deadline), place, target, body, deadline)
        except TimeoutError:
            raise ModelTimeOut(f"{url} gave no answer in time") from None
        except http.client.InvalidURL as error:
            raise ModelUnavailable(f"{url!r} is no address: {error}") from None
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise ModelUnavailable(f"{url} can't be reached: {str(error) or type(error).__name__}") from error

    def _connected(self, place: Place, deadline: float) -> http.client.HTTPConnection:
        seconds = max(0.001, min(self._patience.connect_seconds, deadline - monotonic()))
        connection = http.client.HTTPConnection(*place, timeout=seconds)
        connection.response_class = _TimedResponse
        connection.connect()
        return connection

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        place: Place,
        target: str,
        content: bytes | None,
        deadline: float,
    ) -> Answer:
        try:
            connection.sock.settimeout(max(0.001, deadline - monotonic()))
            if content is None:
                connection.request("GET", target, headers=HEADERS)
            else:
                connection.request("POST", target, content, POST_HEADERS)
            response = connection.getresponse()
            body = self._body(response, target)
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._keep(place, connection)
        return Answer(response.status, body)

    def _body(self, response: http.client.HTTPResponse, target: str) -> bytes:
        most = self._patience.most_bytes
        with response:
            body = response.read(most + 1)
            if len(body) > most:
                raise ModelRefused(f"the answer to {target} is larger than {most:,} bytes")
            if response.length:
                raise http.client.IncompleteRead(body, response.length)
        return body

    def _take(self, place: Place) -> http.client.HTTPConnection | None:
        with self._lock:
            kept = self._idle.get(place)
            while kept:
                connection, since = kept.pop()
                if monotonic() - since < IDLE_SECONDS:
                    return connection
                connection.close()
        return None

    def _keep(self, place: Place, connection: http.client.HTTPConnection) -> None:
        now = monotonic()
        with self._lock:
            if self._closed:  # a request that nobody waited for
                connection.close()
                return
            self._idle[place].append((connection, now))
            if now >= self._next_sweep:
                self._next_sweep = now + IDLE_SECONDS
                self._close_idle_since(now - IDLE_SECONDS)

    def _close_idle_since(self, moment: float) -> None:
        for place, kept in list(self._idle.items()):
            for connection, since in kept:
                if since < moment:
                    connection.close()
            self._idle[place] = [one for one in kept if one[1] >= moment]
            if not self._idle[place]:
                del self._idle[place]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._close_idle_since(float("inf"))


def _place_and_target(url: str) -> tuple[Place, str]:
    try:
        parts = urlsplit(url)
        place = (parts.hostname or "", 80 if parts.port is None else parts.port)
    except ValueError as error:
        raise ModelUnavailable(f"{url!r} is no address: {error}") from None
    path = parts.path if parts.path.isascii() else quote(parts.path, safe="/:@!$&'()*+,;=~%")
    return place, f"{path}?{parts.query}"


class _TimedResponse(http.client.HTTPResponse):
    """Must come whole within the time that the socket has when it begins, however slowly it comes."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock))


class _Timed(io.RawIOBase):
    """What a socket receives before a moment."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._deadline = monotonic() + (sock.gettimeout() or 0.0)
        self._source = sock.makefile("rb", buffering=0)  # keeps the socket open until the body is read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._socket.settimeout(max(0.001, self._deadline - monotonic()))
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()
