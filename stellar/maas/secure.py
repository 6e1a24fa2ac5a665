"""Requests to models by https, with httpx."""

from __future__ import annotations

import ssl
from time import monotonic

import httpx

from stellar.fibers import offload
from stellar.maas.credentials import Authorization
from stellar.maas.errors import ModelRefused, ModelTimeOut, ModelUnavailable
from stellar.maas.transport import HEADERS, IDLE_SECONDS, POST_HEADERS, Answer, Patience


class SecureTransport:
    """Keep-alive connections by https, shared by all threads.

    verify: whom we trust, and who we are; by default those whom the system trusts, and nobody
    authorization: what each model is told of who we are
    """

    def __init__(
        self,
        patience: Patience,
        verify: ssl.SSLContext | None = None,
        authorization: Authorization | None = None,
    ) -> None:
        self._patience = patience
        self._authorization = authorization
        self._http = httpx.Client(
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment is not meant for models next door
            verify=verify or ssl.create_default_context(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=128, keepalive_expiry=IDLE_SECONDS),
        )

    def get(self, url: str, seconds: float | None = None) -> Answer:
        return offload(self._answer, "GET", url, None, HEADERS, seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Answer:
        return offload(self._answer, "POST", url, body, POST_HEADERS, seconds)

    def _answer(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], seconds: float | None
    ) -> Answer:
        within = max(0.001, self._patience.within(seconds))
        deadline = monotonic() + within
        if self._authorization and (said := self._authorization.header(secure=True)):
            headers = {**headers, "authorization": said}
        timeout = httpx.Timeout(within, connect=min(within, self._patience.connect_seconds), pool=None)
        try:
            with self._http.stream(method, url, content=body, headers=headers, timeout=timeout) as response:
                return Answer(response.status_code, self._body(response, deadline))
        except httpx.TimeoutException:
            raise ModelTimeOut(f"{url} gave no answer in time") from None
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
                raise ModelTimeOut(f"{response.url} gave no answer in time")
        return bytes(body)

    def close(self) -> None:
        self._http.close()
