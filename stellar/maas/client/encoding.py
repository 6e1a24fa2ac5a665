"""Encoding of requests: the path, the query as Metron's client encodes it, and the arguments of a batch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from stellar.maas.errors import RecordRefused
from stellar.util.abbreviate import quote as quote_value

Arguments = Mapping[str, Any]


def function_path(endpoint: Mapping[str, Any], function: str | None) -> str:
    """Return the path of a function, without a leading slash: as the endpoint maps it, else the function's name."""
    name = "apply" if function is None else function
    return _quote_path(str(endpoint.get(f"endpoint:{name}", name)))


@lru_cache(1024)
def _quote_path(path: str) -> str:
    path = path.removeprefix("/")
    if {".", ".."} & set(path.split("/")):
        raise RecordRefused(f"the function {quote_value(path)} leads out of the model's URL")
    return quote(path, safe="/:@!$&'()*+,;=~%", errors="replace")


def encode_query(arguments: Arguments) -> str:
    """Return the arguments as a form-encoded query in UTF-8, in their order; a null value becomes a bare name.

    Booleans are `true` and `false`, lists and maps compact JSON.
    """
    pairs = []
    for name, value in arguments.items():
        pair = _encode(name if name.__class__ is str else _to_string(name))
        if value is not None:
            pair = f"{pair}={_encode(value if value.__class__ is str else _to_string(value))}"
        pairs.append(pair)
    return "&".join(pairs)


def to_strings(arguments: Arguments) -> dict[str, str | None]:
    """Return the arguments of one call in a batch, as the same strings as in a query."""
    return {_to_string(name): None if value is None else _to_string(value) for name, value in arguments.items()}


_is_safe = re.compile(r"[A-Za-z0-9._*-]*").fullmatch


def _encode(value: str) -> str:
    if _is_safe(value):  # the common case
        return value
    return quote_plus(value, safe="*", errors="replace").replace("~", "%7E")


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, list, tuple, set, frozenset, Mapping)) or value is None:
        return json.dumps(_to_json(value), ensure_ascii=False, separators=(",", ":"))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _to_json(value: Any) -> Any:
    """Return the value with NaN and infinities as null, and values that JSON does not have as strings."""
    if isinstance(value, Mapping):
        return {_to_string(key): _to_json(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_to_json(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else _to_string(value)
