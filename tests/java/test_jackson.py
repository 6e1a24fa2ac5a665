"""Tests of JSON as Metron's JSON library reads it."""

from __future__ import annotations

import math

import pytest

from stellar.java.jackson import read_first_value


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
