"""Requests by httpcore's network streams that end in time as a whole, however slowly a server sends.

The time-outs of a pool hold for each step: a server that sends a byte now and then could take for ever. A pool hands
on the time-outs of a request to its streams as they are, so ours can bring the end of the whole call with them. The
look-up of a host's name counts as a part of connecting to it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from stellar.net.name_resolution import Address, NameResolver

CHUNK_BYTES = 65_536
# What one address of several may take at least, so that a host with many is not given up too soon
MIN_ATTEMPT_SECONDS = 0.25


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
        for start in range(0, len(buffer), CHUNK_BYTES):
            self._inner.write(buffer[start : start + CHUNK_BYTES], _seconds(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _seconds(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class DeadlineNetwork(httpcore.NetworkBackend):
    """Connects to servers; each request says by `timeouts` when it must be done.

    resolver: looks up the addresses of hosts; by default one with a cache of its own
    """

    def __init__(self, resolver: NameResolver | None = None) -> None:
        self._inner = httpcore.SyncBackend()
        self._resolver = resolver or NameResolver()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that accepts.

        Raises ConnectTimeout if none does in time, the look-up of the name included, and ConnectError if the name has
        no address or none of them accepts.
        """
        end = time.monotonic() + _seconds(timeout)
        options = list(socket_options or ())
        failure: Exception | None = None
        addresses = self._resolve(host, end)
        for number, (_, address) in enumerate(addresses):
            seconds = _attempt_seconds(end, len(addresses) - number)
            try:
                return _Stream(self._inner.connect_tcp(address, port, seconds, local_address, options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"the host {host} has no address")

    def _resolve(self, host: str, end: float) -> tuple[Address, ...]:
        try:
            return self._resolver.resolve(host, end - time.monotonic())
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error


def _attempt_seconds(end: float, addresses: int) -> float:
    """Return the seconds for the next of so many addresses: a fair share, for one may swallow what is sent to it."""
    left = end - time.monotonic()
    if left <= 0:
        raise httpcore.ConnectTimeout("no address accepted a connection in time")
    return min(left, max(left / addresses, MIN_ATTEMPT_SECONDS))
