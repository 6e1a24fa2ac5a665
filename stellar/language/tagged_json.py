"""Values as JSON, with tagged objects for types that JSON does not have: `{"$set": [1, 2]}`, `{"$nan": true}`, …

{"$nan": true}  {"$inf": 1}  {"$inf": -1}  {"$bytes": base64}  {"$set": […]}  {"$map": [[key, value], …]}
{"$long": 5} {"$short": 5} {"$byte": 5} {"$float": 1.5} {"$char": "x"}     decoded only: numbers and characters of Java
{"$bloom": base64} {"$hllp": base64} {"$stats": base64} {"$mad": base64} {"$sample": base64}     sketches, as
                       `stellar.sketches.serialization` writes them; a multiset is a map
{"$object": class}     encoded only: an opaque value, such as a lambda

`to_json` shows any value; `serialize` and `deserialize` are for stores, and reject what cannot be read again.

A map whose only key is one of these tags is encoded as a $map, so that decoding restores it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType
from typing import Any

from stellar.language.limits import measure
from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import describe, hashable
from stellar.util.abbreviate import abbreviate


def decode(value: Any) -> Any:
    """Decode a JSON value as `json.loads` returns it. Sets and maps preserve the order.

    Raises ValueError for a tag with invalid content and for a value that nests too deep.
    """
    try:
        return _decode(value)
    except RecursionError:
        raise ValueError("the value nests too deep to be decoded") from None


def deserialize(text: str | bytes) -> Any:
    """Return the value of a JSON text that `serialize` or `to_json` returned.

    Raises ValueError for invalid JSON, a tag with invalid content, and a value that nests too deep.
    """
    try:
        return decode(json.loads(text))
    except RecursionError:
        raise ValueError("the value nests too deep to be decoded") from None


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), None)
    if len(value) > 1 or tag not in _CONTENTS:
        return {key: _decode(item) for key, item in value.items()}
    content = value[tag]
    expected, is_valid, read = _CONTENTS[tag]
    if not is_valid(content):
        raise ValueError(f"invalid {tag}: expected {expected}, got {abbreviate(json.dumps(content))}")
    return read(content)


def _is_integer(content: Any) -> bool:
    return isinstance(content, int) and not isinstance(content, bool)


def _is_float(content: Any) -> bool:
    return isinstance(_decode(content), float) or _is_integer(content)


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


def _read_sketch(tag: str, content: str) -> Any:
    # Loaded on first use: most programs read no sketches
    from stellar.sketches.serialization import deserialize as read

    try:
        return read(tag, base64.b64decode(content), deserialize)
    except (ValueError, LookupError) as error:
        raise ValueError(f"invalid {tag}: {error}") from error


_INTEGER: tuple[str, Callable[[Any], bool], Callable[[Any], Any]] = "an integer", _is_integer, int

# For each tag: its content in words, as a predicate, and the decoder
_CONTENTS: dict[str | None, tuple[str, Callable[[Any], bool], Callable[[Any], Any]]] = {
    "$nan": ("true", lambda content: content is True, lambda _: math.nan),
    "$inf": ("1 or -1", lambda content: _is_integer(content) and abs(content) == 1, lambda sign: sign * math.inf),
    "$bytes": ("base64", _is_base64, base64.b64decode),
    "$set": ("a list", _is_list, lambda items: OrderedSet(hashable(_decode(item)) for item in items)),
    "$map": (
        "a list of [key, value] pairs",
        _is_pairs,
        lambda pairs: {hashable(_decode(key)): _decode(item) for key, item in pairs},
    ),
    "$long": _INTEGER,
    "$short": _INTEGER,
    "$byte": _INTEGER,
    "$float": ("a number", _is_float, lambda content: float(_decode(content))),
    "$char": ("a character", lambda content: isinstance(content, str) and len(content) == 1, str),
    **{
        tag: ("base64", _is_base64, partial(_read_sketch, tag))
        for tag in ("$bloom", "$hllp", "$stats", "$mad", "$sample")
    },
    "$object": ("a value that can be decoded", lambda _: False, str),
}


def encode(value: Any, *, opaque: bool = True) -> Any:
    """Encode a value as a JSON value for `json.dumps`.

    opaque: encode a value without a JSON form, such as a lambda, as $object; if False, it is an error

    Raises LimitExceeded, a ValueError, for a value that is too large, such as a list that contains itself.
    """
    measure(value)
    return _encode(value, opaque)


def _encode(value: Any, opaque: bool) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"$nan": True} if math.isnan(value) else {"$inf": 1 if value > 0 else -1}
    if isinstance(value, list | tuple):
        return [_encode(item, opaque) for item in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and not (len(value) == 1 and next(iter(value)) in _CONTENTS):
            return {key: _encode(item, opaque) for key, item in value.items()}
        return {"$map": [[_encode(key, opaque), _encode(item, opaque)] for key, item in value.items()]}
    if isinstance(value, set | frozenset):
        return {"$set": [_encode(item, opaque) for item in value]}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    return _encode_object(value, opaque)


def _encode_object(value: Any, opaque: bool) -> Any:
    from stellar.sketches.serialization import is_sketch
    from stellar.sketches.serialization import serialize as write

    if is_sketch(value):
        tag, data = write(value, lambda values: _dump(encode(values, opaque=opaque)).encode())
        return {tag: base64.b64encode(data).decode("ascii")}
    if opaque:
        return {"$object": "lambda" if isinstance(value, FunctionType) else type(value).__name__}
    raise ValueError(f"no JSON form for {describe(value)}")


def serialize(value: Any) -> str:
    """Encode a value as one line of JSON from which `deserialize` restores it.

    Raises ValueError for a value without a JSON form, such as a lambda, and for one that nests too deep.
    """
    return _dump(encode(value, opaque=False))


def to_json(value: Any) -> str:
    """Encode a value as one line of JSON. It is always valid UTF-8: unpaired surrogates are escaped.

    Raises ValueError for a value that nests too deep.
    """
    return _dump(encode(value))


def _dump(tagged: Any) -> str:
    line = json.dumps(tagged, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(tagged)
    return line
