"""Choices by tables, and constants that are created once, agree with the form without inline operations."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY
from stellar.language.compiler.analysis import constant_collection
from stellar.language.compiler.link import python_source
from stellar.language.errors import StellarError
from stellar.language.expression import Expression


class Level(IntEnum):
    LOW = 1


class Name(str):
    __slots__ = ()


VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 5, -1, 2**53, 2**70, 0.0, -0.0, 1.0, 1.5, 5.0, 1e300, math.nan, "", "a", "b", "1"),
    *([], ["a"], {}, {"a": 1}, b"a", Level.LOW, Name("a"), Decimal(1), Fraction(1, 2), 1j, (1, 2), object(), len),
]
TESTS = [
    *("x == 'a'", "x == 'b'", "'1' == x", "x == 1", "x == 5.0", "x == 1.5", "x == true", "x == null", "x == ''"),
    *("x in ['a', 'b']", "x in [1, 2]", "x == 0 or x == 'c'", "x in ['1'] or x == 2.0"),
]
OTHER_TESTS = ["x == y", "y == 'a'", "x > 1", "x / 0 == 1", "x", "x in [1.0]"]
CONSTANTS = ["1", "'one'", "null", "true", "2.5"]
RESULTS = [*CONSTANTS, "y", "x", "[x]", "y / x", "[]", "() -> y", "x == 'a' ? 'A' : y", "{'a' : 1}"]


def evaluate(expression: Expression, record: dict[str, Any], missing: Any = "null") -> Any:
    try:
        value = expression.evaluate(record, missing=missing)
    except StellarError as error:
        return error.message, error.span, error.hint
    return value if not callable(value) or value is len else "a lambda"


def assert_both_forms_agree(source: str, records: list[dict[str, Any]]) -> None:
    fast, slow = (Expression(source, LIBRARY, fast=form) for form in (True, False))
    for record in records:
        for missing in ("null", "error"):
            assert repr(evaluate(fast, record, missing)) == repr(evaluate(slow, record, missing)), (source, record)


def make_choice(rng: random.Random) -> str:
    count = rng.choice([3, 4, 6, 20])
    tests = [rng.choice(TESTS) for _ in range(count)]
    if rng.random() < 0.4:
        tests.insert(rng.randrange(len(tests) + 1), rng.choice(OTHER_TESTS))
    results = [rng.choice(CONSTANTS if rng.random() < 0.5 else RESULTS) for _ in range(len(tests) + 1)]
    if rng.random() < 0.4:
        results = [rng.choice(CONSTANTS) for _ in results]
    clauses = list(zip(tests, results, strict=False))
    if rng.random() < 0.5:
        return f"match {{ {', '.join(f'{test} => {result}' for test, result in clauses)}, default => {results[-1]} }}"
    return "".join(f"({test}) ? ({result}) : " for test, result in clauses) + f"({results[-1]})"


@pytest.mark.parametrize("seed", range(60))
def test_a_generated_choice_agrees_with_the_form_without_tables(seed: int) -> None:
    rng = random.Random(seed)
    records = [{}, *({"x": value, "y": rng.choice(VALUES)} for value in VALUES), {"x": "a"}, {"y": 1}]
    for _ in range(4):
        assert_both_forms_agree(make_choice(rng), records)


def show_code(source: str) -> str:
    return python_source(stellar.compile(source).tree, LIBRARY, source)


CHAIN = "match { x == 'a' => 1, x == 'b' => 2, x == 'c' => 3, x == 'd' => 4, default => 5 }"


def test_a_choice_with_constant_results_is_one_look_up() -> None:
    assert "look_up1(v_x, 5) if" in show_code(CHAIN)


def test_a_choice_with_other_results_selects_one_of_them() -> None:
    code = show_code(CHAIN.replace("3", "y"))
    assert "look_up1(v_x, 4) if" in code
    assert "t2 < 3" in code


def test_a_short_choice_is_a_chain() -> None:
    assert "look_up" not in show_code("match { x == 'a' => 1, x == 'b' => 2, x == 'c' => 3, default => 5 }")


def test_a_choice_looks_up_what_it_begins_with() -> None:
    others = "x > 'x' => 6, y == 'a' => 7, default"
    assert "look_up1(v_x, 4)" in show_code(CHAIN.replace("default", others))
    assert "look_up" not in show_code(CHAIN.replace("{", "{ y == 'a' => 0, ", 1).replace("x == 'b'", "z == 'b'"))


def test_nested_choices_do_not_multiply_code() -> None:
    source = "5"
    for _ in range(12):
        source = CHAIN.replace("default => 5", f"default => ({source})").replace("=> 2", "=> y")
    assert len(show_code(source)) < 20_000


def test_of_equal_values_the_first_clause_counts() -> None:
    source = "match { x == 1 => 'a', x in [1, 2] => 'b', x == 2 => 'c', x == 3 or x == null => 'd', default => 'e' }"
    assert [stellar.evaluate(source, {"x": value}) for value in (1, 2, 2.0, 3, None, "1")] == list("abcdde")


# -- Constants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("['a', 1, -2, 1 + 1, null]", ["a", 1, -2, 2, None]),
        ("[]", []),
        ("{'a' : 1, 'a' : 2, 1 : true}", {"a": 1, 1: True}),
        ("{}", {}),
        ("['a', x]", None),
        ("[['a']]", None),
        ("{'a' : x}", None),
        ("{x : 1}", None),
        ("[1 / 0]", None),
        ("'a'", None),
    ],
)
def test_a_collection_of_constants_is_known_when_compiled(source: str, value: Any) -> None:
    assert repr(constant_collection(stellar.compile(source).tree)) == repr(value)


@pytest.mark.parametrize(
    ("source", "is_constant"),
    [
        ("MAP_GET(x, {'a' : 1})", True),
        ("MAP_GET('a', x, ['b'])", False),
        ("LENGTH(['a'])", True),
        ("x in ['a', 1]", True),
        ("x not in {'a' : 1}", True),
        ("x in ['a']", True),
        ("MAP([1, 2], y -> x + y)", True),
        ("MAP([1, x], y -> y)", False),
        ("GET([1, 2], x)", True),
        ("LIST_ADD([1], x)", False),
        ("MAP_MERGE([{'a' : 1}])", False),
        ("TO_JSON_LIST(['a'])", False),
        ("[1, 2]", False),
    ],
)
def test_a_constant_is_created_once_where_it_is_borrowed(source: str, is_constant: bool) -> None:
    assert ("constant" in show_code(source)) is is_constant


CONSTANT_SOURCES = [
    "MAP_GET(x, {'a' : 1, 1 : 2, 'a' : 3, 1.5 : null, null : 5})",
    "MAP_GET('b', y, ['d'])",
    "LIST_ADD(MAP_GET('b', y, ['d']), 1)",
    "x in ['a', 1, null]",
    "x not in ['a', 1.0]",
    "x in {'a' : 1, 1 : 2}",
    "x in [1, 2]",
    "x in []",
    "MAP(['a', 'b'], e -> [e, x])",
    "MAP(FILTER([1, 2, 3], e -> e > x), e -> e + 1)",
    "REDUCE([1, 2], (s, e) -> LIST_ADD(s, e), [])",
    "GET(['a', 'b'], x)",
    "MAP_EXISTS(x, {'a' : 1})",
    "JOIN(['a', 1, null], x)",
    "FORMAT('%s %s', ['a'], x)",
    "ZIP(['a'], [x])",
]


@pytest.mark.parametrize("source", CONSTANT_SOURCES)
def test_an_expression_with_constants_agrees_with_the_form_without(source: str) -> None:
    records = [{"x": x, "y": y} for x in VALUES for y in (None, {}, {"b": "e"})]
    assert_both_forms_agree(source, records)


@pytest.mark.parametrize("source", CONSTANT_SOURCES)
def test_a_caller_that_changes_a_result_does_not_change_the_next(source: str) -> None:
    expression = stellar.compile(source)
    for x in ("a", 1, 0):
        first = evaluate(expression, {"x": x})
        before = repr(first)
        if isinstance(first, list):
            first.append("changed")
        elif isinstance(first, dict):
            first["changed"] = True
        assert repr(evaluate(expression, {"x": x})) == before
