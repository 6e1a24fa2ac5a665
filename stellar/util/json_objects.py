"""Reads JSON objects into dataclasses, by the types of their fields; of Python alone, so that it runs anywhere."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,4000})(\.0*)?\s*")


class Field(NamedTuple):
    """A field of a dataclass.

    wire: its name in JSON
    """

    name: str
    wire: str
    type: Any
    needed: bool


@cache
def fields_of(kind: type, wire_name: Callable[[str], str]) -> tuple[Field, ...]:
    """The fields of a dataclass, in order."""
    types = get_type_hints(kind)
    missing = dataclasses.MISSING
    return tuple(
        Field(f.name, wire_name(f.name), types[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(kind)
    )


def read_object(
    kind: type[T],
    value: dict[str, Any],
    wire_name: Callable[[str], str] = str,
    *,
    numbers_are_texts: bool = False,
    strangers: bool = False,
) -> T:
    """The dataclass that a JSON object tells of; null is the default of a field that has one.

    wire_name: gives the name in JSON of a field
    numbers_are_texts: whether a text may be written as a number
    strangers: whether there may be further fields, which are ignored

    Raises ValueError, with what is wrong with each field.
    """
    reader = _Reader(wire_name, numbers_are_texts, strangers, [])
    found = reader.read(kind, value, "")
    if reader.wrong:
        raise ValueError("; ".join(reader.wrong))
    return found  # type: ignore[no-any-return]


class _Reader(NamedTuple):
    wire_name: Callable[[str], str]
    numbers_are_texts: bool
    strangers: bool
    wrong: list[str]

    def read(self, kind: type, value: object, at: str) -> Any:
        if not isinstance(value, dict):
            return self._refuse(at, "Input should be a JSON object")
        before, found = len(self.wrong), {}
        known = fields_of(kind, self.wire_name)
        for field in known:
            place = f"{at}.{field.wire}" if at else field.wire
            if value.get(field.wire) is not None or (field.needed and field.wire in value):
                found[field.name] = self._value(field.type, value[field.wire], place)
            elif field.needed:
                self._refuse(place, "Field required")
        for name in () if self.strangers else value.keys() - {field.wire for field in known}:
            self._refuse(f"{at}.{name}" if at else name, "Extra inputs are not permitted")
        return kind(**found) if len(self.wrong) == before else None

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
            return value if value in inner else self._refuse(at, f"Input should be {_either(inner)}")
        if origin is dict or kind is dict:
            return self._map(inner[1], value, at)
        if origin is list:
            return self._list(inner[0], value, at)
        name, read = _SIMPLE[kind]
        if kind is str and self.numbers_are_texts and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        found = read(value)
        return self._refuse(at, f"Input should be a valid {name}") if found is None else found

    def _map(self, inner: Any, value: object, at: str) -> Any:
        if not isinstance(value, dict):
            return self._refuse(at, "Input should be a JSON object")
        return {key: self._value(inner, item, f"{at}.{key}") for key, item in value.items()}

    def _list(self, inner: Any, value: object, at: str) -> Any:
        if not isinstance(value, list):
            return self._refuse(at, "Input should be a JSON array")
        return [self._value(inner, item, f"{at}.{index}") for index, item in enumerate(value)]

    def _refuse(self, at: str, why: str) -> None:
        self.wrong.append(f"{at or 'the object'}: {why}")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        value = repr(value)
    return int(match[1]) if isinstance(value, str) and (match := _WHOLE.fullmatch(value)) else None


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


_SIMPLE: dict[Any, tuple[str, Callable[[object], object]]] = {
    str: ("string", _text),
    int: ("integer", _integer),
    float: ("number", _number),
    bool: ("boolean", _flag),
}


def _either(values: tuple[object, ...]) -> str:
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last
