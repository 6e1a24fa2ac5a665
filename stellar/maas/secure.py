"""Requests to models by https, with httpx."""

from __future__ import annotations

import ssl
from time import monotonic

import httpx

from stellar.maas.errors import ModelRefused, ModelUnavailable
from stellar.maas.transport import HEADERS, IDLE_SECONDS, Answer, Patience


class SecureTransport:
    """Keep-alive connections by https, shared by all threads. Certificates are checked as the system does."""

    def __init__(self, patience: Patience, verify: ssl.SSLContext | None = None) -> None:
        self._patience = patience
        self._http = httpx.Client(
            headers=HEADERS,
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment is not meant for models next door
            verify=verify or ssl.create_default_context(),
            timeout=httpx.Timeout(patience.seconds, connect=patience.connect_seconds, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=128, keepalive_expiry=IDLE_SECONDS),
        )

    def get(self, url: str) -> Answer:
        deadline = monotonic() + self._patience.seconds
        try:
            with self._http.stream("GET", url) as response:
                return Answer(response.status_code, self._body(response, deadline))
        except httpx.TimeoutException:
            raise ModelUnavailable(f"{url} gave no answer in time") from None
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"{url} can't be reached: {error}") from error
        except httpx.InvalidURL as error:
            raise ModelUnavailable(f"{url!r} is no address: {error}") from None

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._patience.most_bytes:
                raise ModelRefused(f"the answer of {response.url} is larger than {self._patience.most_bytes:,} bytes")
            if monotonic() > deadline:
                raise ModelUnavailable(f"{response.url} gave no answer in time")
        return bytes(body)

    def close(self) -> None:
        self._http.close()
