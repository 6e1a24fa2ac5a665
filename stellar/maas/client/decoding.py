"""The response of a model: an answer, or why it is none."""

from __future__ import annotations

import json
from typing import Any

from stellar.maas.client.attempts import Decoded
from stellar.maas.errors import InstanceBusy, ModelRefused, RecordRefused
from stellar.maas.schema import read_json
from stellar.maas.transport.base import Response
from stellar.net.http import without_query

DETAIL_BYTES = 200
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503
REST_SECONDS = 1.0  # of an instance that is busy and does not say for how long


def decode_one(address: str, answer: Response) -> list[Decoded]:
    """Return the JSON object of a response. Raises ModelRefused or InstanceBusy."""
    value = _decode(address, answer)
    if not isinstance(value, dict):
        raise ModelRefused(f"{without_query(address)} answered with a JSON {_KINDS[type(value)]}, not an object")
    return [Decoded(value, answer.body)]


def decode_batch(size: int, address: str, answer: Response) -> list[Decoded]:
    """Return the JSON objects of a response to a batch of so many calls. Raises ModelRefused or InstanceBusy."""
    value = _decode(address, answer)
    if not isinstance(value, list):
        raise ModelRefused(f"{without_query(address)} answered with a JSON {_KINDS[type(value)]}, not an array")
    if len(value) != size:
        raise ModelRefused(f"{without_query(address)} answered {len(value)} of {size} calls of a batch")
    for member in value:
        if not isinstance(member, dict):
            kind = _KINDS[type(member)]
            raise ModelRefused(f"{without_query(address)} answered with a JSON {kind} in the array, not an object")
    return [Decoded(member, _encode(member)) for member in value]


def _encode(member: dict[str, Any]) -> bytes:
    return json.dumps(member, separators=(",", ":")).encode("ascii")


def _decode(address: str, answer: Response) -> Any:
    if answer.status != 200:
        raise _refusal(address, answer)
    try:
        return read_json(answer.body)
    except ValueError as error:
        raise ModelRefused(f"{without_query(address)} answered with invalid JSON: {error}") from None


def _refusal(address: str, answer: Response) -> ModelRefused | InstanceBusy:
    status = answer.status
    message, details = f"{without_query(address)} answered with status {status}, not 200", ""
    if status >= 400:
        details = _details(answer.body)
    if status == TOO_MANY_REQUESTS or (status == UNAVAILABLE and answer.retry_after is not None):
        return InstanceBusy(message, REST_SECONDS if answer.retry_after is None else answer.retry_after, details)
    kind = RecordRefused if 400 <= status < 500 else ModelRefused
    return kind(message, details=details)


def _details(body: bytes) -> str:
    """The beginning of a body as one line of ASCII."""
    return body[:DETAIL_BYTES].decode("utf-8", "replace").strip().encode("unicode_escape").decode("ascii")


_KINDS = {
    list: "array",
    dict: "object",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
