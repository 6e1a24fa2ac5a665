"""Functions that apply a lambda to the elements of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce as fold
from typing import Any

from stellar.language.library import stellar


@stellar("MAP", comprehension="map")
def map_(list_: Iterable[Any] | str | None, lambda_: Callable[..., Any] | None) -> Any:
    """What a lambda makes of each element.

    list: The list or set; a text stands for its characters
    lambda: The lambda of an element
    returns: The list of its results; null for null, and the list itself if the lambda is null

        MAP(['ftp', 'dns'], protocol -> TO_UPPER(protocol))  // ['FTP', 'DNS']
        MAP([1, 2, null], x -> x + 1)  // [2, 3, 1]
        MAP('ab', c -> c)  // ['a', 'b']
        MAP(null, x -> x)  // null
        MAP(1, x -> x)  // error
    """
    if list_ is None or lambda_ is None:
        return list_
    return [lambda_(element) for element in list_]


@stellar("FILTER", comprehension="filter")
def filter_(list_: Iterable[Any] | str | None, lambda_: Callable[..., Any] | None) -> Any:
    """The elements for which a lambda is true, and nothing but true.

    list: The list or set; a text stands for its characters
    lambda: The lambda of an element
    returns: The list of those elements; null for null, and the list itself if the lambda is null

        FILTER([1, 5, 9], x -> x > 3)  // [5, 9]
        FILTER(['a', ''], x -> x)  // []
        FILTER(null, x -> true)  // null
        FILTER(1, x -> true)  // error
    """
    if list_ is None or lambda_ is None:
        return list_
    return [element for element in list_ if lambda_(element) is True]


@stellar("REDUCE")
def reduce(
    list_: Iterable[Any] | str | None = None, lambda_: Callable[..., Any] | None = None, initial: Any = None
) -> Any:
    """One value made of all elements: a lambda joins them to it one by one, from the left.

    list: The list or set; a text stands for its characters
    lambda: The lambda of the value so far and an element; its result is the next value
    initial: The value to start from
    returns: The last value; null if any argument is null or missing

        REDUCE([1, 2, 3], (sum, x) -> sum + x, 0)  // 6
        REDUCE([], (sum, x) -> sum + x, 5)  // 5
        REDUCE([1, 2, 3], (sum, x) -> sum + x)  // null
        REDUCE(1, (sum, x) -> sum + x, 0)  // error
    """
    if list_ is None or lambda_ is None or initial is None:
        return None
    return fold(lambda_, list_, initial)
