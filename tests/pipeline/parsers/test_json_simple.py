"""JSON as json-simple reads and writes it."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.pipeline.parsers.json_simple import _parse_leniently, format_json, parse_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_python_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@given(VALUES)
def test_strict_json_has_the_same_value_in_both_ways(value: object) -> None:
    assert parse_json(json.dumps(value)) == _parse_leniently(json.dumps(value))


@given(VALUES)
def test_what_is_written_is_json(value: object) -> None:
    assert json.loads(format_json(value)) == value


@given(st.text(alphabet='{}[]:,"\\u0eE1.-tfn \n', max_size=40))
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    with suppress(ValueError):
        format_json(parse_json(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a"::1,,"b" 2 "c":03}', {"a": 1, "b": 2, "c": 3}),
        ("[1 2,,[]]", [1, 2, []]),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"a\nb\t\\x\\u12"', "a\nb\t\\x\\u12"),
        (r'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (r'"\ud83d"', "\ud83d"),
        ("-0.0", -0.0),
        ("-1e400", -math.inf),
        ("1E5", 100000.0),
    ],
)
def test_more_than_json_is_read(text: str, value: object) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid JSON: no value"),
        ('{"a":1', "invalid JSON: unexpected end"),
        ("{1:2}", "invalid JSON at character 2: expected a key, which is a string"),
        ('{"a",1}', "invalid JSON at character 5: expected a value, got ','"),
        ("[1}", "invalid JSON at character 3: unexpected '}'"),
        ("1 2", "invalid JSON at character 3: expected the end after the value"),
        ("[9223372036854775808]", "invalid JSON at character 2: integer 9223372036854775808 does not fit 64 bits"),
        ('{"a": NaN}', "invalid JSON at character 7: unexpected 'NaN}'"),
        ('"abc', "invalid JSON at character 1: unexpected '\"abc'"),
        ("\ufeff{}", "invalid JSON at character 1: unexpected '\\ufeff{}'"),
    ],
)
def test_an_error_says_where_and_what(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        parse_json(text)
    assert str(raised.value) == message


def test_deep_json_is_read() -> None:
    value = parse_json("[" * 100_000 + "]" * 100_000)
    for _ in range(99_999):
        (value,) = value
    assert value == []
