"""The interface of transports: responses, time-outs, TLS settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

# Compression is not accepted, as a small response could grow to any size. Servers of this project respond with status
# 200 to callers that do not prefer strict handling, because one other status disables a thread of Metron's client.
HEADERS = {"accept": "application/json", "accept-encoding": "identity", "prefer": "handling=strict"}
POST_HEADERS = {**HEADERS, "content-type": "application/json"}


class Response(NamedTuple):
    """An HTTP response.

    retry_after: seconds after which the server may be called again; None without a valid Retry-After header
    is_strict: True if the server has applied our preference, so that errors in a batch are not results, and the body of
        an error has a reason that may be logged
    """

    status: int
    body: bytes
    retry_after: float | None = None
    is_strict: bool = False


class Transport(Protocol):
    """Sends requests to instances. Thread-safe."""

    def get(self, url: str, seconds: float | None = None) -> Response:
        """Send a GET; return the response with any status. Redirects are not followed.

        seconds: time-out; defaults to that of the transport

        Raises ModelTimeOut if the response does not arrive in time, ModelUnavailable if the instance can't be reached,
        ModelRefused if the response is too large.
        """

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Response:
        """Send a POST with a JSON body, like `get`. Only used for endpoints with a function `batch`."""

    def close(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time-outs for a connection and for the whole response, in seconds; the largest body, in bytes."""

    connect_seconds: float
    seconds: float
    max_bytes: int

    def within(self, seconds: float | None) -> float:
        """Return the time-out for a response; `seconds` can shorten it."""
        return self.seconds if seconds is None else min(self.seconds, seconds)


@dataclass(frozen=True)
class TlsSettings:
    """TLS settings and credentials.

    ca: file with trusted certificate authorities; None for those of the system
    certificate, key: files of the client certificate
    authorization: file with the credentials to send
    plain: True to send the credentials by http too, unencrypted
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    authorization: str | None = None
    plain: bool = False
