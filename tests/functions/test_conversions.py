"""Conversions between types are those of Java."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.language.conversions import (
    to_boolean,
    to_double,
    to_float,
    to_integer,
    to_long,
    to_optional_string,
    to_string,
)
from stellar.language.ordered_set import OrderedSet

STRINGS = [
    (None, "null"),
    (True, "true"),
    (-7, "-7"),
    ("a b", "a b"),
    (1.0, "1.0"),
    (0.001, "0.001"),
    (9999999.0, "9999999.0"),
    (1e7, "1.0E7"),
    (-123456789.125, "-1.23456789125E8"),
    (1e-4, "1.0E-4"),
    (5e-324, "4.9E-324"),
    (1.7976931348623157e308, "1.7976931348623157E308"),
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (math.nan, "NaN"),
    (-math.inf, "-Infinity"),
    ([1, None, ["a", 2.0]], "[1, null, [a, 2.0]]"),
    ({"k": 1, None: [True]}, "{k=1, null=[true]}"),
    ({}, "{}"),
    (OrderedSet("ba"), "[b, a]"),
    (b"caf\xc3\xa9\xff", "café�"),
]


@pytest.mark.parametrize(("value", "string"), STRINGS)
def test_a_value_is_formatted_like_in_java(value, string):
    assert to_string(value) == string


@given(st.floats(allow_nan=False))
def test_a_formatted_float_parses_to_the_same_float(number):
    assert to_double(to_string(number)) == number


def test_a_list_that_contains_itself_cannot_be_formatted():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="more than 64 levels"):
        to_string(endless)


NUMBERS = [
    # value, integer, long, double
    (None, None, None, None),
    (" 12 ", 12, 12, 12.0),
    ("+5", 5, 5, 5.0),
    ("007", 7, 7, 7.0),
    ("12.7", None, None, 12.7),
    ("1e3", None, None, 1000.0),
    ("1.5d", None, None, 1.5),
    ("0x1p3", None, None, 8.0),
    ("0x10", None, None, None),
    ("0x1p999999", None, None, math.inf),
    ("-Infinity", None, None, -math.inf),
    ("inf", None, None, None),
    ("1_000", None, None, None),
    ("1,000", None, None, None),
    ("", None, None, None),
    ("٣", 3, 3, None),
    ("9" * 5000, None, None, math.inf),
    (12.7, 12, 12, 12.7),
    (-12.7, -12, -12, -12.7),
    (2147483648, None, 2147483648, 2147483648.0),
    (2**63, None, None, 2.0**63),
    (2**5000, None, None, math.inf),
    (-(2**5000), None, None, -math.inf),
    (1e20, None, 2**63 - 1, 1e20),
    (-math.inf, None, -(2**63), -math.inf),
    (True, 1, 1, 1.0),
    ([7, 8], 7, 7, 7.0),
    ([], None, None, None),
    ([[7]], None, None, None),
    ({"a": 1}, None, None, None),
    (b"\xff\x01", -1, -1, -1.0),
]


@pytest.mark.parametrize(("value", "integer", "long", "double"), NUMBERS)
def test_a_value_is_converted_to_a_number(value, integer, long, double):
    assert (to_integer(value), to_long(value), to_double(value)) == (integer, long, double)


def test_nan_converts_to_the_integer_0():
    assert (to_integer(math.nan), to_long(math.nan)) == (0, 0)
    assert math.isnan(to_double("NaN"))


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (0.1, 0.1),
        (1e39, None),
        (-1e39, -math.inf),
        ("1e39", math.inf),
        (math.inf, None),
        ("3.4028235e38", 3.4028234663852886e38),
    ],
)
def test_to_float_has_the_range_but_not_the_precision_of_32_bits(value, result):
    assert to_float(value) == result


def test_a_date_converts_to_epoch_milliseconds():
    assert to_long(datetime(1970, 1, 2, tzinfo=UTC)) == 86_400_000
    assert to_long(datetime(1970, 1, 1, 0, 0, 1)) == 1000  # UTC by default


@pytest.mark.parametrize(
    ("value", "boolean"),
    [
        *((value, True) for value in ("true", "YES", "y", "On", "1", 1, True, [True], ["y", "n"], b"\x01")),
        *((value, False) for value in ("false", "NO", "n", "off", "0", 0, False)),
        *((value, None) for value in (None, "", " true", 2, 1.0, [], [5], [[True]], {}, "maybe")),
    ],
)
def test_a_boolean_is_parsed_from_a_string(value, boolean):
    assert to_boolean(value) is boolean


@pytest.mark.parametrize(
    ("value", "string"), [(None, None), ([], None), (["ab", "cd"], "ab"), (1122, "1122"), ([[1]], "[1]"), ({}, "{}")]
)
def test_a_list_converts_to_the_string_of_its_first_element(value, string):
    assert to_optional_string(value) == string
