"""The `endpoint.dat` that a model writes, and the health check of its endpoint.

The model may write anything to `endpoint.dat`, by mistake or on purpose.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import ssl
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from stellar.maas.errors import MaasError
from stellar.maas.schema import Endpoint, read_json
from stellar.maas.transport.base import Timeouts, Transport
from stellar.maas.transport.http import HttpTransport

MOST_BYTES = 65_536
LOOK_SECONDS = 1.0
HEALTH_SECONDS = 2.0


@dataclass(frozen=True)
class EndpointFile:
    """The content of `endpoint.dat`: Metron's keys, and our own.

    endpoint: what is registered, which has Metron's keys alone
    health: the path of the health check, for the runner; empty for none
    settings: our keys for clients, which are published beside the registration
    """

    endpoint: Endpoint
    health: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_endpoint(file: Path) -> EndpointFile | None:
    """Return the content of the file; None as long as it is empty or does not exist.

    Raises ValueError or OSError for invalid content, which may be half of what the model is writing.
    """
    data = _content(file)
    if not data:
        return None
    endpoint = Endpoint.from_json(data)
    if any(not text.isprintable() for pair in endpoint.functions.items() for text in pair):
        raise ValueError("its functions have control characters in them")
    content = read_json(data)
    return EndpointFile(endpoint, health_path(content.get("health") or ""), _settings(content))


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return our own keys for clients."""
    if "hedge" not in content:
        return {}
    if not isinstance(hedge := content["hedge"], bool):
        raise ValueError(f"invalid hedge: expected true or false, got {json.dumps(hedge)[:80]}")
    return {"hedge": hedge}


def _content(file: Path) -> bytes:
    """What a file holds; nothing if it is not there. It is neither waited for nor looked for elsewhere."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("it is a link") from None
        raise
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        if len(data := opened.read(MOST_BYTES + 1)) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    return data


def health_path(text: object) -> str:
    """A path below a model's address, without a leading slash. Raises ValueError for what is none."""
    if not isinstance(text, str) or not text.isprintable() or {".", ".."} & set(text.split("/")):
        raise ValueError(f"{text!r} is no path such as /health")
    return quote(text.removeprefix("/"), safe="/:@!$&'()*+,;=~%?")


def listens(url: str, seconds: float = LOOK_SECONDS) -> bool:
    """Whether something accepts connections at the host and port of an address."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname or "", port), timeout=seconds).close()
    except OSError:
        return False
    return True


class HealthProbe:
    """Looks whether a model is there: whether it listens or, where it has a path for that, answers by 2xx.

    url: its address
    health: the path; empty for none

    A model that hangs still listens, for the system accepts connections in its place: only a path shows that.
    """

    def __init__(self, url: str, health: str = "") -> None:
        self.url = f"{url.rstrip('/')}/{health}" if health else url
        self.nothing = f"no good answer came from {self.url}" if health else f"nothing listens at {url}"
        self.lost = f"it gives no good answer at {self.url}" if health else f"it listens no longer at {url}"
        self.misses = 0
        self._transport = _transport(url) if health else None
        self._ended = threading.Event()

    def __call__(self) -> bool:
        """Look once, which may take a second or two."""
        if self._transport is None:
            return listens(self.url)
        try:
            return 200 <= self._transport.get(self.url).status < 300
        except MaasError:
            return False

    def begin(self, seconds: float) -> None:
        """Look every so many seconds, beside what else is done; `misses` tells how often in a row it was in vain."""
        threading.Thread(target=self._look, args=(seconds,), name="looks", daemon=True).start()

    def _look(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            self.misses = 0 if self() else self.misses + 1

    def close(self) -> None:
        self._ended.set()
        if self._transport is not None:
            self._transport.close()


def _transport(url: str) -> Transport:
    patience = Timeouts(HEALTH_SECONDS, HEALTH_SECONDS, 1 << 20)
    if urlsplit(url).scheme == "http":
        return HttpTransport(patience)
    # We ask what we have started ourselves, and tell it nothing: whoever else checks its certificate
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HttpTransport(patience, context=context)
