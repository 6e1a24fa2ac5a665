"""Tests of the limits of values that an expression builds, compares and converts; errors name the limit."""

from __future__ import annotations

import pickle
from collections import UserDict
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stellar
from stellar import EvaluationLimits
from stellar.language import limits
from stellar.language.errors import EvaluationError
from stellar.language.library import SettingError
from stellar.language.limits import FEW_CHARACTERS, FEW_ITEMS, LimitExceeded, check_string, measure
from stellar.language.ordered_set import OrderedSet
from stellar.language.tagged_json import encode, serialize, to_json
from stellar.util.settings import declared

CHARACTERS = EvaluationLimits().characters


def share(levels: int) -> list[Any]:
    """Return a list that contains another one twice, which contains a third one twice, and so on."""
    shared: list[Any] = ["x"]
    for _ in range(levels):
        shared = [shared, shared]
    return shared


def nest(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels - 1):
        nested = [nested]
    return nested


CYCLIC: list[Any] = []
CYCLIC.append(CYCLIC)
RECORD = {
    "shared": share(60),
    "equal": share(60),
    "deep": nest(100_000),
    "cyclic": CYCLIC,
    "other": [[], [[]]],
    "text": "x" * CHARACTERS,
    "longer": "x" * (CHARACTERS + 1),
    "number": 1,
    "steps": list(range(200)),
    "forty": list(range(40)),
    "items": [0] * 2**20,
}
RECORD["cyclic map"] = {"self": RECORD["cyclic"]}

# By the limit: expressions, and the functions or operators that their errors name
EXCEEDED = {
    "items": {
        "TO_STRING(shared)": "TO_STRING",
        "TO_UPPER(shared)": "TO_UPPER",
        "shared == equal": "==",
        "shared != equal": "!=",
        "{'a' : shared} == {'a' : equal}": "==",
        "shared in [equal]": "in",
        "shared not in [equal]": "in",
        "shared in {equal : 1}": "key of a map",
        "{shared : 1}": "key of a map",
        "MAP_GET(shared, {'a' : 1})": "MAP_GET",
        "MAP_PUT(shared, 1, {})": "MAP_PUT",
        "SET_INIT([shared])": "SET_INIT",
        "SET_INIT([other, shared])": "SET_INIT",
        "SET_ADD(null, shared)": "SET_ADD",
        "SET_MERGE([items, items])": "SET_MERGE",
        "MULTISET_INIT([shared])": "MULTISET_INIT",
        "MULTISET_ADD(null, shared)": "MULTISET_ADD",
        "MAP_MERGE(MAP(items, x -> {'a' : 1, 'b' : 2}))": "MAP_MERGE",
        "MULTISET_MERGE(MAP(items, x -> {'a' : 1, 'b' : 2}))": "MULTISET_MERGE",
        "HASH(shared, 'MD5')": "HASH",
        "JOIN(shared, ',')": "JOIN",
        "JOIN([number, shared], ',')": "JOIN",
        "FORMAT('%s', shared)": "FORMAT",
        "FORMAT('%h', shared)": "FORMAT",
        "SPLIT(text, 'x')": "SPLIT",
        "ZIP(items, items)": "ZIP",
        "ZIP_LONGEST(items, [])": "ZIP_LONGEST",
        "MAP(text, x -> 1)": "MAP",
        "FILTER(text, x -> true)": "FILTER",
        "REDUCE(text, (a, b) -> 1, 1)": "REDUCE",
        "REDUCE(forty, (a, b) -> [a, a], [])": "REDUCE",
        "MAP(forty, a -> MAP(forty, b -> MAP(forty, c -> MAP(forty, d -> d == 1))))": "MAP",
        "FILTER(steps, a -> LENGTH(FILTER(steps, b -> REDUCE(steps, (c, d) -> d, 1) == 0)) == 1)": "REDUCE",
        "REDUCE(steps, (a, b) -> LENGTH(MAP([1, 2, number], x -> MAP(text, c -> 1))), 1)": "MAP",
        "MAP(FILTER(steps, a -> LENGTH(FILTER(items, b -> b > 1)) == 0), a -> 1)": "FILTER",
        "TO_JSON_OBJECT(JOIN(['[', JOIN(MAP(items, x -> ','), ''), ']'], ''))": "TO_JSON_OBJECT",
    },
    "levels": {
        "TO_STRING(deep)": "TO_STRING",
        "TO_STRING(cyclic)": "TO_STRING",
        "deep == [deep]": "==",
        "cyclic == [cyclic]": "==",
        "deep in [other]": "in",
        "{deep : 1}": "key of a map",
        "HASH(deep, 'SHA-256')": "HASH",
        "FORMAT('%h', deep)": "FORMAT",
        "REDUCE(steps, (a, b) -> [a], [])": "REDUCE",
        "REDUCE([1, 2], (a, b) -> LIST_ADD(a, a), [])": "REDUCE",
        "LENGTH(REDUCE(steps, (a, b) -> {'a' : a}, {}))": "REDUCE",
    },
    "characters": {
        "JOIN([text, 'x'], '')": "JOIN",
        "JOIN(MAP(items, x -> text), '')": "JOIN",
        "JOIN([1, text], '')": "JOIN",
        "JOIN(['', ''], longer)": "JOIN",
        "FORMAT('%s%s', text, number)": "FORMAT",
        "FORMAT('%s%s', text, 'x')": "FORMAT",
        "FORMAT('%s%s%s', text, text, text)": "FORMAT",
        "FORMAT('%1$s%1$s', text)": "FORMAT",
        f"FORMAT('{'%999999d' * 20}', {', '.join(['number'] * 20)})": "FORMAT",
        "FILL_LEFT('x', ' ', 16777217)": "FILL_LEFT",
        "FILL_RIGHT('x', ' ', 16777217)": "FILL_RIGHT",
        "APPEND_IF_MISSING(text, 'y')": "APPEND_IF_MISSING",
        "PREPEND_IF_MISSING(text, 'y')": "PREPEND_IF_MISSING",
        "REGEXP_REPLACE(text, 'x', 'yy')": "REGEXP_REPLACE",
        "REGEXP_REPLACE(text, 'x+', '$0$0')": "REGEXP_REPLACE",
        "REGEXP_REPLACE('xx', 'x', text)": "REGEXP_REPLACE",
        "ENCODE(text, 'HEX')": "ENCODE",
        "ENCODE(text, JOIN(['BIN', 'ARY'], ''))": "ENCODE",
        "TO_STRING([text, 'x'])": "TO_STRING",
        "[[text], [text, 'x']] == []": "==",
        "HASH([text, 'x'], 'MD5')": "HASH",
        "REDUCE(steps, (a, b) -> JOIN([a, a], ''), 'x')": "JOIN",
        "REDUCE(steps, (a, b) -> APPEND_IF_MISSING(a, FORMAT('%sx', a)), 'x')": "APPEND_IF_MISSING",
    },
}
LIMITS = {"items": "1,048,576 items", "levels": "64 levels", "characters": "16,777,216 characters"}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("source", "name", "limit"),
    [(source, name, limit) for limit, sources in EXCEEDED.items() for source, name in sources.items()],
)
def test_an_error_names_the_function_the_limit_and_the_setting(source, name, limit, fast):
    with pytest.raises(EvaluationError) as caught:
        stellar.Expression(source, stellar.LIBRARY, fast=fast)(RECORD)
    expected = f"{name}: more than {LIMITS[limit]}, the limit that stellar.limits.{limit} sets"
    assert caught.value.message == expected


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("LENGTH(JOIN([text], ''))", CHARACTERS),
        ("LENGTH(FORMAT('%s', text))", CHARACTERS),
        ("LENGTH(FILL_LEFT('x', ' ', 16777216))", CHARACTERS),
        ("LENGTH(REGEXP_REPLACE(text, 'x', 'y'))", CHARACTERS),
        ("LENGTH(TO_STRING(longer))", CHARACTERS + 1),
        ("LENGTH(TO_UPPER(longer))", CHARACTERS + 1),
        ("longer == text", False),
        ("LENGTH(SET_INIT(items))", 1),
        ("items == MAP(items, x -> x)", True),
        ("shared == shared", True),
        ("cyclic == cyclic", True),
        ("deep == 1", False),
        ("1 in [deep, shared, 1]", True),
        ("'x' in shared", False),
        ("GET_FIRST(cyclic) == cyclic", True),
        ("LENGTH(deep)", 1),
    ],
)
def test_a_value_within_the_limits_or_only_passed_through_is_no_error(source, value):
    assert stellar.evaluate(source, RECORD) == value


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "source",
    [
        "MAP(steps, a -> LENGTH(MAP(steps, b -> MAP(['x', 'y'], c -> b == a))))",
        "[MAP(nothing, a -> MAP(a, b -> 1)), MAP(forty, a -> MAP(nothing, b -> 1))]",
        "MAP([1000, 2], a -> LENGTH(MAP(items, b -> b)))",
        "MAP([MAP(items, a -> LENGTH([a])), MAP(items, a -> LENGTH([a]))], a -> LENGTH(MAP([a], b -> b)))",
    ],
)
def test_loops_in_a_loop_may_read_as_many_elements_as_a_value_may_have_items(source, fast):
    record = {**RECORD, "items": [0] * (2**20 // 2 - 1)}
    assert stellar.Expression(source, stellar.LIBRARY, fast=fast)(record) is not None


def test_sixty_four_levels_are_within_the_limit():
    assert stellar.evaluate("x == y", {"x": nest(64), "y": nest(64)})
    assert stellar.evaluate("TO_STRING(x)", {"x": nest(64)}) == "[" * 64 + "]" * 64
    assert stellar.evaluate("LENGTH(HASH(x, 'MD5'))", {"x": nest(64)}) == 32
    with pytest.raises(EvaluationError, match="more than 64 levels"):
        stellar.evaluate("TO_STRING(x)", {"x": nest(65)})


def test_an_expression_has_limits_of_its_own():
    limits = EvaluationLimits(levels=2, items=FEW_ITEMS, characters=FEW_CHARACTERS)
    shallow = stellar.compile("TO_STRING(x)", limits=limits)
    assert shallow({"x": [[1]]}) == "[[1]]"
    with pytest.raises(EvaluationError, match=r"^TO_STRING: more than 2 levels"):
        shallow({"x": [[[1]]]})
    with pytest.raises(EvaluationError, match=r"more than 1,024 items"):
        shallow({"x": [0] * 1025})
    with pytest.raises(EvaluationError, match=r"more than 65,536 characters"):
        shallow({"x": [0, "x" * 65_536]})
    with pytest.raises(EvaluationError, match=r"more than 2 levels"):
        shallow.evaluate({"x": [[[1]]]}, missing="error")
    with pytest.raises(EvaluationError, match=r"more than 2 levels"):
        pickle.loads(pickle.dumps(shallow))({"x": [[[1]]]})
    assert stellar.evaluate("TO_STRING(x)", {"x": [[[1]]]}) == "[[[1]]]"
    with pytest.raises(EvaluationError, match=r"more than 2 levels"):
        stellar.evaluate("TO_STRING(x)", {"x": [[[1]]]}, limits=limits)


def test_limits_are_read_from_the_global_configuration():
    assert EvaluationLimits.of({}) == EvaluationLimits()
    assert EvaluationLimits.of({"stellar.limits.levels": "8", "es.ip": "node1"}) == EvaluationLimits(levels=8)
    with pytest.raises(ValueError, match=r"invalid stellar\.limits\.items: expected an integer from 1,024 to"):
        EvaluationLimits.of({"stellar.limits.items": 5})


def test_a_configured_library_has_the_limits_of_the_global_configuration():
    library = stellar.LIBRARY.configured({"stellar.limits.levels": 2})
    expression = stellar.compile("TO_STRING(x)", library=library)
    for each in (expression, pickle.loads(pickle.dumps(expression))):
        with pytest.raises(EvaluationError, match="more than 2 levels"):
            each({"x": [[[1]]]})
    assert library.restricted(["TO_.*"]).limits == library.limits
    assert stellar.evaluate("TO_STRING(x)", {"x": [[[1]]]}, library=library, limits=EvaluationLimits()) == "[[[1]]]"
    with pytest.raises(SettingError) as caught:
        stellar.LIBRARY.configured({"stellar.limits.levels": 1000})
    assert caught.value.key == "stellar.limits.levels"
    assert caught.value.message == "expected an integer from 1 to 200, got 1000"


def test_each_limit_is_a_setting():
    assert [*declared(EvaluationLimits)] == [f"stellar.limits.{name}" for name in ("characters", "items", "levels")]


class Text(str):
    __slots__ = ()


class Opaque:
    pass


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (None, 0),
        ("text", 0),
        (b"bytes", 0),
        (Opaque(), 0),
        ([], 0),
        ([1, "a", b"b", 2**100, Text("c"), Opaque()], 6),
        ([[1, 2], [3]], 5),
        ((1, {2, 3}), 4),
        (OrderedSet(["a", "b"]), 2),
        (frozenset({"a"}), 1),
        ({"a": [1, 2], "b": 3}, 4),
        (UserDict({"a": [1]}), 2),
        (list(range(100)), 100),
    ],
)
def test_items_are_counted_as_often_as_they_occur(value, items):
    assert measure(value) == items


SHARED_PARTS = st.recursive(
    st.one_of(st.integers(), st.text(max_size=3), st.binary(max_size=3), st.just(2**200), st.just(Text("c"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        inner.map(lambda x: [x, x]),
    ),
    max_leaves=8,
)


@given(value=SHARED_PARTS, items=st.integers(1, 60), levels=st.integers(1, 6), characters=st.integers(1, 200))
def test_values_of_many_lists_have_the_same_size_and_limits(value, items, levels, characters):
    few = SimpleNamespace(items=items, levels=levels, characters=characters)
    by_reading = _measure_or_limit(limits._measure, value, few)
    by_sharing = _measure_or_limit(limits._measure_shared, value, few)
    # A value may exceed several limits, of which another one can be found first
    assert by_sharing == by_reading or isinstance(by_sharing, str) is isinstance(by_reading, str) is True


def _measure_or_limit(measure, value, few):
    try:
        return measure(value, few)
    except LimitExceeded as error:
        return str(error)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ([nest(3), nest(5)], "levels"),
        ([["a" * 11]], "characters"),
        ([[1] * 11], "items"),
        ([[1] * 5, [1] * 5], "items"),
    ],
)
def test_a_value_of_many_lists_exceeds_each_limit(value, limit):
    with pytest.raises(LimitExceeded, match=limit):
        limits._measure_shared(value, SimpleNamespace(items=10, levels=4, characters=10))


def test_a_list_that_occurs_again_counts_with_the_levels_there():
    shared = nest(3)
    few = SimpleNamespace(items=100, levels=4, characters=100)
    assert limits._measure_shared([shared, shared], few) == 6
    with pytest.raises(LimitExceeded, match="levels"):
        limits._measure_shared([shared, [[shared]]], few)


def test_work_on_shared_values_is_bounded_by_their_lists():
    reads = 0

    class Counted(list[Any]):
        def __iter__(self):
            nonlocal reads
            reads += 1
            return super().__iter__()

    shared: Any = Counted(["x"])
    for _ in range(18):
        shared = Counted([shared, shared])
    assert measure(shared) == 2**19 - 2 + 2**18
    assert reads < 2 * limits._FEW_CONTAINERS


def test_a_value_that_shares_its_keys_exceeds_a_limit_soon():
    source = "REDUCE(forty, (x, y) -> MAP_PUT(x, x, {}), 1)"
    with pytest.raises(EvaluationError, match=r"^MAP_PUT: more than 1,048,576 items"):
        stellar.evaluate(source, RECORD)


@pytest.mark.parametrize(
    "item", ["x" * 400_000, b"x" * 400_000, 2**1_400_000, Text("x" * 400_000)], ids=["str", "bytes", "int", "subclass"]
)
def test_the_characters_of_all_strings_and_numbers_count(item):
    assert measure([[item] * 38]) == 39
    with pytest.raises(LimitExceeded, match="characters"):
        measure([[item] * 43])


def test_a_long_string_is_returned_if_it_is_within_the_limit():
    assert check_string("x" * CHARACTERS) == "x" * CHARACTERS
    with pytest.raises(LimitExceeded):
        check_string("x" * (CHARACTERS + 1))


@pytest.mark.parametrize("write", [encode, serialize, to_json])
def test_json_of_a_value_is_limited(write):
    for value in (RECORD["shared"], RECORD["cyclic"], RECORD["deep"]):
        with pytest.raises(LimitExceeded):
            write(value)


def test_without_columns_the_error_names_the_limit_only(monkeypatch):
    monkeypatch.setattr("stellar.language.expression._span", lambda *_: None)
    with pytest.raises(EvaluationError) as caught:
        stellar.evaluate("[TO_STRING(deep)]", RECORD)
    assert caught.value.message == "more than 64 levels, the limit that stellar.limits.levels sets"


def test_an_exceeded_limit_is_explained_without_parsing_the_source_again(monkeypatch):
    expression = stellar.compile("JOIN(l, '')")
    monkeypatch.setattr("stellar.language.parser.parse", None)
    with pytest.raises(EvaluationError, match="JOIN: more than"):
        expression({"l": ["a" * 2**20] * 17})
