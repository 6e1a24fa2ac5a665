"""Probes of instances: does a server accept connections at a URL?"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal
from urllib.parse import urlsplit

from stellar.maas.schema import ServiceInstance

ProbeResult = Literal["listens", "refused", "unreachable"]

PROBE_SECONDS = 1.0
ATTEMPTS = 3
_PORTS = {"http": 80, "https": 443}


def probe_url(url: str, seconds: float = PROBE_SECONDS) -> ProbeResult:
    """Return the result of one connection to the host and port of a URL.

    "listens": the connection was accepted. "refused": the host is up, but no server listens on the port.
    "unreachable": no connection within `seconds`, possibly because of the network in between; also for an invalid URL.
    """
    try:
        parts = urlsplit(url)
        address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        socket.create_connection(address, timeout=seconds).close()
    except ConnectionRefusedError:
        return "refused"
    except (OSError, ValueError, KeyError):
        return "unreachable"
    return "listens"


def find_unreachable(instances: Iterable[ServiceInstance]) -> Sequence[tuple[ServiceInstance, ProbeResult]]:
    """Return the instances that accepted no connection in several attempts, with the result of the last one."""
    with ThreadPoolExecutor(32, "probe") as pool:
        instances = tuple(instances)
        results = pool.map(lambda instance: _probe_repeatedly(instance.url), instances)
        return [pair for pair in zip(instances, results, strict=True) if pair[1] != "listens"]


def _probe_repeatedly(url: str) -> ProbeResult:
    result: ProbeResult = "unreachable"
    for _ in range(ATTEMPTS):
        if (result := probe_url(url)) == "listens":
            break
    return result
