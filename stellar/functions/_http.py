"""One HTTP request and its answer, within a time: whatever a server does, and however slowly, it ends then."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from stellar.deadlines import DeadlineNetwork, timeouts

LARGEST_ANSWER = 16 * 1024 * 1024
_IDLE_SECONDS = 5.0


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
            "network_backend": DeadlineNetwork(),
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
        return timeouts(self.connect, self.socket, self.end)


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
