"""Whether anybody listens at an address."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal
from urllib.parse import urlsplit

from stellar.maas.schema import ServiceInstance

Reached = Literal["listens", "refused", "unreachable"]

ANSWER_SECONDS = 1.0
TRIES = 3
_PORTS = {"http": 80, "https": 443}


def reached(url: str, seconds: float = ANSWER_SECONDS) -> Reached:
    """Whether something accepts connections at the host and port of an address.

    "refused": the machine answers, and nobody listens there. "unreachable": the machine itself gives no answer from
    here, which may be due to what is in between; also what is no address.
    """
    try:
        parts = urlsplit(url)
        place = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        socket.create_connection(place, timeout=seconds).close()
    except ConnectionRefusedError:
        return "refused"
    except (OSError, ValueError, KeyError):
        return "unreachable"
    return "listens"


def silent(instances: Iterable[ServiceInstance]) -> Sequence[tuple[ServiceInstance, Reached]]:
    """Those of the instances at which nobody listened, however often they were tried."""
    with ThreadPoolExecutor(32, "reach") as pool:
        instances = tuple(instances)
        found = pool.map(lambda instance: _reached_at_last(instance.url), instances)
        return [pair for pair in zip(instances, found, strict=True) if pair[1] != "listens"]


def _reached_at_last(url: str) -> Reached:
    found: Reached = "unreachable"
    for _ in range(TRIES):
        if (found := reached(url)) == "listens":
            break
    return found
