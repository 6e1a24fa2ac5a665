"""Requests to models by https, with httpcore."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from time import monotonic

import httpcore
import httpx

from stellar.deadlines import DeadlineNetwork, timeouts
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
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify or ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=128,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=DeadlineNetwork(),
        )

    def get(self, url: str, seconds: float | None = None) -> Answer:
        return offload(self._answer, "GET", url, None, HEADERS, seconds)

    def post(self, url: str, body: bytes, seconds: float | None = None) -> Answer:
        return offload(self._answer, "POST", url, body, POST_HEADERS, seconds)

    def _answer(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], seconds: float | None
    ) -> Answer:
        within = max(0.001, self._patience.within(seconds))
        if self._authorization and (said := self._authorization.header(secure=True)):
            headers = {**headers, "authorization": said}
        patience = timeouts(min(within, self._patience.connect_seconds), within, monotonic() + within)
        place, host = _place(url)
        said_too = [("host", host), *headers.items()]
        try:
            asked = self._pool.stream(method, place, headers=said_too, content=body, extensions={"timeout": patience})
            with asked as response:
                return Answer(response.status, self._body(url, response.iter_stream()))
        except httpcore.TimeoutException:
            raise ModelTimeOut(f"{url} gave no answer in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            raise ModelUnavailable(f"{url} can't be reached: {str(error) or type(error).__name__}") from error

    def _body(self, url: str, pieces: Iterable[bytes]) -> bytes:
        body = bytearray()
        for piece in pieces:
            body += piece
            if len(body) > self._patience.most_bytes:
                raise ModelRefused(f"the answer of {url} is larger than {self._patience.most_bytes:,} bytes")
        return bytes(body)

    def close(self) -> None:
        self._pool.close()


def _place(url: str) -> tuple[httpcore.URL, str]:
    """Where to connect, and the host as it is told.

    Raises ModelUnavailable for what is no address.
    """
    try:
        parts = httpx.URL(url)  # which knows what to do with what is beyond ASCII
    except httpx.InvalidURL as error:
        raise ModelUnavailable(f"{url!r} is no address: {error}") from None
    place = httpcore.URL(scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path)
    return place, parts.netloc.decode("ascii")
