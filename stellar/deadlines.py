"""Requests by httpcore that end in time as a whole, however slowly a server sends.

The time-outs of a pool hold for each step: a server that sends a byte now and then could take for ever. A pool hands on
the time-outs of a request to its streams as they are, so ours can bring the end of the whole call with them.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

_PIECE = 65_536


def timeouts(connect: float, socket: float, end: float) -> dict[str, float]:
    """The time-outs of a request, for a pool whose network is `DeadlineNetwork`.

    connect: how many seconds a connection may take
    socket: how many seconds each other step may take
    end: the time of `time.monotonic` at which all must be done
    """
    connecting, other = _Step(connect), _Step(socket)
    connecting.end = other.end = end
    return {"connect": connecting, "read": other, "write": other}


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


class DeadlineNetwork(httpcore.NetworkBackend):
    """Connects to servers; each request says by `timeouts` when it must be done."""

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
