"""Tests of JSON as Metron's JSON library reads it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stellar.java.jackson import read_first_value, to_indented, to_indented_bytes


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ('{"a":1}', {"a": 1}, ""),
        ('{"a":1} x', {"a": 1}, "x"),
        ('{"a":1}{"b":2}', {"a": 1}, '{"b":2}'),
        (' // c\n{"a": /* c */ "//"} // c', {"a": "//"}, ""),
        ('{"a":1,"a":2}', {"a": 2}, ""),
        ("123456789012345678901234567890", 123456789012345678901234567890, ""),
        ("1E400", math.inf, ""),
        ("null", None, ""),
        ("\t\r\n[]\n", [], ""),
        ("// c\r{}", {}, ""),
        ('{} /* c */ {"b": "// d"} // e', {}, '{"b": "// d"}'),
        ("{}/* c", {}, "/* c"),
        ("{}/*/", {}, "/*/"),
    ],
)
def test_the_first_value_and_the_rest_are_returned(text: str, value: object, rest: str) -> None:
    assert read_first_value(text) == (value, rest)


@pytest.mark.parametrize(
    "text", ["", " ", "x", "NaN", "[Infinity]", "{'a':1}", '{"a":1,}', "\ufeff{}", "\u00a0{}", "[" * 100_000, "/* {}"]
)
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_first_value(text)


def test_comments_can_be_errors() -> None:
    assert read_first_value(' {"a": "//"} // c', comments=False) == ({"a": "//"}, "")
    for text in ("// c\n{}", "{/* c */}"):
        with pytest.raises(ValueError, match=r"."):
            read_first_value(text, comments=False)


@pytest.mark.parametrize(
    "text", ["[" + "/*" * 500_000, '["' + '\\"' * 500_000, "[" + '"\\' * 500_000, "[" + "/" * 999_999]
)
def test_comments_are_found_in_linear_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_first_value(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{ }"),
        ([], "[ ]"),
        ({"a": {}, "b": []}, '{\n  "a" : { },\n  "b" : [ ]\n}'),
        ([1, "x", None, True, 1.5], '[ 1, "x", null, true, 1.5 ]'),
        ([1e20, -1e-5, 5e-324, 0.0], "[ 1.0E20, -1.0E-5, 4.9E-324, 0.0 ]"),
        ({"a": [{"b": 1}, {"c": [{}]}]}, '{\n  "a" : [ {\n    "b" : 1\n  }, {\n    "c" : [ { } ]\n  } ]\n}'),
        ({"a": {"b": {"c": 1}}}, '{\n  "a" : {\n    "b" : {\n      "c" : 1\n    }\n  }\n}'),
        ('a"\\/é\n\x1f\\u001f\x7f', '"a\\"\\\\/é\\n\\u001F\\\\u001f\x7f"'),
    ],
)
def test_values_are_written_as_jackson_indents_them(value: Any, text: str) -> None:
    assert to_indented(value) == text
    assert json.loads(text) == value


def test_numbers_without_a_json_form_and_deep_values_are_not_written() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (math.inf, [math.nan], deep):
        with pytest.raises(ValueError, match=r"."):
            to_indented(value)


def test_bytes_have_characters_beyond_16_bits_as_escapes() -> None:
    value = {"é\u2028": "😀", "\U0010ffff": ["\uffff"]}
    assert to_indented_bytes(value).decode() == (
        '{\n  "é\u2028" : "\\uD83D\\uDE00",\n  "\\uDBFF\\uDFFF" : [ "\uffff" ]\n}'
    )
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        to_indented_bytes(["\ud83d"])
