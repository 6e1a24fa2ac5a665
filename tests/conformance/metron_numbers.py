"""Metron's classes of numbers and characters: Integer, Long, Float, Character."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cases import PLAIN, Numbers
from compare import rounded
from metron_traits import Trait

from stellar.language import conversions, runtime
from stellar.language.compiler.operators import ARITHMETIC, COMPARISON


class Integer(int):
    """32 bits."""


class Long(int):
    """64 bits."""


class Short(int):
    """16 bits; it takes part in arithmetic as an Integer."""


class Byte(int):
    """8 bits; it takes part in arithmetic as an Integer."""


class Double(float):
    """binary64."""


class Single(float):
    """binary32, called Float."""


class Distinct:
    """A number that equals only numbers of its class, as with Java's `equals`; NaN equals itself, 0.0 not -0.0."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Distinct):
            return type(self) is type(other) and runtime.same(*(_plain(value) for value in (self, other)))
        return NotImplemented if isinstance(other, Character) else bool(_plain(self) == other)

    def __ne__(self, other: object) -> bool:
        # The test for NaN, x != x, must work in functions
        return not self == other or _plain(self) != _plain(self)

    def __hash__(self) -> int:
        return hash((type(self).__name__, _plain(self)))


class Character(str):
    """A character of a string that MAP, FILTER or REDUCE reads; it equals no string."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Character) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(("character", str(self)))


_TAGS = {"$integer": Integer, "$long": Long, "$short": Short, "$byte": Byte, "$double": Double, "$float": Single}
_DISTINCT: dict[type, type] = {kind: type(kind.__name__, (Distinct, kind), {}) for kind in _TAGS.values()}
_BITS = {Integer: 32, Long: 64}
# From the weakest to the strongest; other classes count as Integer
_PROMOTION: tuple[type, ...] = (Integer, Long, Single, Double)

# Results of functions that are neither Integer nor Double
_RETURNED: dict[str, type] = {
    "TO_LONG": Long,
    "TO_FLOAT": Single,
    "TO_EPOCH_TIMESTAMP": Long,
    "HLLP_CARDINALITY": Long,
}


def hash_order(keys: Iterable[Any]) -> list[Any]:
    """Sort keys in the order of a Java HashMap to which they were added in this order."""
    added = list(keys)
    size = 16
    while len(added) > size * 3 // 4:
        size *= 2
    return sorted(added, key=lambda key: _spread(_hash_code(key)) % size)


def _spread(code: int) -> int:
    code &= 0xFFFFFFFF
    return code ^ (code >> 16)


def _hash_code(key: Any) -> int:
    if isinstance(key, bool):
        return 1231 if key else 1237
    if isinstance(key, int):
        return key ^ (key >> 32) if isinstance(key, Long) else int(key)
    if isinstance(key, str):
        code = 0
        for character in key:
            code = (code * 31 + ord(character)) & 0xFFFFFFFF
        return code
    if isinstance(key, float):
        bits: int = struct.unpack(">q", struct.pack(">d", key))[0]
        return bits ^ (bits >> 32)
    return 0


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, int) else float(value)


def _single_to_string(value: float) -> str:
    """Return the shortest decimal of a binary32 number, in Java's notation."""
    candidates = (float(f"{float(value):.{digits}g}") for digits in range(1, 10))
    shortest = next((number for number in candidates if rounded(number) == value), float(value))
    return conversions.to_string(shortest)


class JavaNumbers:
    """Operators on numbers, each of which has one of Java's classes.

    traits: the traits of Java's arithmetic. Without WRAPPING integers grow, without BINARY32 a Single is not rounded,
    and without DISTINCT_TYPES an Integer equals a Long of the same value also as a member and a key
    """

    def __init__(self, traits: frozenset[Trait]) -> None:
        self.wrapping = Trait.WRAPPING in traits
        self.binary32 = Trait.BINARY32 in traits
        self.distinct = Trait.DISTINCT_TYPES in traits

    @property
    def tags(self) -> Numbers:
        return {tag: lambda value, kind=kind: self.make(kind, value) for tag, kind in _TAGS.items()}  # type: ignore[misc]

    def make(self, kind: type, value: Any) -> Any:
        if kind is Single and self.binary32:
            value = rounded(value)
        return (_DISTINCT[kind] if self.distinct else kind)(value)

    def literal(self, value: Any, source: str) -> Any:
        """Return the value of a literal; the suffix selects the class of a number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if isinstance(value, int):
            return self.make(Long if source[-1] in "lL" else Integer, value)
        return self.make(Single if source[-1] in "fF" else Double, value)

    def returned(self, function: str, value: Any) -> Any:
        """Convert the numbers in the result of a function to Java's classes, in place in a list or map."""
        if isinstance(value, list):
            value[:] = [self.returned(function, item) for item in value]
        elif isinstance(value, dict):
            items = [(self.returned(function, key), self.returned(function, item)) for key, item in value.items()]
            value.clear()
            value.update(items)
        elif value.__class__ is int:
            kind = _RETURNED.get(function, Integer)
            return self.make(kind if kind is not Integer or -(2**31) <= value < 2**31 else Long, value)
        elif value.__class__ is float:
            return self.make(_RETURNED.get(function, Double), value)
        return value

    def calculate(self, symbol: str, left: Any, right: Any) -> Any:
        kind, one, other = self.promoted(left, right)
        if kind is None:
            return ARITHMETIC[symbol][1](left, right)  # raises the error
        result = ARITHMETIC[symbol][1](one, other)
        if self.wrapping and kind in _BITS:
            half = 2 ** (_BITS[kind] - 1)
            result = (result + half) % (2 * half) - half
        return self.make(kind, result)

    def compare(self, symbol: str, left: Any, right: Any) -> bool:
        if left is None or right is None:
            return bool(COMPARISON[symbol][1](left, right))
        kind, one, other = self.promoted(left, right)
        return bool(_PLAIN_COMPARISON[symbol](one, other) if kind else COMPARISON[symbol][1](left, right))

    def promoted(self, left: Any, right: Any) -> tuple[type | None, Any, Any]:
        """Return the stronger class of two numbers and both converted to it; null is 0. None for other values."""
        numbers = [0 if value is None else value for value in (left, right)]
        if not all(map(runtime.is_number, numbers)):
            return None, left, right
        kind = max(self.strength(value) for value in numbers)
        if kind < _PROMOTION.index(Single):
            return _PROMOTION[kind], int(numbers[0]), int(numbers[1])
        floats = [runtime.nearest_float(_plain(value)) for value in numbers]
        if self.binary32 and _PROMOTION[kind] is Single:
            floats = [rounded(value) for value in floats]
        return _PROMOTION[kind], *floats

    def strength(self, value: Any) -> int:
        if isinstance(value, float):
            return _PROMOTION.index(Single if isinstance(value, Single) else Double)
        return _PROMOTION.index(Long if isinstance(value, Long) else Integer)


_PLAIN_COMPARISON: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class OurNumbers:
    """The interface of JavaNumbers without Java's classes."""

    tags = PLAIN

    def literal(self, value: Any, _source: str) -> Any:
        return value

    def returned(self, _function: str, value: Any) -> Any:
        return value

    def calculate(self, symbol: str, left: Any, right: Any) -> Any:
        return ARITHMETIC[symbol][1](left, right)

    def compare(self, symbol: str, left: Any, right: Any) -> bool:
        return bool(COMPARISON[symbol][1](left, right))


# Writers for these classes, because the general ones would compare their values
for _kind in _TAGS.values():
    for _class in (_kind, _DISTINCT[_kind]):
        conversions._WRITERS[_class] = (
            _single_to_string if _kind is Single else lambda number: conversions.to_string(_plain(number))
        )
