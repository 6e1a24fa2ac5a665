"""Values of JSON and UBJSON documents with their paths, checked when they are read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from stellar.models.boosters.ubjson import parse_ubjson
from stellar.models.errors import InvalidModel, KeyOrigin
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """Bounds of a document.

    size: bytes
    values: numbers, strings and keys
    containers: objects and arrays
    depth: nesting of objects and arrays
    """

    size: int = 64 * 2**20
    values: int = 8_000_000
    containers: int = 500_000
    depth: int = 32


class JsonValue:
    """A value of a document with its path, such as `$.learner.objective.name`."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    @property
    def origin(self) -> KeyOrigin:
        """The path as the source of a form."""
        return KeyOrigin(self.path, 0)

    def refuse(self, message: str) -> NoReturn:
        """Raise InvalidModel for this value."""
        raise InvalidModel(message, self.origin)

    def find(self, key: str) -> JsonValue | None:
        """Return the value of a key of an object, or None."""
        if not isinstance(self.value, dict):
            self._expect("an object")
        return JsonValue(self.value[key], f"{self.path}.{key}") if key in self.value else None

    def get(self, key: str) -> JsonValue:
        """Return the value of a key of an object, which is required."""
        if (found := self.find(key)) is None:
            self.refuse(f"missing key {quote(key)}; {suggest_name(key, self.value)}")
        return found

    def items(self) -> Iterator[JsonValue]:
        """Yield the values of an array."""
        for index, value in enumerate(self._sequence()):
            yield JsonValue(value, f"{self.path}[{index}]")

    def string(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            self._expect("a string")
        return self.value

    def integer(self, low: int, high: int) -> int:
        """Return an integer within bounds; parameters are stored as strings."""
        value = self.value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            self._expect(f"an integer from {low} to {high}")
        return value

    def strings(self) -> tuple[str, ...]:
        """Return the strings of an array."""
        return tuple(item.string() for item in self.items())

    def numbers(self, length: int | None = None) -> Sequence[float]:
        """Return the numbers of an array, of a length if one is given."""
        return self._check_types(self._sequence(length), {int, float}, "numbers")

    def integers(self, length: int | None = None) -> Sequence[int]:
        """Return the integers of an array, of a length if one is given."""
        return self._check_types(self._sequence(length), {int}, "integers")

    def flags(self, length: int) -> Sequence[int]:
        """Return the booleans of an array, which may be 0 and 1."""
        flags = self._check_types(self._sequence(length), {int, bool}, "booleans")
        if not set(flags) <= {0, 1}:
            self._expect("an array of booleans")
        return flags

    def _sequence(self, length: int | None = None) -> Sequence[Any]:
        if not isinstance(self.value, list | tuple):
            self._expect("an array")
        if length is not None and len(self.value) != length:
            self.refuse(f"expected {length} values, got {len(self.value)}; export the model again")
        return self.value

    def _check_types(self, values: Sequence[Any], types: set[type], description: str) -> Sequence[Any]:
        if set(map(type, values)) <= types:
            return values
        index = next(index for index, value in enumerate(values) if type(value) not in types)
        JsonValue(values[index], f"{self.path}[{index}]")._expect(f"an array of {description}")

    def _expect(self, expected: str) -> NoReturn:
        self.refuse(f"expected {expected}, got {abbreviate(self.value)}; export the model again")


def abbreviate(value: object) -> str:
    """Return a value, abbreviated, for messages."""
    if isinstance(value, dict | list | tuple):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)}"
    return f"{quote(value, 80)}"


def read_json(data: bytes, limits: JsonLimits | None = None) -> JsonValue:
    """Return the value of a JSON or UBJSON document.

    Raise InvalidModel, with the byte or character, if it is invalid or exceeds a limit.
    """
    limits = limits or JsonLimits()
    if len(data) > limits.size:
        raise InvalidModel(f"more than {limits.size} bytes; train a smaller model", KeyOrigin("$", 0))
    if is_ubjson(data):
        return JsonValue(parse_ubjson(data, limits.values, limits.containers, limits.depth), "$")
    return JsonValue(_parse_json(data, limits), "$")


def is_ubjson(data: bytes) -> bool:
    """Return True if an object has the length of a key, or its number of keys, after the brace."""
    return data[:1] == b"{" and data[1:2] in (b"i", b"U", b"I", b"l", b"L", b"$", b"#")


def _parse_json(data: bytes, limits: JsonLimits) -> Any:
    # Counted before the parser takes memory; characters within strings count, too
    if data.count(b",") > limits.values or data.count(b"[") + data.count(b"{") > limits.containers:
        raise InvalidModel(f"more than {limits.values} values; train a smaller model", KeyOrigin("$", 0))
    try:
        value = json.loads(data.decode(), object_pairs_hook=_build_object, parse_int=_parse_integer)
    except json.JSONDecodeError as error:
        message = f"invalid JSON: {error.msg}; export the model again"
        raise InvalidModel(message, KeyOrigin(f"character {error.pos}", error.lineno)) from None
    except UnicodeDecodeError as error:
        raise InvalidModel("invalid UTF-8; export the model again", KeyOrigin(f"byte {error.start}", 0)) from None
    except RecursionError:
        raise InvalidModel("objects or arrays are nested too deep", KeyOrigin("$", 0)) from None
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidModel("the object has the key twice; remove one", KeyOrigin(f"{quote(twice, 80)}", 0))
    return result


def _parse_integer(string: str) -> int | float:
    # Integers of thousands of digits take long to parse, and no model has them
    return int(string) if len(string) < 20 else math.copysign(math.inf, -1 if string[0] == "-" else 1)
