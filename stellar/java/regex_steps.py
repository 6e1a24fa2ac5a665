"""An upper bound of the steps in which `re` searches a pattern, from its syntax tree.

`re` has no time limit, and lets no other thread run while it searches. So threads that cannot interrupt it search only
strings for which the bound is harmless.

A search backtracks over the ways in which the items of the pattern match. An item that can end at b places lets all
items after it start b times as often, so the steps of a sequence are

    cost(1) + b(1) · cost(2) + b(1) · b(2) · cost(3) + …

Most repetitions are followed by a character that they cannot match, as in `[0-9]+ `: only one end of them is not
rejected at once, so b is 1. The same holds for options and alternatives that begin differently. A repeated group that
matches a string in several ways, as in `(a+)+`, has no bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from math import inf
from typing import Any, NamedTuple

_parse: Callable[[str, int], Iterable[Any]] = import_module("re._parser").parse
_ALL = frozenset(range(128))
_DIGITS = frozenset(b"0123456789")
_WORDS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_SPACES = frozenset(b" \t\n\r\f\v")
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_NOT_DIGIT": _ALL - _DIGITS,
    "CATEGORY_WORD": _WORDS,
    "CATEGORY_NOT_WORD": _ALL - _WORDS,
    "CATEGORY_SPACE": _SPACES,
    "CATEGORY_NOT_SPACE": _ALL - _SPACES,
}
_MOST_REPEATS_OF_WAYS = 8
# A step takes 10 to 20 ns, so that no other thread waits longer than for a time-out
MOST_STEPS = 10_000_000
_LENGTHS = tuple(2**exponent for exponent in range(5, 17))


class _Follow(NamedTuple):
    """The rest of the pattern after an item.

    chars: the characters with which it can begin
    may_be_empty: True if it can match without a character
    is_sure: True if it never fails, so that the first way to reach it is the only one
    """

    chars: frozenset[int]
    may_be_empty: bool = False
    is_sure: bool = False


_END = _Follow(frozenset(), may_be_empty=True, is_sure=True)


class _Item(NamedTuple):
    """The bounds of an item.

    ways: how often the rest of the pattern is tried after it and not rejected at once
    cost: the steps of the item itself, for one start
    chars, may_be_empty, is_sure: as of the rest of a pattern
    """

    ways: float
    cost: float
    chars: frozenset[int]
    may_be_empty: bool = False
    is_sure: bool = False


_UNBOUNDED = _Item(inf, inf, _ALL, may_be_empty=True)


def bound_steps(pattern: re.Pattern[str], length: int) -> float:
    """Return an upper bound of the steps to search an ASCII string of a length; infinity if there is none."""
    items = list(_parse(pattern.pattern, pattern.flags))
    is_anchored = _is_anchored(items) and not pattern.flags & re.MULTILINE
    starts = 1 if is_anchored else length + 1
    return starts * _Analysis(length).bound_sequence(items, _END).cost + length


def find_harmless_length(pattern: re.Pattern[str]) -> int:
    """Return a length up to which any ASCII string is searched in at most MOST_STEPS; 0 if there is none."""
    longest = 0
    for length in _LENGTHS:
        if bound_steps(pattern, length) > MOST_STEPS:
            break
        longest = length
    return longest


def _is_anchored(items: Sequence[Any]) -> bool:
    """Return True if a pattern matches at the start of a string only."""
    if not items:
        return False
    operator, argument = items[0]
    if str(operator) == "SUBPATTERN":
        return not argument[1] and _is_anchored(argument[-1])  # without flags of its own
    return str(operator) == "AT" and str(argument) in ("AT_BEGINNING", "AT_BEGINNING_STRING")


@dataclass(frozen=True)
class _Analysis:
    """The analysis for strings of a length."""

    length: int

    def bound_sequence(self, items: Iterable[Any], follow: _Follow) -> _Item:
        """Return the bounds of items in sequence, before the rest of the pattern."""
        bounds: list[_Item] = []
        rest = _Follow(frozenset(), may_be_empty=True, is_sure=True)  # of the sequence itself
        for operator, argument in reversed(list(items)):
            item = self._bound_item(str(operator), argument, _prepend(rest, follow))
            bounds.append(item)
            rest = _prepend(item, rest)
        ways, cost = 1.0, 1.0
        for item in reversed(bounds):
            cost += ways * item.cost
            ways *= item.ways
        return _Item(ways, cost, rest.chars, rest.may_be_empty, rest.is_sure)

    def _bound_item(self, operator: str, argument: Any, follow: _Follow) -> _Item:
        match operator:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return _Item(1, 1, _find_chars(operator, argument))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, items = argument
                return self._bound_repeat(least, most, items, follow, is_possessive=operator == "POSSESSIVE_REPEAT")
            case "SUBPATTERN":
                return self.bound_sequence(argument[-1], follow)
            case "BRANCH":
                return self._bound_branch([self.bound_sequence(each, follow) for each in argument[1]])
            case "ATOMIC_GROUP":
                return self.bound_sequence(argument, _END)._replace(ways=1)
            case "ASSERT" | "ASSERT_NOT":
                inner = self.bound_sequence(argument[1], _END)
                return _Item(1, inner.cost, frozenset(), may_be_empty=True)
            case "AT":
                return _bound_position(str(argument))
            case "GROUPREF":
                return _Item(1, self.length + 1, _ALL, may_be_empty=True)
            case _:
                return _UNBOUNDED

    def _bound_branch(self, choices: Sequence[_Item]) -> _Item:
        are_distinct = not any(choice.may_be_empty for choice in choices) and all(
            one.chars.isdisjoint(other.chars) for one, other in combinations(choices, 2)
        )
        ways = [choice.ways for choice in choices]
        return _Item(
            max(ways) if are_distinct else sum(ways),
            sum(choice.cost for choice in choices) + len(choices),
            frozenset().union(*(choice.chars for choice in choices)),
            any(choice.may_be_empty for choice in choices),
            any(choice.is_sure for choice in choices),
        )

    def _bound_repeat(self, least: int, most: Any, items: Any, follow: _Follow, *, is_possessive: bool) -> _Item:
        most = min(int(most), self.length + 1)
        least = min(least, most)
        first = self.bound_sequence(items, _END)
        inner = _Follow(follow.chars | first.chars, follow.may_be_empty or first.may_be_empty)
        body = self.bound_sequence(items, _END if is_possessive and most == 1 else inner)
        if most > 1 and (body.may_be_empty or (body.ways > 1 and most > _MOST_REPEATS_OF_WAYS)):
            return _UNBOUNDED
        is_one = follow.is_sure or (not follow.may_be_empty and body.chars.isdisjoint(follow.chars))
        powers = [body.ways**count for count in range(least, most + 1)] if body.ways > 1 else []
        if is_possessive:
            ways = 1.0
        elif powers:
            ways = max(1.0, powers[-1]) if is_one else sum(powers)
        else:
            ways = 1.0 if is_one else most - least + 1.0
        tries = sum(body.ways**count for count in range(most)) if body.ways > 1 else most
        return _Item(ways, tries * body.cost + 1, body.chars, least == 0 or body.may_be_empty, least == 0)


def _prepend(item: _Item | _Follow, follow: _Follow) -> _Follow:
    """Return the rest of a pattern with an item before it."""
    chars = item.chars | follow.chars if item.may_be_empty else item.chars
    return _Follow(chars, item.may_be_empty and follow.may_be_empty, item.is_sure and follow.is_sure)


def _bound_position(name: str) -> _Item:
    if name == "AT_END":
        return _Item(1, 1, frozenset(b"\n"))  # before the last line end, too
    return _Item(1, 1, frozenset(), may_be_empty=name != "AT_END_STRING")


def _find_chars(operator: str, argument: Any) -> frozenset[int]:
    """Return all characters that an item of one character can match, and perhaps others."""
    if operator == "LITERAL":
        return _add_cases({argument})
    if operator == "NOT_LITERAL":
        return _ALL - {argument}
    if operator == "ANY":
        return _ALL
    members: set[int] = set()
    is_negated = False
    for kind, value in argument:
        match str(kind):
            case "NEGATE":
                is_negated = True
            case "LITERAL":
                members.add(value)
            case "RANGE":
                members.update(range(value[0], value[1] + 1))
            case "CATEGORY" if str(value) in _CATEGORIES:
                members |= _CATEGORIES[str(value)]
            case _:
                return _ALL
    # If case is ignored, a class has more members, and its complement fewer
    return _ALL - members if is_negated else _add_cases(members)


def _add_cases(codes: set[int]) -> frozenset[int]:
    cased = {ord(chr(code).swapcase()) for code in codes if code < 128}
    return (frozenset(codes) | cased) & _ALL
