"""Properties of the strings that the groups of a regular expression can match, from the syntax tree of `re`.

Each is an upper bound: if a function returns False, no string that the group matches has the property. Only ASCII
strings are considered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

_parse: Callable[[str, int], Iterable[Any]] = import_module("re._parser").parse
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_WIDTHLESS = ("AT", "ASSERT", "ASSERT_NOT")
_DIGITS = range(ord("0"), ord("9") + 1)
# Categories whose characters are letters, digits, underscores or whitespace
_PLAIN_CATEGORIES = ("CATEGORY_DIGIT", "CATEGORY_WORD", "CATEGORY_SPACE")


class GroupTraits(NamedTuple):
    """Properties of the strings that a group can match.

    may_be_digits: some string has only digits
    may_start_so: some string starts with one of the given characters
    """

    may_be_digits: bool = True
    may_start_so: bool = True


ANY = GroupTraits()


def find_traits(pattern: re.Pattern[str], starts: str) -> dict[int, GroupTraits]:
    """Return the properties of the groups of a pattern, by their numbers.

    starts: punctuation characters
    """
    codes = frozenset(map(ord, starts))
    return {
        number: GroupTraits(_may_be_digits(items), _may_start(items, codes).may_start)
        for number, items in _list_groups(_parse(pattern.pattern, pattern.flags))
    }


def _list_groups(items: Iterable[Any]) -> Iterator[tuple[int, Iterable[Any]]]:
    """Yield the number and the items of each group, including nested ones."""
    for operator, argument in items:
        if str(operator) == "SUBPATTERN" and argument[0] is not None:
            yield argument[0], argument[-1]
        for inner in _list_inner(str(operator), argument):
            yield from _list_groups(inner)


def _list_inner(operator: str, argument: Any) -> list[Any]:
    """Return the items of each expression in an item."""
    match operator:
        case "SUBPATTERN" | "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [argument[-1]]
        case "ATOMIC_GROUP":
            return [argument]
        case "BRANCH":
            return list(argument[1])
        case _:
            return []  # what look-around captures is not analyzed


def _may_be_digits(items: Iterable[Any]) -> bool:
    return all(_item_may_be_digits(str(operator), argument) for operator, argument in items)


def _item_may_be_digits(operator: str, argument: Any) -> bool:
    if operator == "LITERAL":
        return argument in _DIGITS
    if operator == "IN":
        return _may_contain(argument, _DIGITS)
    if operator in _REPEATS and argument[0] == 0:
        return True
    inner = _list_inner(operator, argument)
    return any(map(_may_be_digits, inner)) if inner else True


def _may_contain(members: Iterable[Any], codes: Collection[int]) -> bool:
    """Return True if a class of characters may contain one of some characters."""
    for operator, argument in members:
        match str(operator):
            case "LITERAL":
                if argument in codes:
                    return True
            case "RANGE":
                if any(argument[0] <= code <= argument[1] for code in codes):
                    return True
            case "CATEGORY" if str(argument) in _PLAIN_CATEGORIES and codes is not _DIGITS:
                continue
            case _:  # such as a negated class
                return True
    return False


class _Start(NamedTuple):
    may_start: bool
    may_be_empty: bool


def _may_start(items: Iterable[Any], codes: frozenset[int]) -> _Start:
    for operator, argument in items:
        start = _item_may_start(str(operator), argument, codes)
        if start.may_start or not start.may_be_empty:
            return start
    return _Start(may_start=False, may_be_empty=True)


def _item_may_start(operator: str, argument: Any, codes: frozenset[int]) -> _Start:
    if operator in _WIDTHLESS:
        return _Start(may_start=False, may_be_empty=True)
    if operator == "LITERAL":
        return _Start(argument in codes, may_be_empty=False)
    if operator == "IN":
        return _Start(_may_contain(argument, codes), may_be_empty=False)
    inner = [_may_start(items, codes) for items in _list_inner(operator, argument)]
    if not inner:  # such as a back-reference
        return _Start(may_start=True, may_be_empty=True)
    can_be_left_out = operator in _REPEATS and argument[0] == 0
    return _Start(any(each.may_start for each in inner), can_be_left_out or any(each.may_be_empty for each in inner))
