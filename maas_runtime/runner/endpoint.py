"""The `endpoint.dat` that a model writes.

A model may write invalid data to `endpoint.dat`, by mistake or on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from maas_runtime.runner.files import read_regular_file
from stellar.maas.schema import Endpoint, read_json
from stellar.util.abbreviate import quote as quote_value

MAX_BYTES = 65_536


@dataclass(frozen=True)
class EndpointFile:
    """The content of `endpoint.dat`: Metron's keys, and our own.

    endpoint: Metron's keys, which are registered
    health: path of the health check, relative to the URL; None if not set, False for no checks of responses
    settings: our keys for clients, which are published next to the registration
    """

    endpoint: Endpoint
    health: str | Literal[False] | None = None
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
    return EndpointFile(endpoint, _health(content.get("health")), _settings(content))


def _health(value: object) -> str | Literal[False] | None:
    if value is None or value is False:
        return value
    if not isinstance(value, str):
        raise ValueError(f"invalid health {json.dumps(value)[:80]}: expected a path such as /health, or false")
    return parse_health_path(value)


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return our own keys for clients."""
    if "hedge" not in content:
        return {}
    if not isinstance(hedge := content["hedge"], bool):
        raise ValueError(f"invalid hedge: expected true or false, got {json.dumps(hedge)[:80]}")
    return {"hedge": hedge}


def _content(file: Path) -> bytes:
    """Return the bytes of the file; empty if it does not exist."""
    try:
        return read_regular_file(file, MAX_BYTES)
    except FileNotFoundError:
        return b""


def parse_health_path(path: str) -> str | None:
    """Return a health-check path, relative to the model's URL and without a leading slash; None for an empty string.

    Raises ValueError for an invalid path.
    """
    if not path.isprintable() or {".", ".."} & set(path.split("/")):
        raise ValueError(f"invalid path {quote_value(path)}: expected a path such as /health")
    return None if not path else quote(path.removeprefix("/"), safe="/:@!$&'()*+,;=~%?")
