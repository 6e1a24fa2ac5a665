"""Helpers that compiled expressions call: operators for values that are not inline, conversions and checks."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap
from types import FunctionType
from typing import Any, NoReturn

from stellar.language.conversions import to_boolean
from stellar.language.library import Function
from stellar.language.limits import SCALARS, LimitExceeded, check_items, measure
from stellar.language.python_values import OWN, describe_foreign, from_python, is_foreign, is_unchanged
from stellar.util.abbreviate import MOST_BITS, abbreviate_value

MAX_INTEGER_BITS = 4096

# -- Arithmetic -------------------------------------------------------------------------------------------------------


def add(left: Any, right: Any) -> int | float:
    """`left + right`; null counts as 0, and the sum with a float is a float."""
    left, right = _operands("+", left, right)
    return _check_width(left + right)


def subtract(left: Any, right: Any) -> int | float:
    """`left - right`"""
    left, right = _operands("-", left, right)
    return _check_width(left - right)


def multiply(left: Any, right: Any) -> int | float:
    """`left * right`"""
    left, right = _operands("*", left, right)
    return _check_width(left * right)


def divide(left: Any, right: Any) -> int | float:
    """`left / right`: integers are truncated toward zero, floats follow IEEE 754 (x / 0 is infinite or NaN).

    Raises ValueError if an integer is divided by the integer 0, or by null.
    """
    left, right = _operands("/", left, right)
    if left.__class__ is float:
        if right:
            quotient: float = left / right
            return quotient
        return math.nan if math.isnan(left) or not left else math.copysign(math.inf, left) * math.copysign(1.0, right)
    if not right:
        raise ValueError("division by zero")
    whole: int = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def negate(operand: Any) -> int | float:
    """`-operand`; null counts as 0."""
    return -_number("-", operand)


def _operands(symbol: str, left: Any, right: Any) -> tuple[Any, Any]:
    left, right = _number(symbol, left), _number(symbol, right)
    if left.__class__ is not right.__class__:
        return nearest_float(left), nearest_float(right)
    return left, right


def _number(symbol: str, value: Any) -> int | float:
    if value.__class__ is int or value.__class__ is float:
        return value
    if value is None:
        return 0
    value = from_python(value)
    if is_number(value):
        return int(value) if isinstance(value, int) else float(value)
    raise ValueError(f"{symbol} expected numbers, got {describe(value)}")


def _check_width(number: Any) -> int | float:
    if number.__class__ is int and number.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"the result is an integer of more than {MAX_INTEGER_BITS} bits")
    return number  # type: ignore[no-any-return]


def is_number(value: object) -> bool:
    """Return True for an int or a float; a bool is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def nearest_float(number: int | float) -> float:
    """Return the nearest float; infinity for an integer outside their range."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


# -- Equality and order -----------------------------------------------------------------------------------------------


def equal(left: Any, right: Any) -> bool:
    """`left == right`: numbers are compared by value, other values only with values of the same type.

    Raises ValueError for a foreign object and a value of another type.
    """
    left, right = from_python(left), from_python(right)
    if is_number(left) and is_number(right):
        if isinstance(left, float) or isinstance(right, float):
            return nearest_float(left) == nearest_float(right)
        return bool(left == right)
    return same(left, right)


def unequal(left: Any, right: Any) -> bool:
    """`left != right`"""
    return not equal(left, right)


def same(left: Any, right: Any) -> bool:
    """Return True if two values are the same member of a collection: 1, 1.0 and true differ, NaN equals itself.

    Raises ValueError for a foreign object and a value of another type, and LimitExceeded for values that are too large.
    """
    if left is right:
        return True
    if left.__class__ not in SCALARS and right.__class__ not in SCALARS:
        measure(left)  # as comparing reads no more of the right value than of the left one
    return _same(left, right)


def _same(left: Any, right: Any) -> bool:
    if left is right:
        return True
    if left.__class__ is right.__class__:  # the most frequent values first
        if left.__class__ in _EXACT:
            return bool(left == right)
        if left.__class__ is list:
            return len(left) == len(right) and all(starmap(_same, zip(left, right, strict=True)))
        if left.__class__ is dict:
            return _are_same_maps(left, right)
    left, right = from_python(left), from_python(right)
    if isinstance(left, float) and isinstance(right, float):
        return (left == right and math.copysign(1, left) == math.copysign(1, right)) or (
            left != left and right != right
        )
    if _family(left) is not _family(right):
        return _compare_types(left, right)
    if isinstance(left, list):
        return len(left) == len(right) and all(starmap(_same, zip(left, right, strict=True)))
    if isinstance(left, Mapping):
        return _are_same_maps(left, right)
    if isinstance(left, set):
        return len(left) == len(right) and all(_member(right, item) is not ABSENT for item in left)
    return bool(left == right)


def _are_same_maps(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    for key, value in left.items():
        found = _member(right, key)
        if found is ABSENT or not _same(value, right[found]):
            return False
    return True


def _compare_types(left: Any, right: Any) -> bool:
    """Return False for values of two types; a foreign object can equal a value, such as a Fraction a number.

    Raises ValueError if it does not, because it may mean the same nevertheless. It is never compared with a list, set
    or map, of which numpy would build arrays.
    """
    if left is not None and right is not None and (is_foreign(left) or is_foreign(right)):
        if not isinstance(left, _CONTAINERS) and not isinstance(right, _CONTAINERS) and bool(left == right):
            return True
        raise ValueError(f"can't compare {describe(left)} with {describe(right)}")
    return False


_EXACT = frozenset({str, int, bool, bytes})  # whose values are the same if Python's are equal
_CONTAINERS = (list, tuple, set, frozenset, Mapping)
_FAMILIES: tuple[type, ...] = (bool, int, float, str, list, Mapping, set)


def _family(value: object) -> type:
    """Return the class whose values may be equal to this one."""
    return next((family for family in _FAMILIES if isinstance(value, family)), value.__class__)


def less(left: Any, right: Any) -> bool:
    """`left < right`; false if either is null.

    Raises ValueError for values without an order.
    """
    return _compare("<", operator.lt, left, right)


def less_or_equal(left: Any, right: Any) -> bool:
    """`left <= right`"""
    return _compare("<=", operator.le, left, right)


def greater(left: Any, right: Any) -> bool:
    """`left > right`"""
    return _compare(">", operator.gt, left, right)


def greater_or_equal(left: Any, right: Any) -> bool:
    """`left >= right`"""
    return _compare(">=", operator.ge, left, right)


_UNORDERED = (list, Mapping, set, FunctionType, bytes)


def _compare(symbol: str, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    left, right = from_python(left), from_python(right)
    if is_number(left) and is_number(right):
        if isinstance(left, float) or isinstance(right, float):
            left, right = nearest_float(left), nearest_float(right)
        return bool(compare(left, right))
    if _family(left) is _family(right) and not isinstance(left, _UNORDERED):
        try:
            return bool(compare(left, right))
        except TypeError:
            pass  # the class has no order
    raise ValueError(f"{symbol} can't compare {describe(left)} with {describe(right)}")


# -- Membership -------------------------------------------------------------------------------------------------------


ABSENT: Any = object()


def contains(item: Any, container: Any) -> bool:
    """`item in container`: a substring, a member of a list or set, or a key of a map; else compare for equality."""
    if container is None:
        return False
    if item.__class__ not in OWN:
        item = from_python(item)
    if container.__class__ not in OWN:
        container = from_python(container)
    if isinstance(container, str) and isinstance(item, str):
        return item in container
    if isinstance(container, list):
        if item.__class__ is str:
            if item in container:
                return True
            if OWN.issuperset(map(type, container)):
                return False
        if item.__class__ not in SCALARS:
            measure([item, container])
        return any(_same(item, other) for other in container)
    if isinstance(container, Mapping | set):
        return member(container, item) is not ABSENT
    return item is not None and same(item, container)


def not_contains(item: Any, container: Any) -> bool:
    """`item not in container`"""
    return not contains(item, container)


def member(collection: Mapping[Any, Any] | set[Any] | frozenset[Any], item: Any) -> Any:
    """Return the key of a map, or the member of a set, that is the same as a value, or ABSENT."""
    if item.__class__ not in SCALARS:
        measure(item)
    return _member(collection, item)


def _member(collection: Mapping[Any, Any] | set[Any] | frozenset[Any], item: Any) -> Any:
    if item.__class__ is str or item is None:
        return item if item in collection else ABSENT
    probe = _Probe(_hashable(item))
    try:
        return probe.found if probe in collection else ABSENT
    except TypeError:  # an unhashable object can't be a key
        return ABSENT


class _Probe:
    """A key for look-ups that distinguishes 1, 1.0 and true, as Java does.

    Python calls `__eq__` for each key with the hash of the item, and all three have the same hash.
    """

    __slots__ = ("found", "item")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.found: Any = ABSENT

    def __hash__(self) -> int:
        return hash(self.item)

    def __eq__(self, key: object) -> bool:
        if not _same(key, self.item):
            return False
        self.found = key
        return True


class _ListKey(list[Any]):
    """A list that can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(map(_hashable, self)))


class _MapKey(dict[Any, Any]):
    """A map that can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


class _SetKey(set[Any]):
    """A set that can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


def hashable(value: Any) -> Any:
    """Convert a value to a key of a map or a member of a set: lists, maps and sets become hashable.

    A Python object with a Stellar value becomes that value, as otherwise it would not be found by it. Every NaN becomes
    the same object, because Python finds a NaN by identity only.

    Raises LimitExceeded for a value that is too large.
    """
    if value.__class__ not in SCALARS:
        measure(value)
    return _hashable(value)


def _hashable(value: Any) -> Any:
    value = from_python(value)
    if value.__class__ is float and value != value:
        return math.nan
    if isinstance(value, list):
        return _ListKey(value)
    if isinstance(value, set):
        return _SetKey(value)
    if isinstance(value, dict) or (value.__hash__ is None and isinstance(value, Mapping)):
        return _MapKey(value)
    return value


def make_map(*pairs: tuple[Any, Any]) -> dict[Any, Any]:
    """Build the map of a map literal; of two equal keys the first wins.

    Raises ValueError for an unhashable object as a key.
    """
    result: dict[Any, Any] = {}
    for key, value in pairs:
        try:
            result.setdefault(hashable(key), value)
        except TypeError:
            raise ValueError(f"{describe(key)} can't be the key of a map") from None
    return result


# -- Booleans ---------------------------------------------------------------------------------------------------------


def require_condition(value: Any) -> bool:
    """Return the boolean of a condition; null and empty collections are false.

    Raises ValueError for any other value.
    """
    value = from_python(value)
    if ends_and(value):
        return False
    if value is True:
        return True
    raise ValueError(f"invalid condition: expected true or false, got {describe(value)}")


def ends_and(value: Any) -> bool:
    """Return True for a value that ends an `and` at once: false, null, an empty list, set or map."""
    value = from_python(value)
    if value is None or value is False:
        return True
    return isinstance(value, list | set | Mapping) and not value


def is_true(value: Any) -> bool:
    """Return True for true, as a boolean of Python or numpy."""
    return from_python(value) is True


def coerce_to_bool(value: Any) -> bool:
    """Convert an operand of `and`, `or` or `not` as TO_BOOLEAN does; null, and values that it rejects, are false."""
    return value is True or (value is not False and to_boolean(value) is True)


def require_bool_or_null(value: Any) -> bool | None:
    """Return the result of a predicate.

    Raises NotBoolean for another value.
    """
    value = from_python(value)
    if value is None or isinstance(value, bool):
        return value
    raise NotBoolean(f"the rule does not return a boolean value, but {describe(value)}")


class NotBoolean(ValueError):
    """The result of a predicate is neither a boolean nor null."""


# -- Records, functions and lambdas -----------------------------------------------------------------------------------


class Fields(Mapping[str, Any]):
    """`_`: a read-only view of all fields of a record."""

    __slots__ = ("_record",)

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record

    def __getitem__(self, name: str) -> Any:
        return self._record[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._record)

    def __len__(self) -> int:
        return len(self._record)

    def __contains__(self, name: object) -> bool:
        return name in self._record

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Fields, (dict(self._record),)


def require_field(record: Mapping[str, Any], name: str) -> Any:
    """Return a field of a record.

    Raises LookupError if the record does not have it.
    """
    if name in record:
        return record[name]
    raise LookupError(f"the record has no {name}")


def accept(function: Function, index: int, value: Any) -> Any:
    """Return the argument at a position if the function accepts it.

    Raises ValueError, with the function, the parameter and the accepted type, if not.
    """
    parameter = function.parameter_at(index)
    if parameter.kind.accepts(value):
        return value
    value = from_python(value)
    if parameter.kind.accepts(value):
        return value
    noun, name = parameter.kind.noun, parameter.name
    role = "" if name in noun.split() else f" as {name}"  # avoid «a list as list»
    raise ValueError(f"{function.name} expected {noun}{role}, got {describe(value)}")


def read_argument(function: Function, index: int, value: Any) -> Any:
    """Return the Stellar value of an argument that may have any type.

    Raises ValueError, with the function and the parameter, for a foreign object.
    """
    if is_unchanged(type(value)):  # type: ignore[arg-type]  # classes are hashable
        return value
    value = from_python(value)
    if is_foreign(value):
        parameter = function.parameter_at(index)
        raise ValueError(f"{function.name} can't take {describe_foreign(value)} as {parameter.name}")
    return value


def items(function: Function, value: Any) -> list[Any] | None:
    """Return the items of a list or set, or the characters of a string, as MAP and FILTER read them; null for null.

    Raises ValueError for any other value, and for a string of too many characters.
    """
    value = accept(function, 0, value)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            check_items(len(value))
        except LimitExceeded as error:  # at the position of the argument
            raise ValueError(f"{function.name}: {error}") from None
    return list(value)


def call_if_lambda(value: Any) -> Any:
    """Return the value of a match action; a lambda is called without arguments.

    Raises ValueError for a Python function of the record that needs arguments.
    """
    if value.__class__ is not FunctionType:
        return value
    try:
        return value()
    except TypeError as error:
        raise ValueError(f"match calls a function without arguments, which failed: {error}") from error


def raise_call_error(message: str) -> NoReturn:
    """Raise LookupError for a call of an unknown function, or with the wrong number of arguments."""
    raise LookupError(message)


_NOUNS: tuple[tuple[type, str], ...] = (
    (bool, ""),
    (int, "the integer "),
    (float, "the number "),
    (str, "the string "),
    (bytes, "the bytes "),
    (list, "the list "),
    (Mapping, "the map "),
    (set, "the set "),
)


def describe(value: Any) -> str:
    """Describe a value for a message, such as `the string 'abc'`."""
    if is_foreign(value := from_python(value)):
        return describe_foreign(value)
    cls = type(value)
    noun = next((noun for kind, noun in _NOUNS if issubclass(cls, kind)), "")
    if issubclass(cls, int) and int.bit_length(value) > MOST_BITS:
        noun = ""  # described by its size
    return noun + abbreviate_value(value)
