"""Conversion of JSON objects to dataclasses by the types of their fields, with the standard library only."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,4000})(\.0*)?\s*")


class Field(NamedTuple):
    """A field of a dataclass.

    json_name: its name in JSON
    required: True for a field without a default
    """

    name: str
    json_name: str
    type: Any
    required: bool


@cache
def fields_of(kind: type, to_json_name: Callable[[str], str]) -> tuple[Field, ...]:
    """Return the fields of a dataclass, in order."""
    types = get_type_hints(kind)
    missing = dataclasses.MISSING
    return tuple(
        Field(f.name, to_json_name(f.name), types[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(kind)
    )


def read_object(
    kind: type[T],
    value: dict[str, Any],
    to_json_name: Callable[[str], str] = str,
    *,
    allow_numbers_as_strings: bool = False,
    ignore_unknown: bool = False,
) -> T:
    """Convert a JSON object to a dataclass; null selects the default of a field that has one.

    to_json_name: returns the JSON name of a field
    allow_numbers_as_strings: convert a number to a string for a field of type string
    ignore_unknown: ignore unknown fields instead of reporting them

    Raises ValueError with the problem of each invalid field.
    """
    reader = _ObjectReader(to_json_name, allow_numbers_as_strings, ignore_unknown, [])
    result = reader.read(kind, value, "")
    if reader.problems:
        raise ValueError("; ".join(reader.problems))
    return result  # type: ignore[no-any-return]


class _ObjectReader(NamedTuple):
    to_json_name: Callable[[str], str]
    allow_numbers_as_strings: bool
    ignore_unknown: bool
    problems: list[str]

    def read(self, kind: type, value: object, at: str) -> Any:
        if not isinstance(value, dict):
            return self._report(at, "Input should be a JSON object")
        before, found = len(self.problems), {}
        known = fields_of(kind, self.to_json_name)
        for field in known:
            path = f"{at}.{field.json_name}" if at else field.json_name
            if value.get(field.json_name) is not None or (field.required and field.json_name in value):
                found[field.name] = self._value(field.type, value[field.json_name], path)
            elif field.required:
                self._report(path, "Field required")
        for name in () if self.ignore_unknown else value.keys() - {field.json_name for field in known}:
            self._report(f"{at}.{name}" if at else name, "Extra inputs are not permitted")
        return kind(**found) if len(self.problems) == before else None

    def _value(self, kind: Any, value: object, at: str) -> Any:
        if kind is Any:
            return value
        if dataclasses.is_dataclass(kind):
            return self.read(kind, value, at)  # type: ignore[arg-type]
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            (given,) = (one for one in inner if one is not NoneType)
            return None if value is None else self._value(given, value, at)
        if origin is Literal:
            return value if value in inner else self._report(at, f"Input should be {_join_alternatives(inner)}")
        if origin is dict or kind is dict:
            return self._map(inner[1], value, at)
        if origin is list:
            return self._list(inner[0], value, at)
        name, read = _SIMPLE[kind]
        if kind is str and self.allow_numbers_as_strings and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        found = read(value)
        return self._report(at, f"Input should be a valid {name}") if found is None else found

    def _map(self, inner: Any, value: object, at: str) -> Any:
        if not isinstance(value, dict):
            return self._report(at, "Input should be a JSON object")
        return {key: self._value(inner, item, f"{at}.{key}") for key, item in value.items()}

    def _list(self, inner: Any, value: object, at: str) -> Any:
        if not isinstance(value, list):
            return self._report(at, "Input should be a JSON array")
        return [self._value(inner, item, f"{at}.{index}") for index, item in enumerate(value)]

    def _report(self, at: str, problem: str) -> None:
        self.problems.append(f"{at or 'the object'}: {problem}")


def _read_string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _read_boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_integer(value: object) -> int | None:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        value = repr(value)
    return int(match[1]) if isinstance(value, str) and (match := _INTEGER.fullmatch(value)) else None


def _read_number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


_SIMPLE: dict[Any, tuple[str, Callable[[object], object]]] = {
    str: ("string", _read_string),
    int: ("integer", _read_integer),
    float: ("number", _read_number),
    bool: ("boolean", _read_boolean),
}


def _join_alternatives(values: tuple[object, ...]) -> str:
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last
