"""Values as JSON, with tagged objects for those that JSON lacks: `{"$set": [1, 2]}`, `{"$nan": true}`, …

{"$nan": true}  {"$inf": 1}  {"$inf": -1}  {"$bytes": base64}  {"$set": […]}  {"$map": [[key, value], …]}
{"$object": class}     written only: an opaque value, such as a lambda
{"$long": 5} {"$short": 5} {"$byte": 5} {"$float": 1.5} {"$char": "x"}     read only: numbers and letters of Java
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from stellar.runtime import hashable


def decode(value: Any) -> Any:
    """The value that a JSON value, as `json.loads` gives it, stands for.

    Raises ValueError for a tag whose content does not fit it.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            ((tag, content),) = value.items()
            if (read := _READ.get(tag)) is not None:
                try:
                    return read(content)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{tag} can't hold {content!r}") from error
        return {key: decode(item) for key, item in value.items()}
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "$long": int,
    "$short": int,
    "$byte": int,
    "$float": lambda content: float(decode(content)),
    "$char": str,
    "$nan": lambda _: math.nan,
    "$inf": lambda sign: math.copysign(math.inf, sign),
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$set": lambda items: {hashable(decode(item)) for item in items},
    "$map": lambda pairs: {hashable(decode(key)): decode(item) for key, item in pairs},
}


def encode(value: Any) -> Any:
    """The JSON value, ready for `json.dumps`, that stands for a value."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"$nan": True} if math.isnan(value) else {"$inf": 1 if value > 0 else -1}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {"$map": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, set | frozenset):
        return {"$set": [encode(item) for item in value]}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    return {"$object": "lambda" if isinstance(value, FunctionType) else type(value).__name__}
