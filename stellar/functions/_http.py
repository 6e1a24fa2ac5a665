"""One HTTP request and its answer, within a time: whatever a server does, and however slowly, it ends then."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

LARGEST_ANSWER = 16 * 1024 * 1024
_IDLE_SECONDS = 5.0
_PIECE = 65_536


class CallFailure(Exception):
    """A call that brought no answer that can be used.

    unwell: whether that is because the server is not well
    """

    def __init__(self, message: str, *, unwell: bool = False) -> None:
        super().__init__(message)
        self.unwell = unwell


@dataclass(frozen=True, slots=True)
class Route:
    """What connections to a server depend on.

    proxy: the host and port of the HTTP proxy, if there is one
    proxy_auth: its user and password
    ca_path: a file of the certificates that are trusted; those of the system if there is none
    """

    proxy: tuple[bytes, int] | None = None
    proxy_auth: tuple[str, str] | None = None
    ca_path: str | None = None

    def pool(self) -> httpcore.ConnectionPool:
        """Raises LookupError if the certificates can't be read."""
        options: dict[str, Any] = {
            "ssl_context": self._certificates(),
            "keepalive_expiry": _IDLE_SECONDS,
            "max_connections": None,  # how many there may be is seen to by whoever calls
            "network_backend": _Network(),
        }
        if self.proxy is None:
            return httpcore.ConnectionPool(**options)
        host, port = self.proxy
        auth = None if self.proxy_auth is None else (self.proxy_auth[0].encode(), self.proxy_auth[1].encode())
        return httpcore.HTTPProxy(httpcore.URL(scheme="http", host=host, port=port), proxy_auth=auth, **options)

    def _certificates(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_path)
        except (OSError, ValueError) as error:
            raise LookupError(f"the certificates in {self.ca_path} can't be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds each step may take, and at what time of `time.monotonic` all of them must be done."""

    connect: float
    socket: float
    end: float

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    @property
    def timeouts(self) -> dict[str, float]:
        connect, socket = _Step(self.connect), _Step(self.socket)
        connect.end = socket.end = self.end
        return {"connect": connect, "read": socket, "write": socket}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the headers by their names in small letters, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(
    pool: httpcore.ConnectionPool,
    method: str,
    url: httpx.URL,
    headers: dict[str, str],
    content: bytes | None,
    patience: Patience,
) -> Answer:
    """The answer to a request.

    Raises CallFailure if there is none, if it is too large, or if it does not come in time.
    """
    address = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    # Only plain answers: a small packed one may be huge when it is unpacked
    plain = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity", "User-Agent": "stellar-maas", **headers}
    try:
        with pool.stream(
            method, address, headers=list(plain.items()), content=content, extensions={"timeout": patience.timeouts}
        ) as response:
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            if found.get("content-encoding", "identity").lower() != "identity":
                raise CallFailure(f"the answer is packed with {found['content-encoding']}")
            return Answer(response.status, found, _whole(response.iter_stream()))
    except httpcore.TimeoutException as error:
        raise CallFailure("no answer in time", unwell=True) from error
    except httpcore.LocalProtocolError as error:
        raise CallFailure(f"it can't be asked: {error}") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, OSError, UnicodeError) as error:
        raise CallFailure(str(error) or type(error).__name__, unwell=True) from error


def _whole(parts: Iterable[bytes]) -> bytes:
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > LARGEST_ANSWER:
            raise CallFailure(f"the answer has more than {LARGEST_ANSWER} bytes")
    return bytes(body)


# -- Streams that end in time -----------------------------------------------------------------------------------------
#
# The time-outs of a pool hold for each step: a server that sends a byte now and then could take for ever. A pool hands
# the time-outs of a request on to its streams as they are, so ours can bring the end of the whole call with them.


class _Step(float):
    """The seconds that a step may take, and the time at which the call must be done."""

    end: float


def _seconds(timeout: float | None) -> float:
    assert isinstance(timeout, _Step)  # no request goes without
    left = timeout.end - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the whole call is over")
    return min(left, timeout)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _seconds(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], _seconds(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _seconds(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(host, port, _seconds(timeout), local_address, socket_options))
