"""JSONPath as Jayway's library reads it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.java.json_path import JsonPathError, compile_json_path

STORE: dict[str, Any] = {
    "books": [
        {"title": "A", "price": 5, "tags": ["x", "y"], "isbn": "1"},
        {"title": "B", "price": "12", "tags": [], "isbn": None},
        {"title": "C", "price": 20.5, "author": {"name": "N"}},
    ],
    "limit": 10,
    "@type": "shop",
    "a b": 1,
    "owner": {"name": "O", "price": 7},
    "empty": [],
}


def find(path: str, value: Any = STORE) -> Any:
    return compile_json_path(path).find(value)


def titles(path: str) -> list[str]:
    return [each["title"] for each in find(path)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", STORE),
        ("$.limit", 10),
        ("limit", 10),
        ("@.limit", 10),
        ("$['limit']", 10),
        ('$["limit"]', 10),
        ("$.['limit']", 10),
        ("$['a b']", 1),
        ("$.@type", "shop"),
        ("$.books[0].title", "A"),
        ("$.books[-1].title", "C"),
        ("$.books[ 1 ]['title']", "B"),
        ("$.missing", None),
        ("$.missing.more", None),
        ("$.limit.more", None),
        ("$.books[3]", None),
        ("$.books[-4]", None),
        ("$.limit[0]", None),
        ("$.books.length()", 3),
        ("$.owner.size()", 2),
        ("$.limit.length()", None),
        ("$.owner['name','price','more']", {"name": "O", "price": 7}),
        (r"$['it\'s']", None),
    ],
)
def test_a_definite_path_gives_a_value(path: str, expected: Any) -> None:
    assert find(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.books[*].title", ["A", "B", "C"]),
        ("$.books.*.title", ["A", "B", "C"]),
        ("$.owner.*", ["O", 7]),
        ("$.books[0,2].title", ["A", "C"]),
        ("$.books[1:].title", ["B", "C"]),
        ("$.books[:1].title", ["A"]),
        ("$.books[-2:].title", ["B", "C"]),
        ("$.books[0:-1].title", ["A", "B"]),
        ("$.books[5:9]", []),
        ("$..name", ["N", "O"]),
        ("$..['name']", ["N", "O"]),
        ("$..tags[0]", ["x"]),
        ("$.books[*]['title','isbn']", [{"title": "A", "isbn": "1"}, {"title": "B", "isbn": None}, {"title": "C"}]),
        ("$.books[0]['title','isbn'].x", []),
        ("$.empty[*]", []),
        ("$.limit[*]", []),
        ("$.missing[*]", []),
    ],
)
def test_an_indefinite_path_gives_a_list(path: str, expected: Any) -> None:
    assert find(path) == expected


def test_a_scan_gives_each_value_before_those_in_it() -> None:
    assert find("$..*", {"a": [1, {"b": 2}], "c": 3}) == [[1, {"b": 2}], 3, 1, {"b": 2}, 2]
    assert find("$..a", {"a": {"a": 1}}) == [{"a": 1}, 1]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("@.price > 10", ["C"]),
        ("@.price >= 5 && @.price < 20", ["A"]),
        ("@.price == 12", ["B"]),  # a number equals a string of its digits
        ("@.price == '12'", ["B"]),
        ("@.price == 20.50", ["C"]),
        ("@.price > $.limit", ["C"]),
        ("@.title == 'A' || @.title == \"C\"", ["A", "C"]),
        ("!(@.title == 'A')", ["B", "C"]),
        ("@.author", ["C"]),
        ("!@.author", ["A", "B"]),
        ("@.isbn", ["A", "B"]),  # null exists
        ("@.isbn == null", ["B"]),
        ("@.author.name == 'N'", ["C"]),
        ("@['title']=='B'", ["B"]),
        ("@.title != 'A'", ["B", "C"]),
        ("@.author != 1", ["A", "B", "C"]),
        ("@.price === 12", []),
        ("@.price !== 12", ["A", "B", "C"]),
        ("@.title > 'A'", ["B", "C"]),
        ("@.title > 1", []),
        ("@.title in ['A', 'B']", ["A", "B"]),
        ("@.price in [5, 20.5]", ["A", "C"]),
        ("@.title nin ['A', 'B']", ["C"]),
        ("@.tags contains 'x'", ["A"]),
        ("@.title CONTAINS 'A'", ["A"]),
        ("@.tags size 2", ["A"]),
        ("@.tags empty true", ["B"]),
        ("@.tags empty false", ["A"]),
        ("@.tags subsetof ['x', 'y', 'z']", ["A", "B"]),
        ("@.tags anyof ['x']", ["A"]),
        ("@.tags noneof ['x']", ["B"]),
        ("@.tags.length() > 1", ["A"]),
        ("@.title =~ /[ab]/i", ["A", "B"]),
        ("@.price =~ /\\d+/", ["A", "B"]),
        ("@.author =~ /.*/", []),
        ("true == true", ["A", "B", "C"]),
        ("1 == true", []),
    ],
)
def test_a_filter_selects_by_a_condition(condition: str, expected: list[str]) -> None:
    assert titles(f"$.books[?({condition})]") == expected


def test_a_filter_of_an_object_tests_the_object() -> None:
    assert find("$.owner[?(@.price > 1)]") == [{"name": "O", "price": 7}]
    assert find("$.owner[?(@.price > 9)]") == []
    assert find("$.limit[?(@.price > 9)]") == []


def test_a_filter_applies_at_any_depth() -> None:
    assert [each.get("title", each.get("name")) for each in find("$..[?(@.price < 10)]")] == ["A", "O"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "the path is empty"),
        (" ", "the path is empty"),
        ("$.", "invalid JSONPath '$.': expected a name or '*' at offset 2, got the end"),
        ("$..", "invalid JSONPath '$..': expected a name or '*' at offset 3, got the end"),
        ("$a", "invalid JSONPath '$a': unexpected character at offset 1, got 'a'"),
        ("$[", "expected an index, a slice, a quoted name, '*' or a filter at offset 2, got the end"),
        ("$[a]", "expected an index, a slice, a quoted name, '*' or a filter at offset 2, got 'a'"),
        ("$['a'", "expected ']' at offset 5, got the end"),
        ("$[0:2:1]", "expected an index, a slice, a quoted name, '*' or a filter at offset 2, got '0'"),
        ("$[?]", "expected '(' of a filter at offset 3, got ']'"),
        ("$[?(@.a >)]", "expected a path, a string, a number, true, false or null at offset 9, got ')'"),
        ("$[?(@.a]", "expected ')' of a filter at offset 7, got ']'"),
        ("$[?(@.a =~ 'x')]", "expected a regular expression /…/ at offset 11"),
        ("$[?(@.a =~ /(/)]", "invalid regular expression '(': "),
        ("$[?(@.a in [1,])]", "invalid list or object at offset 11"),
        ("$.a.max()", "unsupported function 'max'; only length() and size()"),
        ("$" + "[?(" * 60, "invalid JSONPath"),
        ("$[?(" + "(" * 60, "the filter is nested too deeply"),
        ("$[?(" + "!" * 60, "the filter is nested too deeply"),
        ("$[:-]", "expected"),
    ],
)
def test_an_invalid_path_is_an_error_with_its_offset(path: str, message: str) -> None:
    with pytest.raises(JsonPathError) as failed:
        compile_json_path(path)
    assert message in str(failed.value)


@given(st.text(alphabet="$@.*[]()?'\"&|!=<>~/ab01:, -n", max_size=20))
def test_any_path_is_compiled_or_an_error(path: str) -> None:
    try:
        compiled = compile_json_path(path)
    except JsonPathError:
        return
    compiled.find(STORE)


def test_deep_values_are_scanned() -> None:
    value: Any = {"a": 1}
    for _ in range(5000):
        value = {"b": [value]}
    assert find("$..a", value) == [1]
