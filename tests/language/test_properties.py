"""Property tests: any source and record give a value or a StellarError, the same with and without inlining."""

from __future__ import annotations

import json
import math
import pickle
import random
import re
from collections import UserDict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stellar.functions import LIBRARY
from stellar.language import nodes as n
from stellar.language.errors import EvaluationError, StellarError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.language.parser import parse
from stellar.language.runtime import same

bounded = settings(
    max_examples=200, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow], print_blob=False
)

LEAKS = (
    TypeError,
    OverflowError,
    AttributeError,
    KeyError,
    IndexError,
    UnboundLocalError,
    NameError,
    AssertionError,
    SystemError,
)

# -- Records ----------------------------------------------------------------------------------------------------------


class Level(IntEnum):
    LOW = 1


class Odd:
    """An object without a hash that equals itself only."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


ODD = [
    2**63,
    -(2**64),
    2**4096 - 1,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
    -0.0,
    5e-324,
    1e308,
    2**53 + 1,
    "\ud800",
    "\x00",
    b"\xff",
    {1},
    {True},
    frozenset({1.0}),
    (1, 2),
    [[]],
    [[1], {"a": [None]}],
    {1: 2},
    {None: None},
    {(1, 2): 3},
    UserDict({"a": 1}),
    Level.LOW,
    Decimal(1),
    Fraction(1, 2),
    1j,
    datetime(2020, 1, 1, tzinfo=UTC),
    timedelta(1),
    Odd(),
    object(),
    len,
    range(3),
    iter([1]),
    lambda *_: True,
]
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2).map(lambda number: round(number, 1)),
    st.sampled_from(["", "a", "abc", "1", "true", "no", "é"]),
)
values = st.one_of(
    plain,
    st.lists(plain, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b"]), plain, max_size=2),
    st.sampled_from(ODD),
)
NAMES = ["x", "y", "s", "l", "m", "in.x", "$a", "e1", "f"]
records = st.dictionaries(st.sampled_from(NAMES), values, max_size=len(NAMES))

# -- Sources ----------------------------------------------------------------------------------------------------------

LITERALS = """1 0 -1 2 5L 1.5 0.0 -0.0 2f 1e400 NaN 9007199254740993 'a' '' "true" 'abc' true false null [] {} [1,2]
    ['a','b'] [1.0] [true] {'a':1} {1:2}"""
# Each @ is replaced by an expression
TEMPLATES = """
    @ + @;  @ - @;  @ * @;  @ / @;  (@) + (@);  (@) * (@) / (@);  -(@);  x + y - @;  (@) + 1.5;  2 * (@);  @ / 2
    (@) == (@);  (@) != (@);  (@) < (@);  (@) >= (@);  @ == @;  @ > 1;  1 <= @;  @ == 'a';  @ != null;  @ == 1;  @ < 2.5
    @ in @;  (@) not in (@);  (@) in ['a', 'b'];  (@) in [1, 2];  x == y and (@) + x > y;  exists(x) and (@)
    (@) and (@);  (@) or (@);  (@) and (@) and (@);  (@) or (@) or (@);  not(@);  not @;  @ and @ or @
    (@) ? (@) : (@);  if @ then @ else @;  match { @ => @, default => @ };  match { @ => x -> @, @ => @, default => @ }
    [@, @];  {'a' : @, @ : @};  {'a' : @};  (@);  x -> @;  () -> @
    MAP(@, x -> @);  FILTER(@, x -> @);  REDUCE(@, (x, y) -> @, @);  MAP([@, @], y -> @)
    FILTER(MAP(@, x -> @), y -> @);  MAP(l, x -> MAP(l, y -> @));  REDUCE([@, @], (f, y) -> f + (@), 0)
    TO_STRING(@);  GET_FIRST(@);  MAP_GET('a', @);  LENGTH(@);  JOIN(@, ',');  SPLIT(@, 'a', @);  TO_UPPER(@)
"""
literals = st.sampled_from(LITERALS.split())
names = st.sampled_from([*NAMES, "missing", "_"])


def fill_templates(inner: Any) -> Any:
    """Return a strategy for templates filled with expressions."""

    def fill(template: str) -> Any:
        pieces = template.split("@")
        fillings = st.lists(inner, min_size=len(pieces) - 1, max_size=len(pieces) - 1)
        return fillings.map(lambda values: "".join(map(str.__add__, pieces, [*values, ""])))

    return st.sampled_from(re.split(r";\s+|\n\s+", TEMPLATES.strip())).flatmap(fill)


expressions = st.recursive(st.one_of(literals, names, names), fill_templates, max_leaves=8)

SEEDS = [
    json.loads(line)["expr"]
    for line in random.Random(7).sample(
        (Path(__file__).parent.parent / "conformance/data/language.jsonl").read_text().splitlines(), 400
    )
]
SIGNS = "()[]{},:?=!<>+-*/'\"\\_ \t\n.0123456789abxLe->$é//%"


@st.composite
def mutate(draw: Any) -> str:
    """Return an expression of the conformance cases, with pieces removed, repeated or replaced."""
    source = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(source)))
        end = min(len(source), start + draw(st.integers(0, 6)))
        put = draw(st.one_of(st.just(""), st.text(SIGNS, max_size=3), st.just(source[start:end] * 2)))
        source = source[:start] + put + source[end:]
    return source


sources = st.one_of(st.text(max_size=30), st.text(SIGNS, max_size=30), expressions, mutate())

# -- Properties --------------------------------------------------------------------------------------------------------


def compile_source(source: str, **options: Any) -> Expression | None:
    try:
        return Expression(source, LIBRARY, **options)
    except StellarError as error:
        failure = error
    assert str(failure).startswith(failure.message)
    assert 0 <= failure.span.start <= failure.span.end <= len(source)
    return None


def outcome(expression: Expression, record: dict[str, Any]) -> tuple[Any, ...]:
    """Return the value, or the message and span of the error."""
    try:
        return (expression(record),)
    except EvaluationError as error:
        failure = error
    assert str(failure).startswith(failure.message)
    assert not isinstance(failure.__cause__, LEAKS), repr(failure.__cause__)
    return failure.message, failure.span


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return True
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return alike(list(one), list(other)) and alike(list(one.values()), list(other.values()))
    return one is other or (one.__class__ is other.__class__ and same(one, other))


@bounded
@given(source=sources, record=records)
@example(source="'\ud800' + 1", record={})
@example(source="\x00", record={})
def test_any_source_and_record_give_a_value_or_a_stellar_error(source, record):
    expression = compile_source(source)
    if expression is not None:
        outcome(expression, record)


@settings(bounded, max_examples=400)
@given(source=expressions, record=records)
def test_inline_operations_and_helpers_agree(source, record):
    fast, slow = compile_source(source), compile_source(source, fast=False)
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        record.pop("f", None)
        one, other = outcome(fast, record), outcome(slow, record)
        # MAP of FILTER is one loop when inline, so if both fail, another one of the two errors may be raised first
        either = len(one) == len(other) == 2 and "FILTER(" in source
        assert either or alike(list(one), list(other)), (one, other)


@bounded
@given(source=expressions, record=records)
def test_a_predicate_returns_true_false_null_or_an_error(source, record):
    expression = compile_source(source, predicate=True)
    if expression is not None:
        result = outcome(expression, record)
        assert len(result) == 2 or result[0] in (True, False, None)


@bounded
@given(source=sources, record=records)
def test_an_evaluation_does_not_change_the_record(source, record):
    before = dict(record)
    expression = compile_source(source)
    if expression is not None:
        outcome(expression, record)
        assert list(record) == list(before)
        assert all(record[name] is before[name] for name in record)


@bounded
@given(source=expressions)
def test_an_expression_reads_only_its_variables(source):
    class Watched(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
            read.add(name)
            return default

    read: set[str] = set()
    expression = compile_source(source)
    if expression is not None:
        outcome(expression, Watched())
        assert read <= expression.variables


@bounded
@given(source=sources)
def test_spans_match_the_source(source):
    try:
        tree = parse(source)
    except StellarError:
        return
    for node in n.walk(tree):
        assert 0 <= node.span.start < node.span.end <= len(source)
        for child in n.children(node):
            assert node.span.start <= child.span.start
            assert child.span.end <= node.span.end
        if isinstance(node, n.Call | n.Variable):
            assert source.startswith(node.name, node.span.start)


@bounded
@given(source=expressions, record=records)
def test_a_pickled_expression_returns_the_same_values(source, record):
    expression = compile_source(source)
    if expression is not None:
        again = pickle.loads(pickle.dumps(expression))
        assert (again.source, again.variables, again.functions) == (source, expression.variables, expression.functions)
        record.pop("f", None)
        assert alike(list(outcome(expression, record)), list(outcome(again, record)))


@bounded
@given(source=expressions, record=records)
def test_a_strict_evaluation_without_missing_fields_returns_the_same(source, record):
    expression = compile_source(source)
    if expression is None:
        return
    record = {**dict.fromkeys([*NAMES, "missing"]), **record, "f": None}
    try:
        strict: tuple[Any, ...] = (expression.evaluate(record, missing="error"),)
    except EvaluationError as error:
        strict = error.message, error.span
    assert alike(list(strict), list(outcome(expression, record)))


ODD_CASES = """x + 1, -x, x == y, x < 1, x < y, x in y, y in x, not(x), x and true, x ? 1 : 2, x in ['a'], x in [1],
    x == 1, x == 'a', {x : 1}, {x : 1,1 : 2}, x in {x : 1}, [x] == [y], MAP(x,v -> v), match { true => x,default => 1 },
    TO_STRING(x), x - y * x, x or false, exists(x), _"""


@cache
def both(template: str) -> tuple[Expression, Expression]:
    return Expression(template, LIBRARY), Expression(template, LIBRARY, fast=False)


@pytest.mark.parametrize("value", ODD, ids=lambda value: f"{type(value).__name__} {value!r:.20}")
@pytest.mark.parametrize("template", re.split(r",\s+", ODD_CASES))
def test_an_odd_value_is_accepted_or_rejected(template, value):
    for expression in both(template):
        for y in (None, 1, "a", [1], {"a": 1}, value):
            outcome(expression, {"x": value, "y": y})


def test_an_expression_is_pickled_with_its_options():
    for options in ({"predicate": True}, {"unknown_functions": "when_reached"}):
        expression = Expression("true or NOSUCH()" if "unknown_functions" in options else "x", LIBRARY, **options)
        again = pickle.loads(pickle.dumps(expression))
        assert (again.predicate, again.unknown_functions) == (expression.predicate, expression.unknown_functions)
        assert again({"x": True}) is True


def test_an_expression_whose_library_has_no_name_cannot_be_pickled():
    with pytest.raises(TypeError, match="has no name"):
        pickle.dumps(Expression("1", Library()))
