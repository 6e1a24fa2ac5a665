"""Functions that apply a lambda to the elements of a list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import reduce as fold
from itertools import islice
from types import FunctionType
from typing import Any

from stellar.language.library import stellar
from stellar.language.limits import SCALARS, check_items, measure
from stellar.language.runtime import ABSENT, describe, is_true


@stellar("MAP", pure=True, comprehension="map")
def map_(list_: Iterable[Any] | str | None, lambda_: Callable[..., Any] | None) -> Any:
    """Apply a lambda to each element of a list.

    list: The list or set; a string is treated as its characters
    lambda: Lambda of one parameter, the element
    returns: List of the results; null for null; the list itself if the lambda is null

        MAP(['ftp', 'dns'], protocol -> TO_UPPER(protocol))  // ['FTP', 'DNS']
        MAP([1, 2, null], x -> x + 1)  // [2, 3, 1]
        MAP('ab', c -> c)  // ['a', 'b']
        MAP(null, x -> x)  // null
        MAP(1, x -> x)  // error
    """
    if list_ is None or lambda_ is None:
        return list_
    return [lambda_(element) for element in _read_items(list_)]


@stellar("FILTER", pure=True, comprehension="filter")
def filter_(list_: Iterable[Any] | str | None, lambda_: Callable[..., Any] | None) -> Any:
    """Select the elements for which a lambda returns true. Other results, even non-empty ones, do not select.

    list: The list or set; a string is treated as its characters
    lambda: Lambda of one parameter, the element
    returns: List of the selected elements; null for null; the list itself if the lambda is null

        FILTER([1, 5, 9], x -> x > 3)  // [5, 9]
        FILTER(['a', ''], x -> x)  // []
        FILTER(null, x -> true)  // null
        FILTER(1, x -> true)  // error
    """
    if list_ is None or lambda_ is None:
        return list_
    return [element for element in _read_items(list_) if is_true(lambda_(element))]


@stellar("REDUCE", pure=True)
def reduce(list_: Iterable[Any] | str | None = None, lambda_: object = None, initial: Any = ABSENT) -> Any:
    """Combine all elements into one value, from the left.

    list: The list or set; a string is treated as its characters
    lambda: Lambda of two parameters, the value so far and the element; it returns the next value
    initial: The first value
    returns: The last value; null if an argument is null or missing. The lambda is not checked if the list is null

        REDUCE([1, 2, 3], (sum, x) -> sum + x, 0)  // 6
        REDUCE([], (sum, x) -> sum + x, 5)  // 5
        REDUCE([1, 2, 3], (sum, x) -> sum + x)  // null
        REDUCE(1, (sum, x) -> sum + x, 0)  // error
    """
    if list_ is None or lambda_ is None or initial is ABSENT:
        return None
    if lambda_.__class__ is not FunctionType:
        raise ValueError(f"REDUCE expected a lambda such as (sum, x) -> sum + x, got {describe(lambda_)}")
    if initial is None:
        return None
    items: Any = list_ if list_.__class__ is list else _read_items(list_)
    if len(items) > _FEW_STEPS:
        return _reduce_measured(lambda_, items, initial)
    value = fold(lambda_, items, initial)
    if value.__class__ not in SCALARS:
        measure(value)
    return value


def _reduce_measured(lambda_: Callable[..., Any], items: Collection[Any], value: Any) -> Any:
    """Return the value after all steps; it is measured so rarely that this takes no longer than the steps."""
    iterator = iter(items)
    left, steps = len(items), _FEW_STEPS
    while left > 0:
        value = fold(lambda_, islice(iterator, steps), value)
        left -= steps
        steps = _FEW_STEPS if value.__class__ in SCALARS else max(_FEW_STEPS, measure(value))
    return value


# The first measurement of the value of REDUCE is after this many steps
_FEW_STEPS = 64


def _read_items(value: Iterable[Any] | str) -> Iterable[Any]:
    """Return the items of a list or set, or the characters of a string."""
    if isinstance(value, str):
        check_items(len(value))
    return value
