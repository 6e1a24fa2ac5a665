"""How a request goes to a model: one method, so that it can be replaced."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from stellar.maas.errors import ModelTimeOut, ModelUnavailable
from stellar.maas.wire import Connection, Garbled

if TYPE_CHECKING:
    import ssl

    from stellar.maas.credentials import Authorization

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


@dataclass(frozen=True)
class Trust:
    """Whom we trust by https, and who we are.

    ca: a file with the authorities to trust, if not those of the system
    certificate, key: files with our own
    authorization: a file that holds what models are told of who we are
    plain: whether they are told by http too, where others can read along
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    authorization: str | None = None
    plain: bool = False


class HttpTransport:
    """Keep-alive connections to models by http and https, shared by all threads.

    Raises ValueError or OSError for files that can't be used.
    """

    gives_way = True  # in a fiber, where it waits

    def __init__(self, patience: Patience, trust: Trust | None = None) -> None:
        trust = trust or Trust()
        self._patience = patience
        self._authorization: Authorization | None = None
        self._context: ssl.SSLContext | None = None
        if trust.authorization is not None or trust.ca is not None or trust.certificate is not None:
            from stellar.maas import credentials  # loads ssl, which few need

            if trust.authorization is not None:
                self._authorization = credentials.Authorization(trust.authorization, plain=trust.plain)
            self._context = credentials.tls_context(trust.ca, trust.certificate, trust.key)
        self._plain = PlainTransport(patience, self._authorization)
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

                self._secure = SecureTransport(self._patience, self._context, self._authorization)
            return self._secure

    def close(self) -> None:
        self._plain.close()
        if self._secure is not None:
            self._secure.close()


class PlainTransport:
    """Connections by http without TLS, at a fraction of what a full HTTP client costs."""

    def __init__(self, patience: Patience, authorization: Authorization | None = None) -> None:
        self._patience = patience
        self._authorization = authorization
        self._idle: defaultdict[Place, list[tuple[Connection, float]]] = defaultdict(list)
        self._next_sweep = 0.0
        self._closed = False
        self._lock = threading.Lock()

    def get(self, url: str, seconds: float | None = None) -> Answer:
        return self._answer(url, None, seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Answer:
        return self._answer(url, body, seconds)

    def _answer(self, url: str, body: bytes | None, seconds: float | None) -> Answer:
        deadline = monotonic() + self._patience.within(seconds)
        try:
            place, request = _place_and_request(url, body, self._said())
            if kept := self._take(place):
                try:
                    return self._ask(kept, place, request, deadline)
                except ConnectionError:  # the model had closed it meanwhile; that says nothing against the model
                    pass
            return self._ask(self._connected(place, deadline), place, request, deadline)
        except TimeoutError:
            raise ModelTimeOut(f"{url} gave no answer in time") from None
        except Garbled as error:
            raise ModelUnavailable(f"{url} can't be reached by HTTP: {error}", "bad reply") from error
        except (OSError, UnicodeError) as error:
            raise ModelUnavailable(f"{url} can't be reached: {str(error) or type(error).__name__}") from error

    def _said(self) -> str:
        """The line of the head that tells who we are; empty where that is not to be told."""
        said = self._authorization and self._authorization.header(secure=False)
        return f"Authorization: {said}\r\n" if said else ""

    def _connected(self, place: Place, deadline: float) -> Connection:
        return Connection(place, max(0.001, min(self._patience.connect_seconds, deadline - monotonic())))

    def _ask(self, connection: Connection, place: Place, request: bytes, deadline: float) -> Answer:
        try:
            status, body, stays = connection.ask(request, deadline, self._patience.most_bytes)
        except BaseException:
            connection.close()
            raise
        if stays:
            self._keep(place, connection)
        else:
            connection.close()
        return Answer(status, body)

    def _take(self, place: Place) -> Connection | None:
        with self._lock:
            kept = self._idle.get(place)
            while kept:
                connection, since = kept.pop()
                if monotonic() - since < IDLE_SECONDS:
                    return connection
                connection.close()
        return None

    def _keep(self, place: Place, connection: Connection) -> None:
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


def _place_and_request(url: str, body: bytes | None, said: str = "") -> tuple[Place, bytes]:
    """Where to connect, and what to say there."""
    address, _, query = url.partition("?")
    place, path, host = _parsed(address)
    target = f"{path}?{query}"
    if _NOT_IN_AN_ADDRESS.search(target):
        raise _no_address(url)
    if body is None:
        return place, f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{_HEADERS}{said}\r\n".encode("ascii")
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{_POST_HEADERS}{said}Content-Length: {len(body)}\r\n\r\n"
    return place, head.encode("ascii") + body


@lru_cache(1024)
def _parsed(address: str) -> tuple[Place, str, str]:
    """Of an address without a query: where to connect, the path, and the host as it is told."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", 80 if parts.port is None else parts.port
    except ValueError as error:
        raise ModelUnavailable(f"{address!r} is no address: {error}") from None
    if not host or _NOT_IN_AN_ADDRESS.search(host):
        raise _no_address(address)
    path = parts.path if parts.path.isascii() else quote(parts.path, safe="/:@!$&'()*+,;=~%")
    name = (host if host.isascii() else host.encode("idna").decode()) if ":" not in host else f"[{host}]"
    return (host, port), path, name if port == 80 else f"{name}:{port}"


def _no_address(url: str) -> ModelUnavailable:
    return ModelUnavailable(f"{url!r} is no address: it has no host, or blanks or control characters in it")


_NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x20\x7f]")
_HEADERS, _POST_HEADERS = (
    "".join(f"{name}: {value}\r\n" for name, value in headers.items()) for headers in (HEADERS, POST_HEADERS)
)
