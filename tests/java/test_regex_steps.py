"""The upper bound of the steps of a search, compared with the steps of a simple matcher."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterable, Iterator
from importlib import import_module
from math import inf
from typing import Any

import pytest

from stellar.java.grok import Grok, NoMatch
from stellar.java.regex_steps import MOST_STEPS, bound_steps, find_harmless_length

_parser: Any = import_module("re._parser")


class StepCounter:
    """A matcher that backtracks as `re` does, and counts the characters and choices that it tries."""

    def __init__(self, pattern: str, text: str) -> None:
        self.text = text
        self.steps = 0
        self.items = list(_parser.parse(pattern, re.ASCII))

    def search(self) -> bool:
        starts = range(len(self.text) + 1)
        return any(True for start in starts for _ in self._match(self.items, start))

    def _match(self, items: list[Any], at: int) -> Iterator[int]:
        """Yield each end of a match of items in sequence, in the order in which they are tried."""
        if not items:
            yield at
            return
        operator, argument = items[0]
        for end in self._match_item(operator, argument, at):
            yield from self._match(items[1:], end)

    def _match_item(self, operator: Any, argument: Any, at: int) -> Iterable[int]:
        self.steps += 1
        match str(operator):
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, items = argument
                ends = self._repeat(least, most, items, at, is_lazy=str(operator) == "MIN_REPEAT")
                return self._first(ends) if str(operator) == "POSSESSIVE_REPEAT" else ends
            case "SUBPATTERN":
                return self._match(list(argument[-1]), at)
            case "BRANCH":
                return (end for each in argument[1] for end in self._match(list(each), at))
            case "ATOMIC_GROUP":
                return self._first(self._match(list(argument), at))
            case "ASSERT" | "ASSERT_NOT":
                found = any(True for _ in self._match(list(argument[1]), at))
                return (at,) if found == (str(operator) == "ASSERT") else ()
            case "AT":
                return (at,) if self._is_at(str(argument), at) else ()
            case _:
                return (at + 1,) if self._is_one(operator, argument, at) else ()

    def _first(self, ends: Iterable[int]) -> list[int]:
        return [end for end, _ in zip(ends, range(1), strict=False)]

    def _repeat(self, least: int, most: Any, items: Any, at: int, *, is_lazy: bool, count: int = 0) -> Iterator[int]:
        if is_lazy and count >= least:
            yield at
        if count < most:
            for end in self._match(list(items), at):
                if end > at or count < least:
                    yield from self._repeat(least, most, items, end, is_lazy=is_lazy, count=count + 1)
        if not is_lazy and count >= least:
            yield at

    def _is_at(self, name: str, at: int) -> bool:
        expressions = {"AT_BEGINNING": "^", "AT_END": "$", "AT_BOUNDARY": r"\b", "AT_END_STRING": r"\Z"}
        return re.compile(expressions[name], re.ASCII).match(self.text, at) is not None

    def _is_one(self, operator: Any, argument: Any, at: int) -> bool:
        if at >= len(self.text):
            return False
        code = ord(self.text[at])
        match str(operator):
            case "LITERAL":
                return bool(code == argument)
            case "NOT_LITERAL":
                return bool(code != argument)
            case "ANY":
                return code != ord("\n")
            case _:
                return _is_in(argument, self.text[at])


def _is_in(members: Any, character: str) -> bool:
    is_negated = any(str(kind) == "NEGATE" for kind, _ in members)
    categories = {"CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S"}
    found = any(
        (str(kind) == "LITERAL" and ord(character) == value)
        or (str(kind) == "RANGE" and value[0] <= ord(character) <= value[1])
        or (str(kind) == "CATEGORY" and re.fullmatch(categories[str(value)], character, re.ASCII))
        for kind, value in members
    )
    return bool(found) != is_negated


ATOMS = ("a", "b", "1", r"\d", r"\w", r"\S", ".", "[^a]", "[ab]", "[^ab1]", r"\b", "^", "$", " ")
REPEATS = ("", "", "", "*", "+", "?", "{1,2}", "{2}", "*?", "+?", "??", "*+", "++")


def make_expression(rnd: random.Random, depth: int) -> str:
    items = [rnd.choice(ATOMS[:10]) + rnd.choice(REPEATS) for _ in range(rnd.randint(1, 3))]
    items += [rnd.choice(ATOMS) for _ in range(rnd.randint(0, 1))]
    if depth:
        opening = rnd.choice(("(", "(?:", "(?:", "(?>", "(?=", "(?!"))
        inner = make_expression(rnd, depth - 1)
        items.append(f"{opening}{inner}){rnd.choice(REPEATS) if opening in ('(', '(?:') else ''}")
    rnd.shuffle(items)
    more = (make_expression(rnd, depth - 1) for _ in range(depth > 0 and rnd.random() < 0.4))
    return "|".join(("".join(items), *more))


@pytest.mark.parametrize("seed", range(6))
def test_a_search_takes_no_more_steps_than_the_bound(seed: int) -> None:
    rnd = random.Random(seed)
    compared = 0
    while compared < 1500:
        expression = make_expression(rnd, rnd.randint(0, 2))
        try:
            pattern = re.compile(expression, re.ASCII)
        except re.error:
            continue
        for _ in range(6):
            text = "".join(rnd.choice("ab1 \n") for _ in range(rnd.randint(0, 12)))
            bound = bound_steps(pattern, len(text))
            if bound == inf:
                break
            counter = StepCounter(expression, text)
            assert counter.search() == (pattern.search(text) is not None), (expression, text)
            # An item and the choice after it count as one step of the bound
            assert counter.steps <= 3 * bound + 10, (expression, text, counter.steps, bound)
            compared += 1


@pytest.mark.parametrize("seed", range(3))
def test_a_search_of_equal_characters_takes_no_more_steps_than_the_bound(seed: int) -> None:
    rnd = random.Random(seed)
    compared = 0
    while compared < 300:
        expression = make_expression(rnd, 1)
        try:
            pattern = re.compile(expression, re.ASCII)
        except re.error:
            continue
        text = rnd.choice(("a" * 25, "ab" * 12, "1" * 25, "a" * 20 + " "))
        if (bound := bound_steps(pattern, len(text))) > 20_000:
            continue
        counter = StepCounter(expression, text)
        counter.search()
        assert counter.steps <= 3 * bound + 10, (expression, text, counter.steps, bound)
        compared += 1


@pytest.mark.parametrize(
    "expression", [r"(a+)+b", r"(a|ab)*c", r"(?:a?){20}b", r"(a*)*b", r"(?:a|a)*b", r"(\w+\s?)+$", r"(x)(?(1)a*|b)*"]
)
def test_an_expression_with_exponential_backtracking_has_no_bound(expression: str) -> None:
    assert bound_steps(re.compile(expression), 40) == inf
    assert find_harmless_length(re.compile(expression)) == 0


@pytest.mark.parametrize(
    ("expression", "longest"),
    [(r"\d+ \w+ \S+", 1024), (r"^(\S+) (\S+) (.*)$", 65_536), (r"(.*)a(.*)b", 128), (r"^a\d", 65_536)],
)
def test_the_harmless_length_of_usual_expressions(expression: str, longest: int) -> None:
    pattern = re.compile(expression, re.ASCII)
    assert find_harmless_length(pattern) == longest
    assert bound_steps(pattern, longest) <= MOST_STEPS


@pytest.mark.parametrize("line", ["2020 GET /a b", "2020 GET", "", " ", "é 1 2", "1 a b\r", "1 a " + "x" * 5000])
def test_a_thread_without_a_timer_finds_the_same_captures(line: str) -> None:
    def find(grok: Grok) -> object:
        try:
            return grok.find(line)
        except NoMatch:
            return None

    grok, limited = (Grok(r"(?<a>[0-9]+) (?<b>[A-Za-z]+) (?<c>\S+)", {}) for _ in range(2))
    limited.quick = None
    assert grok._harmless_length == 1024
    assert limited._harmless_length == 0
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(find(grok)))
    thread.start()
    thread.join()
    assert found == [find(limited)]
