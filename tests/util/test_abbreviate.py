"""Tests of shortening: a message about any value is short, cheap and never fails."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from stellar.functions import LIBRARY
from stellar.language.errors import EvaluationError
from stellar.language.expression import MAX_MESSAGE, MAX_VALUES, Expression
from stellar.language.library import Library, stellar
from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import describe
from stellar.util.abbreviate import LONGEST, abbreviate_value


class Hostile:
    """An object whose methods fail."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__


class HostileMap(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("getitem")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Level(int):
    def __repr__(self) -> str:
        raise RuntimeError("repr")


SHARED: list[Any] = ["x"]
for _ in range(60):
    SHARED = [SHARED, SHARED]
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
CYCLIC: list[Any] = []
CYCLIC.append(CYCLIC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (12, "12"),
        (-1.5, "-1.5"),
        ("it's", '"it\'s"'),
        (b"\xff", "b'\\xff'"),
        ([1, None, [True]], "[1, null, [true]]"),
        ((1, 2), "[1, 2]"),
        ({"a": 1, "b": "c"}, "{'a' : 1, 'b' : 'c'}"),
        ({}, "{}"),
        (OrderedSet(["b", "a"]), "{'b', 'a'}"),
        (frozenset({1}), "{1}"),
        (lambda: 1, "a lambda"),
        (2**200, "an integer of 201 bits"),
        (Level(3), "3"),
        (Decimal("1.50"), "Decimal('1.50')"),
        (Fraction(1, 2), "Fraction(1, 2)"),
        (UUID(int=1), "UUID('00000000-0000-0000-0000-0000000..."),
        (date(2020, 1, 2), "datetime.date(2020, 1, 2)"),
        (np.int64(7), "np.int64(7)"),
        (np.arange(3), "an object of type ndarray"),
        (Fraction(10**5000, 3), "an object of type Fraction"),
        (Hostile(), "an object of type Hostile"),
        (HostileMap(), "{an object of type HostileMap"),
        (type("N" * 100, (), {})(), "an object of type NNNNNNNNNNNNNNNNNNN..."),
    ],
    ids=lambda value: type(value).__name__[:20],
)
def test_a_value_is_written_as_in_an_expression(value, written):
    assert abbreviate_value(value).startswith(written)


@pytest.mark.parametrize(
    "value",
    ["é" * 50_000_000, b"a" * 50_000_000, [0] * 5_000_000, SHARED, DEEP, CYCLIC, 1 << 100_000_000, [DEEP] * 3],
    ids=["string", "bytes", "list", "shared", "deep", "cyclic", "integer", "list of deep"],
)
def test_the_cost_does_not_depend_on_the_size(value):
    tracemalloc.start()
    try:
        described = describe(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(described) <= LONGEST + len("the integer ")
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "value",
    [SHARED, DEEP, CYCLIC, "a" * 1_000_000, Hostile(), HostileMap(), {1: Hostile()}],
    ids=["shared", "deep", "cyclic", "string", "object", "map", "map of objects"],
)
def test_an_error_about_any_value_is_short(value):
    with pytest.raises(EvaluationError) as caught:
        Expression("x + y", LIBRARY)({"x": value, "y": value})
    assert len(str(caught.value)) < 300


LONG = "(" + "é" * 2_000_000
CALLS = """HASH('a', s); HASH('a', 'MD5', {'charset' : s}); FUZZY_SCORE('a', 'b', s); IN_SUBNET(s, '10.0.0.0/8')
    IN_SUBNET('10.0.0.1', s); TO_JSON_OBJECT(s); TO_JSON_OBJECT(JOIN(['1', s], '')); FORMAT(JOIN(['%', s], ''), 1)
    ENCODE('a', s); DECODE('a', s);  REGEXP_MATCH('a', s)
    REGEXP_REPLACE('a', 'a', JOIN(['${', s, '}'], '')); GEOHASH_TO_LATLONG(s); TLSH_DIST(s, 'a');
    DATE_FORMAT(JOIN(["'", s], ''), 1); s + 1; s < 1; s ? 1 : 2; GET([1], s)"""


@pytest.mark.parametrize("source", [call.strip() for call in CALLS.replace("\n", ";").split(";") if call.strip()])
def test_a_message_about_a_long_string_is_short(source):
    with pytest.raises(EvaluationError) as caught:
        Expression(source, LIBRARY)({"s": LONG})
    assert len(str(caught.value)) < 600


def test_a_long_message_of_a_function_is_shortened():
    @stellar("FAIL")
    def fail(input_: str) -> str:
        raise ValueError(f"invalid {input_}")

    with pytest.raises(EvaluationError) as caught:
        Expression("FAIL(s)", Library.of(fail))({"s": "a" * 1_000_000})
    assert len(caught.value.message) == MAX_MESSAGE


def test_an_error_shows_the_first_variables():
    names = [f"v{number}" for number in range(MAX_VALUES + 1)]
    with pytest.raises(EvaluationError) as caught:
        Expression(f"'a' + LENGTH([{', '.join(names)}])", LIBRARY)({})
    assert caught.value.hint == ", ".join([*(f"{name} is missing" for name in names[:-1]), "..."])
