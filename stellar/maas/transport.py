"""How a request goes to a model: one method, so that it can be replaced."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import httpx

from stellar.maas.errors import ModelRefused, ModelUnavailable

# Asked of every model. A compressed answer could grow beyond all bounds, so none is asked for.
HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status and the whole body."""

    status: int
    body: bytes


class Transport(Protocol):
    """What carries a request to a model. Safe to use from many threads."""

    def get(self, url: str) -> Answer:
        """The answer to a GET, whatever its status; redirects are not followed.

        Raises ModelUnavailable if none came in time, ModelRefused if it is larger than allowed.
        """

    def close(self) -> None:
        """Let go of all connections."""


class HttpTransport:
    """Keep-alive connections to the models, shared by all threads.

    connect_seconds: how long to wait for a connection
    seconds: how long to wait for the whole answer
    most_bytes: how large a body may be
    """

    def __init__(self, connect_seconds: float, seconds: float, most_bytes: int) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._http = httpx.Client(
            headers=HEADERS,
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment is not meant for models next door
            verify=ssl.create_default_context(),
            timeout=httpx.Timeout(seconds, connect=connect_seconds, pool=None),
            # Servers that people run behind models close idle connections after 5 s; be there first
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=128, keepalive_expiry=4.0),
        )

    def get(self, url: str) -> Answer:
        deadline = monotonic() + self._seconds
        try:
            with self._http.stream("GET", url) as response:
                return Answer(response.status_code, self._body(response, deadline))
        except httpx.TimeoutException:
            raise ModelUnavailable(f"{url} gave no answer in time") from None
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"{url} can't be reached: {error}") from error
        except httpx.InvalidURL as error:
            raise ModelUnavailable(f"{url} is no address: {error}") from error

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._most_bytes:
                raise ModelRefused(f"the answer of {response.url} is larger than {self._most_bytes:,} bytes")
            if monotonic() > deadline:
                raise ModelUnavailable(f"{response.url} gave no whole answer in time")
        return bytes(body)

    def close(self) -> None:
        self._http.close()
