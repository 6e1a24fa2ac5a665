"""The `endpoint.dat` that a model writes, and the health check of its endpoint.

A model may write invalid data to `endpoint.dat`, by mistake or on purpose.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from stellar.maas.errors import MaasError
from stellar.maas.schema import Endpoint, read_json
from stellar.maas.transport.base import Timeouts, Transport
from stellar.maas.transport.http import HttpTransport

MAX_BYTES = 65_536
CHECK_SECONDS = 1.0
HEALTH_SECONDS = 2.0


@dataclass(frozen=True)
class EndpointFile:
    """The content of `endpoint.dat`: Metron's keys, and our own.

    endpoint: Metron's keys, which are registered
    health: path of the health check, for the runner; empty if not set
    settings: our keys for clients, which are published next to the registration
    """

    endpoint: Endpoint
    health: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_endpoint(file: Path) -> EndpointFile | None:
    """Return the content of the file; None while it is empty or does not exist.

    Raises ValueError or OSError for invalid content, which may be a partial write.
    """
    data = _content(file)
    if not data:
        return None
    endpoint = Endpoint.from_json(data)
    if any(not value.isprintable() for pair in endpoint.functions.items() for value in pair):
        raise ValueError("invalid functions: control characters")
    content = read_json(data)
    return EndpointFile(endpoint, parse_health_path(content.get("health") or ""), _settings(content))


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return our own keys for clients."""
    if "hedge" not in content:
        return {}
    if not isinstance(hedge := content["hedge"], bool):
        raise ValueError(f"invalid hedge: expected true or false, got {json.dumps(hedge)[:80]}")
    return {"hedge": hedge}


def _content(file: Path) -> bytes:
    """Return the bytes of a regular file; empty if it does not exist. Never blocks and never follows a link."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("expected a regular file, got a link") from None
        raise
    with open(descriptor, "rb") as handle:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("expected a regular file")
        if len(data := handle.read(MAX_BYTES + 1)) > MAX_BYTES:
            raise ValueError(f"too large: expected at most {MAX_BYTES:,} bytes")
    return data


def parse_health_path(path: object) -> str:
    """Return a health-check path, relative to the model's URL and without a leading slash.

    Raises ValueError for an invalid path.
    """
    if not isinstance(path, str) or not path.isprintable() or {".", ".."} & set(path.split("/")):
        raise ValueError(f"invalid path {path!r}: expected a path such as /health")
    return quote(path.removeprefix("/"), safe="/:@!$&'()*+,;=~%?")


def find_port(url: str) -> int:
    """Return the port of an http or https URL."""
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def is_listening(url: str, seconds: float = CHECK_SECONDS) -> bool:
    """Return whether a server accepts connections at the host and port of a URL."""
    try:
        socket.create_connection((urlsplit(url).hostname or "", find_port(url)), timeout=seconds).close()
    except OSError:
        return False
    return True


class HealthProbe:
    """A health check of a model: its port accepts connections or, with a health path, a GET returns a 2xx status.

    url: URL of the model
    health: path of the health check; empty for a connection check

    The kernel accepts connections for a hung process, so only a health path detects a hung model.
    """

    def __init__(self, url: str, health: str = "") -> None:
        self.url = f"{url.rstrip('/')}/{health}" if health else url
        self.not_ready = f"no 2xx response from {self.url}" if health else f"no server is listening at {url}"
        self.failure = (
            f"health check failed: no 2xx response from {self.url}"
            if health
            else f"health check failed: no server is listening at {url}"
        )
        self.misses = 0
        self._transport = _transport(url) if health else None
        self._closed = threading.Event()

    def __call__(self) -> bool:
        """Check once, within a second or two. Return whether the model is healthy."""
        if self._transport is None:
            return is_listening(self.url)
        try:
            return 200 <= self._transport.get(self.url).status < 300
        except MaasError:
            return False

    def start(self, seconds: float, missed: Callable[[], object] = lambda: None) -> None:
        """Check every `seconds` in a thread; `misses` counts consecutive failures.

        missed: called in that thread after each failure
        """
        threading.Thread(target=self._run, args=(seconds, missed), name="health check", daemon=True).start()

    def _run(self, seconds: float, missed: Callable[[], object]) -> None:
        while not self._closed.wait(seconds):
            if self():
                self.misses = 0
            else:
                self.misses += 1
                missed()

    def close(self) -> None:
        self._closed.set()
        if self._transport is not None:
            self._transport.close()


def _transport(url: str) -> Transport:
    timeouts = Timeouts(HEALTH_SECONDS, HEALTH_SECONDS, 1 << 20)
    if urlsplit(url).scheme == "http":
        return HttpTransport(timeouts)
    # The runner started this server itself and sends no secrets, so the certificate is not verified
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HttpTransport(timeouts, context=context)
