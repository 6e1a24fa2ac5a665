"""Requests that wait for a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maas_runtime.cli.output import make_printable
from maas_runtime.service.rollouts import REPLACE_REQUESTS
from maas_runtime.state.backend import Backend
from stellar.maas.schema import ModelRequest

MAX_SHOWN = 200  # characters of a request


def read_pending(backend: Backend) -> Iterator[dict[str, Any]]:
    """Yield the fields of each request in the queue, then of each replace request.

    `id`, and `action`, `name`, `version`, `instances`, `memory` and `path`; or `error` for an invalid one.
    """
    for item in backend.queue.items():
        if item.data.strip() != b"null":  # Metron's client sends this for LIST
            yield {"id": item.name, **_parse_request(item.data)}
    for id in backend.state_store.names(REPLACE_REQUESTS):
        entry = backend.state_store.read(f"{REPLACE_REQUESTS}/{id}")
        if entry is not None:
            yield {"id": id, "action": "REPLACE", **entry}


def _parse_request(data: bytes) -> dict[str, Any]:
    try:
        request = ModelRequest.from_json(data)
    except ValueError as error:
        return {"error": f"invalid request: {error}"}
    return {
        "action": request.action,
        "name": request.name,
        "version": request.version,
        "instances": request.num_instances,
        "memory": request.memory,
        "path": request.path,
    }


def describe_pending(fields: dict[str, Any]) -> str:
    """Return a line for a request that waits."""
    if "error" in fields:
        text = fields["error"]
    else:
        path = f" from {fields['path']}" if fields.get("path") else ""
        text = f"{fields['action']} {fields.get('instances')} of {fields.get('name')} @ {fields.get('version')}{path}"
    return f"waiting: {fields['id']}: {make_printable(text)[:MAX_SHOWN]}"
