"""JSON Patch (RFC 6902) with JSON Pointers (RFC 6901), on values of the module json.

As in Metron, to remove a member that an object does not have changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from stellar.util.abbreviate import quote


class PatchError(ValueError):
    """An invalid patch, or one that cannot be applied; the message names the operation."""


def apply_patch(document: Any, patch: Any) -> Any:
    """Return a document with the operations of a patch applied, all or none. The document itself stays as it is.

    Raises PatchError.
    """
    if not isinstance(patch, list):
        raise PatchError(f"expected a list of operations, as in {_EXAMPLE}")
    try:
        return _apply_all(deepcopy(document), patch)
    except RecursionError:
        raise PatchError("the document or a value is nested too deeply") from None


def _apply_all(document: Any, patch: list[Any]) -> Any:
    for index, operation in enumerate(patch):
        try:
            document = _apply(document, operation)
        except PatchError as error:
            raise PatchError(f"operation {index + 1}{_describe(operation)}: {error}") from None
    return document


_EXAMPLE = '[{"op": "add", "path": "/sensorTopic", "value": "squid"}]'


def _describe(operation: Any) -> str:
    if not isinstance(operation, dict) or not isinstance(operation.get("op"), str):
        return ""
    return f", {quote(operation['op'], 40)} at {quote(operation.get('path'), 80)}"


def _apply(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict):
        raise PatchError(f"expected an object, got {quote(operation, 40)}")
    name = _read_member(operation, "op")
    if not isinstance(name, str) or name not in _OPERATIONS:
        raise PatchError(f"unknown operation {quote(name, 40)}; expected one of {', '.join(_OPERATIONS)}")
    return _OPERATIONS[name](document, _read_pointer(operation, "path"), operation)


def _read_member(operation: Mapping[str, Any], name: str) -> Any:
    if name not in operation:
        raise PatchError(f"missing member {quote(name)}")
    return operation[name]


def _read_pointer(operation: Mapping[str, Any], name: str) -> list[str]:
    return parse_pointer(_read_member(operation, name))


def parse_pointer(pointer: object) -> list[str]:
    """Return the steps of a JSON Pointer. Raises PatchError if it is invalid."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise PatchError(f"invalid path {quote(pointer, 80)}: expected a JSON Pointer, as in /parserConfig/grokPath")
    if re.search(r"~(?![01])", pointer):
        raise PatchError(f"invalid path {quote(pointer, 80)}: write ~ as ~0")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


# -- Operations -------------------------------------------------------------------------------------------------------


def _add(document: Any, path: list[str], operation: Mapping[str, Any]) -> Any:
    return _insert(document, path, deepcopy(_read_member(operation, "value")))


def _remove(document: Any, path: list[str], operation: Mapping[str, Any]) -> Any:
    if not path:
        raise PatchError("the whole document cannot be removed")
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        del parent[_read_index(path[-1], len(parent) - 1)]
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    else:
        raise _no_container(path)
    return document


def _replace(document: Any, path: list[str], operation: Mapping[str, Any]) -> Any:
    value = deepcopy(_read_member(operation, "value"))
    _find(document, path)
    return _set(document, path, value)


def _move(document: Any, path: list[str], operation: Mapping[str, Any]) -> Any:
    source = _read_pointer(operation, "from")
    if path[: len(source)] == source and path != source:
        raise PatchError("a value cannot be moved into itself")
    value = _find(document, source)
    if not source:  # onto itself
        return document
    return _insert(_remove(document, source, operation), path, value)


def _copy(document: Any, path: list[str], operation: Mapping[str, Any]) -> Any:
    return _insert(document, path, deepcopy(_find(document, _read_pointer(operation, "from"))))


def _test(document: Any, path: list[str], operation: Mapping[str, Any]) -> Any:
    expected, actual = _read_member(operation, "value"), _find(document, path)
    if not _is_equal(expected, actual):
        raise PatchError(f"expected {quote(expected, 80)}, got {quote(actual, 80)}")
    return document


_OPERATIONS: Mapping[str, Callable[[Any, list[str], Mapping[str, Any]], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


# -- Values -----------------------------------------------------------------------------------------------------------


def _find(document: Any, path: list[str]) -> Any:
    """Return the value at a path. Raises PatchError if there is none."""
    for length, step in enumerate(path):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list):
            document = document[_read_index(step, len(document) - 1)]
        else:
            raise PatchError(f"no such path {quote(_to_pointer(path[: length + 1]), 80)}")
    return document


def _insert(document: Any, path: list[str], value: Any) -> Any:
    """Add a member to an object or replace it, or insert an item into a list."""
    parent = _find(document, path[:-1]) if path else None
    if not isinstance(parent, list):
        return _set(document, path, value)
    parent.insert(len(parent) if path[-1] == "-" else _read_index(path[-1], len(parent)), value)
    return document


def _set(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        parent[_read_index(path[-1], len(parent) - 1)] = value
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _no_container(path)
    return document


def _read_index(step: str, largest: int) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]*", step):
        raise PatchError(f"invalid index {quote(step, 40)} of a list: expected an integer, or - to append with add")
    if len(step) > 10 or int(step) > largest:
        raise PatchError(f"no index {step[:20]} in a list: expected {f'0 to {largest}' if largest >= 0 else 'an item'}")
    return int(step)


def _no_container(path: list[str]) -> PatchError:
    return PatchError(f"{quote(_to_pointer(path[:-1]), 80)} is neither an object nor a list")


def _to_pointer(path: list[str]) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def _is_equal(one: Any, other: Any) -> bool:
    """Return True for equal JSON values; true is not 1, unlike in Python."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(isinstance(one, bool) == isinstance(other, bool) and one == other)
