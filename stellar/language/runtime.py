"""What compiled expressions call where the inline operation does not fit: operators, truth, membership, guards."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap
from types import FunctionType
from typing import Any, NoReturn

from stellar.language.conversions import to_boolean
from stellar.language.library import Function

WIDEST_INTEGER = 4096

# -- Arithmetic -------------------------------------------------------------------------------------------------------


def add(left: Any, right: Any) -> int | float:
    """`left + right`; null is 0, and a float makes the sum a float."""
    left, right = _operands("+", left, right)
    return _limited(left + right)


def subtract(left: Any, right: Any) -> int | float:
    """`left - right`"""
    left, right = _operands("-", left, right)
    return _limited(left - right)


def multiply(left: Any, right: Any) -> int | float:
    """`left * right`"""
    left, right = _operands("*", left, right)
    return _limited(left * right)


def divide(left: Any, right: Any) -> int | float:
    """`left / right`: of integers, truncated toward zero; of floats, by IEEE 754, where x / 0 is infinite or NaN.

    Raises ValueError when an integer is divided by the integer 0 (or by null).
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
    """`-operand`; null is 0."""
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
    if is_number(value):  # a subclass, such as an IntEnum or numpy's float64
        return int(value) if isinstance(value, int) else float(value)
    raise ValueError(f"{symbol} takes numbers, not {described(value)}")


def _limited(number: Any) -> int | float:
    if number.__class__ is int and number.bit_length() > WIDEST_INTEGER:
        raise ValueError(f"the result is a whole number of more than {WIDEST_INTEGER} bits")
    return number  # type: ignore[no-any-return]


def is_number(value: object) -> bool:
    """Whether it is an int or a float; a bool is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def nearest_float(number: int | float) -> float:
    """The nearest float; an integer beyond the floats is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


# -- Equality and order -----------------------------------------------------------------------------------------------


def equal(left: Any, right: Any) -> bool:
    """`left == right`: numbers by value, everything else only with its own kind."""
    if is_number(left) and is_number(right):
        if isinstance(left, float) or isinstance(right, float):
            return nearest_float(left) == nearest_float(right)
        return bool(left == right)
    return same(left, right)


def unequal(left: Any, right: Any) -> bool:
    """`left != right`"""
    return not equal(left, right)


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same as members of a collection: 1, 1.0 and true are three, and NaN is itself."""
    if isinstance(left, float) and isinstance(right, float):
        return (left == right and math.copysign(1, left) == math.copysign(1, right)) or (
            left != left and right != right
        )
    if _family(left) is not _family(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(starmap(same, zip(left, right, strict=True)))
    if isinstance(left, Mapping):
        return len(left) == len(right) and all(
            (twin := member(right, key)) is not ABSENT and same(value, right[twin]) for key, value in left.items()
        )
    if isinstance(left, set | frozenset):
        return len(left) == len(right) and all(member(right, item) is not ABSENT for item in left)
    return bool(left == right)


_FAMILIES: tuple[type, ...] = (bool, int, float, str, list, Mapping, set)


def _family(value: object) -> type:
    """The class that its equals share: an int and a numpy integer are of one kind, a bool and an int are not."""
    if isinstance(value, tuple):
        return list
    if isinstance(value, frozenset):
        return set
    return next((family for family in _FAMILIES if isinstance(value, family)), value.__class__)


def less(left: Any, right: Any) -> bool:
    """`left < right`; false if either is null.

    Raises ValueError for two values that have no order.
    """
    return _ordered("<", operator.lt, left, right)


def less_or_equal(left: Any, right: Any) -> bool:
    """`left <= right`"""
    return _ordered("<=", operator.le, left, right)


def greater(left: Any, right: Any) -> bool:
    """`left > right`"""
    return _ordered(">", operator.gt, left, right)


def greater_or_equal(left: Any, right: Any) -> bool:
    """`left >= right`"""
    return _ordered(">=", operator.ge, left, right)


_UNORDERED = (list, tuple, Mapping, set, frozenset, FunctionType, bytes)


def _ordered(symbol: str, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    if is_number(left) and is_number(right):
        if isinstance(left, float) or isinstance(right, float):
            left, right = nearest_float(left), nearest_float(right)
        return bool(compare(left, right))
    if _family(left) is _family(right) and not isinstance(left, _UNORDERED):
        try:
            return bool(compare(left, right))
        except TypeError:
            pass  # objects of a class without an order
    raise ValueError(f"{symbol} can't order {described(left)} and {described(right)}")


# -- Membership -------------------------------------------------------------------------------------------------------


ABSENT: Any = object()


def contains(item: Any, container: Any) -> bool:
    """`item in container`: a part of a text, a member of a list or set, a key of a map; else whether they are equal."""
    if container is None:
        return False
    if isinstance(container, str) and isinstance(item, str):
        return item in container
    if isinstance(container, list | tuple):
        if item.__class__ is str:
            return item in container
        return any(same(item, other) for other in container)
    if isinstance(container, Mapping | set | frozenset):
        return member(container, item) is not ABSENT
    return item is not None and same(item, container)


def lacks(item: Any, container: Any) -> bool:
    """`item not in container`"""
    return not contains(item, container)


def member(collection: Mapping[Any, Any] | set[Any] | frozenset[Any], item: Any) -> Any:
    """The key of a map or the member of a set that is the same as this value, or ABSENT."""
    if item.__class__ is str or item is None:
        return item if item in collection else ABSENT
    probe = _Probe(hashable(item))
    try:
        return probe.found if probe in collection else ABSENT
    except TypeError:  # an object that can't be hashed is in no map
        return ABSENT


class _Probe:
    """Stands for a value in a look-up. Python asks it about each key of the value's hash: for 1 that may be 1.0 or
    true, which Java tells apart."""

    __slots__ = ("found", "item")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.found: Any = ABSENT

    def __hash__(self) -> int:
        return hash(self.item)

    def __eq__(self, key: object) -> bool:
        if not same(key, self.item):
            return False
        self.found = key
        return True


class _ListKey(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(map(hashable, self)))


class _MapKey(dict[Any, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


class _SetKey(set[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


def hashable(value: Any) -> Any:
    """The value as a key of a map or a member of a set: lists, maps and sets get a hash, all else is what it is.

    Every NaN becomes the same object, since Python finds a NaN by nothing but its identity.
    """
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
    """A map literal; of two equal keys the first wins.

    Raises ValueError for an object that Python can't hash.
    """
    made: dict[Any, Any] = {}
    for key, value in pairs:
        try:
            made.setdefault(hashable(key), value)
        except TypeError:
            raise ValueError(f"{described(key)} can't be the key of a map") from None
    return made


# -- Truth ------------------------------------------------------------------------------------------------------------


def decided(value: Any) -> bool:
    """Whether a condition holds: null and what is empty do not.

    Raises ValueError for a value that is neither a boolean nor null nor an empty collection.
    """
    if not undecided_or_true(value):
        return False
    if value is True:
        return True
    raise ValueError(f"a condition is true or false, not {described(value)}")


def undecided_or_true(value: Any) -> bool:
    """False for what ends an `and` at once: false, null, an empty list, set or map; true for everything else."""
    if value is None or value is False:
        return False
    return not (isinstance(value, list | tuple | set | frozenset | Mapping) and not value)


def converted(value: Any) -> bool:
    """A value as an operand of `and`, `or` and `not`: what its text says, and false if it says nothing of the kind."""
    return value is True or (value is not False and to_boolean(value) is True)


def verdict(value: Any) -> bool | None:
    """The result of a predicate; null stays null.

    Raises ValueError for a value that is neither a boolean nor null.
    """
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"the rule does not return a boolean value, but {described(value)}")


# -- Records, functions and lambdas -----------------------------------------------------------------------------------


class Fields(Mapping[str, Any]):
    """`_`: all fields of the record, to be read only."""

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


def strictly(record: Mapping[str, Any], name: str) -> Any:
    """The value of a variable.

    Raises LookupError if the record has no such field.
    """
    if name in record:
        return record[name]
    raise LookupError(f"the record has no {name}")


def accept(function: Function, index: int, value: Any) -> Any:
    """The value, if the function takes it as the argument at this position.

    Raises ValueError, naming the function, the argument and what it takes, if not.
    """
    parameter = function.parameter_at(index)
    if parameter.kind.accepts(value):
        return value
    noun, name = parameter.kind.noun, parameter.name
    role = "" if name in noun.split() else f" as {name}"  # not «a list as list»
    raise ValueError(f"{function.name} takes {noun}{role}, not {described(value)}")


def items(function: Function, value: Any) -> list[Any] | None:
    """What MAP and FILTER go through: the items of a list or set, the characters of a text; null stays null.

    Raises ValueError for any other value.
    """
    value = accept(function, 0, value)
    return None if value is None else list(value)


def applied(value: Any) -> Any:
    """The value of a match action; a lambda is called, with no arguments."""
    return value() if value.__class__ is FunctionType else value


def unavailable(message: str) -> NoReturn:
    """A call that can't succeed has been reached."""
    raise LookupError(message)


_NOUNS: tuple[tuple[type, str], ...] = (
    (bool, ""),
    (int, "the whole number "),
    (float, "the number "),
    (str, "the text "),
    (bytes, "the bytes "),
    (list, "the list "),
    (Mapping, "the map "),
    (set, "the set "),
)


def described(value: Any) -> str:
    """A value as a message shows it, such as `the text 'abc'`."""
    if value is None:
        return "null"
    if value.__class__ is FunctionType:
        return "a lambda"
    for kind, noun in _NOUNS:
        if isinstance(value, kind):
            return noun + shortened(value)
    return getattr(value, "STELLAR_NOUN", f"an object of type {value.__class__.__name__}")


def shortened(value: Any) -> str:
    """A value in Stellar's notation, cut to 40 characters."""
    if value is None or value is True or value is False:
        return str(value).lower().replace("none", "null")
    if isinstance(value, int) and value.bit_length() > 128:
        return f"of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
