"""What every transport gives and takes: responses, time-outs, TLS settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# Sent to every model. A compressed response could grow beyond all bounds, so none is accepted.
HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
POST_HEADERS = {**HEADERS, "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    retry_after: seconds for which the server wants to be left alone; None if it does not say so
    """

    status: int
    body: bytes
    retry_after: float | None = None


class Transport(Protocol):
    """A carrier of requests to models. Safe to use from many threads."""

    def get(self, url: str, seconds: float | None = None) -> Response:
        """The answer to a GET, whatever its status; redirects are not followed.

        seconds: how long to wait at most; None for as long as the transport waits by itself

        Raises ModelTimeOut if none came in time, ModelUnavailable if there is none, ModelRefused if it is larger than
        allowed.
        """

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Response:
        """The answer to a POST of JSON, in the same way. Only endpoints with a function `batch` are asked so."""

    def close(self) -> None:
        """Let go of all connections."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time-outs for a connection and for the whole response, in seconds; the largest body, in bytes."""

    connect_seconds: float
    seconds: float
    max_bytes: int

    def within(self, seconds: float | None) -> float:
        """Return the seconds to wait for a response that must arrive within so many."""
        return self.seconds if seconds is None else min(self.seconds, seconds)


@dataclass(frozen=True)
class TlsSettings:
    """The authorities trusted by https, and the client's own credentials; all are paths of files.

    ca: the authorities to trust; None for those of the system
    certificate, key: the client's own
    authorization: holds the Authorization header, see `Authorization`
    plain: True to send that header by http too, where others can read it
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    authorization: str | None = None
    plain: bool = False
