"""Values as JSON, with tagged objects for those that JSON lacks: `{"$set": [1, 2]}`, `{"$nan": true}`, …

{"$nan": true}  {"$inf": 1}  {"$inf": -1}  {"$bytes": base64}  {"$set": […]}  {"$map": [[key, value], …]}
{"$long": 5} {"$short": 5} {"$byte": 5} {"$float": 1.5} {"$char": "x"}     read only: numbers and letters of Java
{"$object": class}     written only: an opaque value, such as a lambda

A map whose only key is one of these tags is written as a $map, so that what is written can be read again.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import hashable


def decode(value: Any) -> Any:
    """The value that a JSON value, as `json.loads` gives it, stands for. Sets and maps keep the order given.

    Raises ValueError for a tag whose content does not fit it, and for a value that nests too deep.
    """
    try:
        return _decoded(value)
    except RecursionError:
        raise ValueError("a value nested this deep can't be read") from None


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), None)
    if len(value) > 1 or tag not in _CONTENTS:
        return {key: _decoded(item) for key, item in value.items()}
    content = value[tag]
    wanted, fits, read = _CONTENTS[tag]
    if not fits(content):
        raise ValueError(f"{tag} holds {wanted}, not {_shortened(content)}")
    return read(content)


def _is_whole(content: Any) -> bool:
    return isinstance(content, int) and not isinstance(content, bool)


def _is_float(content: Any) -> bool:
    return isinstance(_decoded(content), float) or _is_whole(content)


def _is_base64(content: Any) -> bool:
    try:
        base64.b64decode(content, validate=True)
    except (TypeError, ValueError):
        return False
    return True


def _is_list(content: Any) -> bool:
    return isinstance(content, list)


def _is_pairs(content: Any) -> bool:
    return _is_list(content) and all(_is_list(pair) and len(pair) == 2 for pair in content)


_WHOLE: tuple[str, Callable[[Any], bool], Callable[[Any], Any]] = "a whole number", _is_whole, int

# What each tag holds: in words, as a test, and how it is read
_CONTENTS: dict[str | None, tuple[str, Callable[[Any], bool], Callable[[Any], Any]]] = {
    "$nan": ("true", lambda content: content is True, lambda _: math.nan),
    "$inf": ("1 or -1", lambda content: _is_whole(content) and abs(content) == 1, lambda sign: sign * math.inf),
    "$bytes": ("base64", _is_base64, base64.b64decode),
    "$set": ("a list", _is_list, lambda items: OrderedSet(hashable(_decoded(item)) for item in items)),
    "$map": (
        "a list of [key, value] pairs",
        _is_pairs,
        lambda pairs: {hashable(_decoded(key)): _decoded(item) for key, item in pairs},
    ),
    "$long": _WHOLE,
    "$short": _WHOLE,
    "$byte": _WHOLE,
    "$float": ("a number", _is_float, lambda content: float(_decoded(content))),
    "$char": ("a letter", lambda content: isinstance(content, str) and len(content) == 1, str),
    "$object": ("what can't be read again", lambda _: False, str),
}


def encode(value: Any) -> Any:
    """The JSON value, ready for `json.dumps`, that stands for a value.

    Raises ValueError for a value that nests too deep, such as a list that holds itself.
    """
    try:
        return _encoded(value)
    except RecursionError:
        raise ValueError("a value nested this deep, or one that holds itself, can't be written") from None


def _encoded(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"$nan": True} if math.isnan(value) else {"$inf": 1 if value > 0 else -1}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and not (len(value) == 1 and next(iter(value)) in _CONTENTS):
            return {key: _encoded(item) for key, item in value.items()}
        return {"$map": [[_encoded(key), _encoded(item)] for key, item in value.items()]}
    if isinstance(value, set | frozenset):
        return {"$set": [_encoded(item) for item in value]}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    return {"$object": "lambda" if isinstance(value, FunctionType) else type(value).__name__}


def to_json(value: Any) -> str:
    """A value as a line of JSON, tagged where JSON lacks it. It is always UTF-8: half a surrogate pair is escaped.

    Raises ValueError for a value that can't be written.
    """
    tagged = encode(value)
    text = json.dumps(tagged, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(tagged)
    return text


def _shortened(content: Any) -> str:
    text = json.dumps(content)
    return text if len(text) <= 40 else f"{text[:37]}..."
