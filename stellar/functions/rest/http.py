"""One HTTP request and its response, within a deadline: whatever a server does, and however slowly, it ends then."""

from __future__ import annotations

import base64
import ssl
import time
from dataclasses import dataclass

import h11
import httpcore
import httpx

from stellar.functions.rest.connections import (
    ConnectionPool,
    Proxy,
    Request,
    Response,
    ResponseTooLarge,
    StaleConnection,
    TunnelRefused,
)
from stellar.net.deadlines import DeadlineNetwork, timeouts

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "stellar-maas"}
_NETWORK_FAILURES = (
    h11.RemoteProtocolError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    OSError,
    StaleConnection,
    TunnelRefused,
    UnicodeError,
)


class CallFailure(Exception):
    """A call without a response that can be used.

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

    proxy: tuple[str, int] | None = None
    proxy_auth: tuple[str, str] | None = None
    ca_path: str | None = None

    def pool(self, network: DeadlineNetwork) -> ConnectionPool:
        """Return a new pool. Raises LookupError if the certificates can't be read."""
        return ConnectionPool(network, self._certificates(), self._proxy())

    def _proxy(self) -> Proxy | None:
        if self.proxy is None:
            return None
        return Proxy(*self.proxy, None if self.proxy_auth is None else basic_authorization(*self.proxy_auth))

    def _certificates(self) -> ssl.SSLContext:
        try:
            certificates = ssl.create_default_context(cafile=self.ca_path)
        except (OSError, ValueError) as error:
            raise LookupError(f"the certificates in {self.ca_path} can't be read: {error}") from error
        certificates.set_alpn_protocols(["http/1.1"])
        return certificates


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds each step may take, and at what time of `time.monotonic` all of them must be done."""

    connect: float
    socket: float
    end: float

    @property
    def left(self) -> float:
        """The seconds until the deadline."""
        return self.end - time.monotonic()

    @property
    def steps(self) -> dict[str, float]:
        """The time-outs as network streams take them."""
        return timeouts(self.connect, self.socket, self.end)


def basic_authorization(user: str, password: str) -> str:
    """Return the value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def exchange(
    pool: ConnectionPool,
    method: str,
    url: httpx.URL,
    headers: dict[str, str],
    content: bytes | None,
    limits: Timeouts,
) -> Response:
    """Return the response to a request.

    Raises CallFailure if there is none, if it is too large, or if it does not come in time.
    """
    # Only plain responses: a small compressed one may be huge when it is decompressed
    request = Request(method, url, {"Host": url.netloc.decode("ascii"), **_HEADERS, **headers}, content)
    try:
        response = pool.exchange(request, limits.steps)
    except httpcore.TimeoutException as error:
        raise CallFailure("no answer in time", unwell=True) from error
    except h11.LocalProtocolError as error:
        raise CallFailure(f"it can't be asked: {error}") from error
    except ResponseTooLarge as error:
        raise CallFailure(str(error)) from error
    except _NETWORK_FAILURES as error:
        raise CallFailure(str(error) or type(error).__name__, unwell=True) from error
    if (encoding := response.headers.get("content-encoding", "identity")).lower() != "identity":
        raise CallFailure(f"the answer is packed with {encoding}")
    return response
