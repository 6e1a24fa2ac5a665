"""Limits on the values that an expression builds, compares and converts.

A short expression can describe a value of any size: a list that contains another one twice, which contains a third one
twice, and so on. So whatever reads a whole value measures it first, with `measure`, which counts what a recursion would
visit and stops at a limit. Whatever builds a string or a list of more than the size of its arguments checks the size
before, with `check_characters` and `check_items`, or after if the result is at most a few times as large.

The limits are those of the running evaluation. A context variable contains them if they are not the default, because
values are measured far from the expression, such as in the conversion of a key to a string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from types import FunctionType, NoneType
from typing import Any

from stellar.util.settings import check_fields, declared, integer, setting

# A result up to these sizes is within any limits, so that most results need no more than a comparison
FEW_CHARACTERS, FEW_ITEMS = 65_536, 1024
_LARGEST = 2**31 - 1
# Lists of at most this many scalars are not measured: reading them cannot take more than a few times their size
_FEW_MEMBERS = 16
# Values of at most this many lists, sets and maps are read as often as they occur
_FEW_CONTAINERS = 1024
# Values without items, of which no more is read than their characters
SCALARS = frozenset({str, int, float, bool, NoneType})
_SCALARS = frozenset({*SCALARS, bytes, FunctionType})
_DIGITS_PER_BIT = 0.3  # rounded down
# Integers with fewer bits have fewer digits than an item counts
_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class EvaluationLimits:
    """Limits of evaluations, which the global configuration can set.

    Raises ValueError, with the key and the expected values, for an invalid limit.
    """

    characters: int = setting(
        "stellar.limits.characters",
        16 * 2**20,
        integer(FEW_CHARACTERS, _LARGEST),
        "Characters of a string that an expression builds, and of all strings together in a value that it compares, "
        "hashes or converts to a string.",
    )
    items: int = setting(
        "stellar.limits.items",
        2**20,
        integer(FEW_ITEMS, _LARGEST),
        "Items of a list that an expression builds from other values, of all lists, sets and maps together in a value "
        "that it compares, hashes or converts to a string, and of all lists together that loops within a loop read.",
    )
    levels: int = setting(
        "stellar.limits.levels",
        64,
        integer(1, 200),
        "Levels of lists, sets and maps in a value that an expression compares, hashes or converts to a string.",
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> EvaluationLimits:
        """Return the limits of a global configuration. Raises ValueError for an invalid one."""
        return cls(**{each.name: settings[key] for key, each in declared(cls).items() if key in settings})

    def apply(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function during whose calls these are the limits."""

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            token = _CURRENT.set(self)
            try:
                return function(*args, **options)
            finally:
                _CURRENT.reset(token)

        return call


DEFAULT_LIMITS = EvaluationLimits()
_CURRENT: ContextVar[EvaluationLimits] = ContextVar("limits of the running evaluation", default=DEFAULT_LIMITS)
_KEYS = {each.name: key for key, each in declared(EvaluationLimits).items()}


class LimitExceeded(ValueError):
    """A value is larger than the limits of evaluations; the message names the limit and its setting."""

    def __init__(self, limit: str, most: int) -> None:
        super().__init__(f"more than {most:,} {limit}, the limit that {_KEYS[limit]} sets")


def check_characters(count: int) -> None:
    """Raise LimitExceeded if a string would have too many characters."""
    if count > FEW_CHARACTERS and count > (most := _CURRENT.get().characters):
        raise LimitExceeded("characters", most)


def check_string(string: str) -> str:
    """Return a string. Raises LimitExceeded if it has too many characters."""
    if len(string) > FEW_CHARACTERS:
        check_characters(len(string))
    return string


def check_items(count: int) -> None:
    """Raise LimitExceeded if a list would have too many items."""
    if count > FEW_ITEMS and count > (most := _CURRENT.get().items):
        raise LimitExceeded("items", most)


class Steps:
    """The elements that a loop and the loops within it may still read, which are as many as a value may have items.

    Else loops over the same list take time that grows by its length with each further loop.
    """

    __slots__ = ("_left", "_most")

    def __init__(self) -> None:
        self._left = self._most = _CURRENT.get().items

    def count(self, elements: Any) -> Any:
        """Return a list or string, after counting its elements. Raises LimitExceeded if all loops have too many."""
        try:
            self._left -= len(elements)
        except TypeError:  # null, or an error of the function
            return elements
        if self._left < 0:
            raise LimitExceeded("items", self._most)
        return elements


def measure(value: Any) -> int:
    """Return the number of items in a value and in all values within it, each as often as it occurs.

    Raises LimitExceeded for too many items or levels, or too many characters in all strings together. A list that
    contains itself has too many levels.
    """
    if value.__class__ is list and len(value) <= _FEW_MEMBERS and _SCALARS.issuperset(map(type, value)):
        return len(value)
    return _measure(value, _CURRENT.get())


def _measure(value: Any, limits: EvaluationLimits) -> int:
    items = characters = containers = 0
    levels: list[Iterator[Any]] = [iter((value,))]
    while levels:
        for each in levels[-1]:
            cls = each.__class__
            if cls is str:
                characters += len(each)
            elif cls in _SCALARS:
                if cls is int and each.bit_length() > _MOST_BITS:
                    characters += int(each.bit_length() * _DIGITS_PER_BIT)
                elif cls is bytes:
                    characters += len(each)
            elif (members := _members(each)) is not None:
                items += len(each)
                if items > limits.items:
                    raise LimitExceeded("items", limits.items)
                if len(levels) > limits.levels:
                    raise LimitExceeded("levels", limits.levels)
                containers += 1
                if containers > _FEW_CONTAINERS:
                    return _measure_shared(value, limits)
                levels.append(iter(members))
                break
            elif isinstance(each, str | bytes):
                characters += len(each)
        else:
            levels.pop()
        if characters > limits.characters:
            raise LimitExceeded("characters", limits.characters)
    return items


class _Size:
    """The size of a list, set or map: its items, its characters and its levels, with those of the values within it."""

    __slots__ = ("characters", "items", "levels", "members", "value")

    def __init__(self, value: Any, items: int, members: Iterable[Any]) -> None:
        self.value = value  # as long as it is referenced, no other object has its id
        self.items = items
        self.members = iter(members)
        self.characters = 0
        self.levels = 1

    def add(self, inner: _Size, limits: EvaluationLimits) -> None:
        """Add the size of a value within this one. Raises LimitExceeded."""
        self.items += inner.items
        self.characters += inner.characters
        self.levels = max(self.levels, inner.levels + 1)
        self.check(limits)

    def check(self, limits: EvaluationLimits) -> None:
        """Raise LimitExceeded for too many items or characters."""
        if self.items > limits.items:
            raise LimitExceeded("items", limits.items)
        if self.characters > limits.characters:
            raise LimitExceeded("characters", limits.characters)


def _measure_shared(value: Any, limits: EvaluationLimits) -> int:
    """Measure a value, but read each list, set and map once, however often it occurs."""
    sizes: dict[int, _Size] = {}
    path = [_Size(None, 0, (value,))]
    while path:
        size = path[-1]
        for each in size.members:
            if each.__class__ in _SCALARS or (members := _members(each)) is None:
                size.characters += _count_characters(each)
            elif (known := sizes.get(id(each))) is None:
                if len(path) > limits.levels:
                    raise LimitExceeded("levels", limits.levels)
                path.append(_Size(each, len(each), members))
                path[-1].check(limits)
                break
            else:
                if len(path) + known.levels - 1 > limits.levels:
                    raise LimitExceeded("levels", limits.levels)
                size.add(known, limits)
        else:
            size.check(limits)
            path.pop()
            if path:
                sizes[id(size.value)] = size
                path[-1].add(size, limits)
    return size.items


def _count_characters(value: Any) -> int:
    """Return the number of characters that a scalar counts as."""
    if isinstance(value, str | bytes):
        return len(value)
    if value.__class__ is int and value.bit_length() > _MOST_BITS:
        return int(value.bit_length() * _DIGITS_PER_BIT)
    return 0


def _members(value: Any) -> Iterable[Any] | None:
    """Return the items of a list or set, or the keys and values of a map; None for any other value."""
    if isinstance(value, _LISTS):
        return value
    if isinstance(value, dict):  # much faster to test than Mapping
        return chain(value, value.values())
    return chain(value.keys(), value.values()) if isinstance(value, Mapping) else None


_LISTS = (list, tuple, set, frozenset)
