"""Decoding of responses: results, or errors."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from stellar.maas.client.attempts import Decoded
from stellar.maas.errors import InstanceBusy, ModelRefused, RecordRefused
from stellar.maas.schema import read_json
from stellar.maas.transport.base import Response
from stellar.net.http import without_query

DETAIL_BYTES = 200
DECLINED, TOO_MANY_REQUESTS, UNAVAILABLE = 422, 429, 503
REST_SECONDS = 1.0  # pause of a busy instance without Retry-After


def decode_one(url: str, response: Response) -> list[Decoded]:
    """Return the JSON object of a response. Raises ModelRefused or InstanceBusy."""
    value = _decode(url, response)
    if value.__class__ is not dict:
        raise ModelRefused(f"{without_query(url)} responded with a JSON {_KINDS[type(value)]}, not an object")
    return [Decoded(value, response.body)]


def decode_batch(size: int, url: str, response: Response) -> list[Decoded]:
    """Return the JSON objects of a response to a batch of `size` calls. Raises ModelRefused or InstanceBusy."""
    value = _decode(url, response)
    if not isinstance(value, list):
        raise ModelRefused(f"{without_query(url)} responded with a JSON {_KINDS[type(value)]}, not an array")
    if len(value) != size:
        raise ModelRefused(f"{without_query(url)} returned {len(value)} results for {size} calls of a batch")
    for member in value:
        if not isinstance(member, dict):
            kind = _KINDS[type(member)]
            raise ModelRefused(f"{without_query(url)} responded with a JSON {kind} in the array, not an object")
    refuse = partial(_find_refusal, without_query(url)) if response.is_strict else _accept
    return [Decoded(member, _encode(member), refuse(member)) for member in value]


def _accept(member: dict[str, Any]) -> None:
    """Return None: any object is a result."""


def _find_refusal(url: str, member: dict[str, Any]) -> RecordRefused | None:
    """Return the error that a member of a strict response stands for; None for a result."""
    if member.keys() != {"error", "status"} or not isinstance(member["status"], int):
        return None
    message = f"{url} responded with status {member['status']} for a record of a batch: {_escape_reason(member)}"
    return _refuse_record(member["status"], message)


def _read_reason(body: bytes) -> str:
    """Return the reason in a strict response that is not a result."""
    try:
        value = read_json(body)
    except ValueError:
        return _details(body)
    return _escape_reason(value) if isinstance(value, dict) and "error" in value else _details(body)


def _escape_reason(value: dict[str, Any]) -> str:
    return _escape(str(value["error"])[:DETAIL_BYTES])


def _refuse_record(status: int, message: str, details: str = "") -> RecordRefused:
    return RecordRefused(message, "declined" if status == DECLINED else None, details)


def _encode(member: dict[str, Any]) -> bytes:
    return json.dumps(member, separators=(",", ":")).encode("ascii")


def _decode(url: str, response: Response) -> Any:
    if response.status != 200:
        raise _refusal(url, response)
    try:
        return read_json(response.body)
    except ValueError as error:
        raise ModelRefused(f"{without_query(url)} responded with invalid JSON: {error}") from None


def _refusal(url: str, response: Response) -> ModelRefused | InstanceBusy:
    status = response.status
    message, details = f"{without_query(url)} responded with status {status}, not 200", ""
    if response.is_strict:
        message = f"{message}: {_read_reason(response.body)}"
    elif status >= 400:
        details = _details(response.body)
    if status == TOO_MANY_REQUESTS or (status == UNAVAILABLE and response.retry_after is not None):
        return InstanceBusy(message, REST_SECONDS if response.retry_after is None else response.retry_after, details)
    if 400 <= status < 500:
        return _refuse_record(status, message, details)
    return ModelRefused(message, details=details)


def _details(body: bytes) -> str:
    """Return the beginning of a body as one line of ASCII."""
    return _escape(body[:DETAIL_BYTES].decode("utf-8", "replace"))


def _escape(text: str) -> str:
    return text.strip().encode("unicode_escape").decode("ascii")


_KINDS = {
    list: "array",
    dict: "object",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
