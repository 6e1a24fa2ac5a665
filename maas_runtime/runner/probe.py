"""One HTTP request to a model, on a connection of its own, which may stay open for long.

sending ──▶ Outcome("response", status)   a complete response
        ──▶ Outcome("other")              bytes that are not a complete HTTP response
        ──▶ Outcome("closed")             the connection was closed without a byte
        ──▶ Outcome("refused")            no connection: refused, unreachable, or an unknown host
        ──▶ Outcome("silent")             no byte in the given time, or no connection because the queue is full
        ──▶ Outcome("abandoned")          the caller ended it
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from selectors import EVENT_READ
from time import monotonic
from typing import Literal
from urllib.parse import urlsplit

from maas_runtime.runner.connections import find_port
from stellar.net.http11 import Connection, ProtocolError, ResponseParser, ResponseTooLarge, connect
from stellar.util.waiting import Waitable, wait_for

MAX_BYTES = 1 << 20
SLICE_SECONDS = 0.25  # between checks whether the caller has ended the probe


@dataclass(frozen=True)
class Outcome:
    """The outcome of a probe.

    status: of the response
    seconds: how long the probe took
    """

    kind: Literal["response", "other", "closed", "refused", "silent", "abandoned"]
    status: int = 0
    seconds: float = 0.0

    @property
    def is_2xx(self) -> bool:
        return 200 <= self.status < 300


class Probe:
    """A GET request for `url`.

    own_port: the local port of its connection, once it connects
    is_connected: True once the connection is established
    received: True once the server has sent bytes or closed the connection
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.own_port: int | None = None
        self.is_connected = self.received = False
        self._began = monotonic()

    def send(self, seconds: float, while_silent: Callable[[float], bool] = lambda _: True) -> Outcome:
        """Send the request, and wait for the outcome.

        while_silent: called four times a second with the elapsed seconds until the response is complete; returns False
            to abandon the probe
        """
        steps = self._steps()
        try:
            wanted = next(steps)
            while True:
                self._find_own_port(wanted)
                is_ready = wait_for(wanted, SLICE_SECONDS)
                self.received |= is_ready and isinstance(wanted, tuple) and wanted[1] == EVENT_READ
                if (elapsed := monotonic() - self._began) >= seconds:
                    return self._outcome("other" if self.received else "silent")
                if is_ready:
                    wanted = steps.send(True)
                elif not while_silent(elapsed):
                    return self._outcome("abandoned")
        except StopIteration as end:
            return self._outcome("response", end.value.status)
        except (ProtocolError, ResponseTooLarge):
            return self._outcome("other")
        except OSError:
            return self._outcome("closed" if self.is_connected else "refused")
        finally:
            steps.close()

    def _find_own_port(self, wanted: Waitable) -> None:
        if self.own_port is None and isinstance(wanted, tuple):
            self.own_port = wanted[0].getsockname()[1]

    def _outcome(
        self, kind: Literal["response", "other", "closed", "refused", "silent", "abandoned"], status: int = 0
    ) -> Outcome:
        return Outcome(kind, status, monotonic() - self._began)

    def _steps(self) -> Generator[Waitable, bool, ResponseParser]:
        connection = yield from self._connect()
        self.is_connected = True
        try:
            return (yield from connection.exchange(self._request(), MAX_BYTES))
        finally:
            connection.close()

    def _connect(self) -> Generator[Waitable, bool, Connection]:
        """Connect to the first address of the host that accepts it."""
        host = urlsplit(self.url).hostname or ""
        tls = _make_context() if self.url.startswith("https:") else None
        addresses = socket.getaddrinfo(host, find_port(self.url), type=socket.SOCK_STREAM)
        for number, (family, _, _, _, address) in enumerate(addresses, 1):
            try:
                return (yield from connect(family, (str(address[0]), int(address[1])), tls, host))
            except OSError:
                self.own_port = None
                if number == len(addresses):
                    raise
        raise OSError(f"{host} has no address")

    def _request(self) -> bytes:
        parts = urlsplit(self.url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        return (
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: maas-runner\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n"
        ).encode("ascii")


def _make_context() -> ssl.SSLContext:
    # The runner started this server itself and sends no secrets, so the certificate is not verified
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
