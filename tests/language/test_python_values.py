"""Tests of Python objects in records: converted where they are used, or an error that names a conversion."""

from __future__ import annotations

import ipaddress
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from stellar.functions import LIBRARY
from stellar.language.errors import EvaluationError
from stellar.language.expression import Expression
from stellar.language.python_values import from_python


class Color(Enum):
    RED = 1


RECORD: dict[str, Any] = {
    "d": Decimal(7),
    "half": Decimal("1.5"),
    "n": np.int64(7),
    "f": np.float32(1.5),
    "yes": np.True_,
    "no": np.False_,
    "t": (1, 2),
    "a": np.arange(3),
    "u": UUID(int=1),
    "ip": ipaddress.ip_address("10.0.0.1"),
    "ips": [ipaddress.ip_address("10.0.0.1")],
    "s": "10.0.0.1",
    "octets": bytearray(b"ab"),
    "frozen": frozenset({1}),
    "name": np.str_("a"),
    "dt": datetime(2020, 1, 1),
    "fraction": Fraction(1, 2),
    "m": {7: "x"},
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("TO_DOUBLE(d) + 1", 8.0),
        ("d + 1", 8),
        ("half + 1", 2.5),
        ("-d", -7),
        ("d * n", 49),
        ("f + 1", 2.5),
        ("n in [6, 7]", True),
        ("n == 7", True),
        ("n != 7", False),
        ("n != 8", True),
        ("7 == d", True),
        ("n < 8", True),
        ("d < half", False),
        ("yes == true", True),
        ("yes == false", False),
        ("no == false", True),
        ("no != true", True),
        ("yes and true", True),
        ("no and 1 / 0 == 1", False),
        ("yes or 1 / 0 == 1", True),
        ("no or true", True),
        ("if yes then 1 else 2", 1),
        ("if no then 1 else 2", 2),
        ("not(yes)", False),
        ("FILTER([1, 2], x -> yes)", [1, 2]),
        ("FILTER([1, 2], x -> x == 1 ? yes : no)", [1]),
        ("t == [1, 2]", True),
        ("t in [[1, 2]]", True),
        ("1 in t", True),
        ("a == [0, 1, 2]", True),
        ("2 in a", True),
        ("GET(a, 1) + GET(t, 0)", 2),
        ("LENGTH(a) + LENGTH(t)", 5),
        ("MAP(a, x -> x + 1)", [1, 2, 3]),
        ("LIST_ADD(t, 3)", [1, 2, 3]),
        ("ZIP(t, a)", [[1, 0], [2, 1]]),
        ("REDUCE(a, (s, x) -> s + x, 0)", 3),
        ("u == '00000000-0000-0000-0000-000000000001'", True),
        ("ip == '10.0.0.1'", True),
        ("ip != '10.0.0.1'", False),
        ("ip in ['10.0.0.1', 'x']", True),
        ("s in ips", True),
        ("'10.0.0.2' in ips", False),
        ("IN_SUBNET(ip, '10.0.0.0/8')", True),
        ("TO_STRING([d, half, n, yes, ip])", "[7, 1.5, 7, true, 10.0.0.1]"),
        ("TO_STRING(ip)", "10.0.0.1"),
        ("FORMAT('%d %s', d, n)", "7 7"),
        ("FORMAT('%.2f|%b', f, no)", "1.50|false"),
        ("HASH(octets, 'MD5') == HASH('ab', 'MD5')", True),
        ("MAP_GET(n, m)", "x"),
        ("MAP_GET(7, {d : 'x'})", "x"),
        ("HASH(d, 'MD5') == HASH(7, 'MD5')", True),
        ("MAX([n, half])", 7),
        ("octets == octets", True),
        ("1 in frozen", True),
        ("name == 'a'", True),
        ("fraction == 0.5", True),
        ("dt == null", False),
        ("dt == dt", True),
        ("TO_LONG(dt)", 1577836800000),
        ("exists(dt)", True),
    ],
)
def test_an_operator_or_function_converts_an_object(source, value, fast):
    result = Expression(source, LIBRARY, fast=fast)(RECORD)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize("name", RECORD)
@pytest.mark.parametrize("source", ["{}", "GET_FIRST([{}])", "MAP_GET('k', {{'k' : {}}})", "true ? {} : null"])
def test_an_object_that_is_only_passed_through_stays_as_it_is(source, name):
    assert Expression(source.format(name), LIBRARY)(RECORD) is RECORD[name]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("value", "described"),
    [
        (datetime(2020, 1, 1), "datetime (convert it, as by int(value.timestamp() * 1000) or value.isoformat())"),
        (date(2020, 1, 1), "date (convert it, as by value.isoformat())"),
        (timedelta(1), "timedelta (convert it, as by value.total_seconds())"),
        (Fraction(1, 3), "Fraction (convert it, as by float(value))"),
        (1j, "complex (convert it, as by abs(value))"),
        (Color.RED, "Color (convert it, as by value.value)"),
        (np.datetime64("2020"), "datetime64 (convert it, as by str(value))"),
        (np.timedelta64(5), "timedelta64 (convert it, as by value.astype(int))"),
        (np.array([1j]), "ndarray (convert it, as by value.astype(str).tolist())"),
        (range(3), "range (convert it, as by list(value))"),
        (object(), "object (convert it, as by str(value))"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "source",
    ["x + 1", "-x", "x == 'a'", "x != 'a'", "x in ['a']", "1 in x", "x < 1", "LENGTH(x)", "TO_DOUBLE(x)", "x ? 1 : 2"],
)
def test_an_object_without_a_stellar_value_is_an_error_that_names_a_conversion(source, value, described, fast):
    with pytest.raises(EvaluationError) as caught:
        Expression(source, LIBRARY, fast=fast)({"x": value})
    assert f"an object of type {described}" in caught.value.message


@pytest.mark.parametrize(
    ("number", "value"),
    [("7.00", 7), ("1E+3", 1000), ("-0", 0), ("Infinity", float("inf")), ("-Infinity", float("-inf")), ("0.1", 0.1)],
)
def test_a_decimal_is_an_integer_if_it_is_integral(number, value):
    converted = from_python(Decimal(number))
    assert (converted, type(converted)) == (value, type(value))


def test_a_decimal_without_a_value_is_not_a_number():
    assert from_python(Decimal("sNaN")) != from_python(Decimal("NaN"))


def test_a_decimal_that_is_too_large_is_an_error():
    with pytest.raises(EvaluationError, match=r"an integer of 1000000001 digits is too large"):
        Expression("x + 1", LIBRARY)({"x": Decimal("1E+1000000000")})


def test_an_object_without_a_string_is_not_converted_to_one():
    with pytest.raises(EvaluationError, match="can't convert an object of type object"):
        Expression("TO_STRING(x)", LIBRARY)({"x": object()})


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("other", [["a"], {"a": 1}, {1}])
def test_a_foreign_object_is_never_compared_with_the_items_of_a_value(fast, other):
    shared = other
    for _ in range(19):  # numpy would build an array of half a million items
        shared = [shared, shared]
    for value in (other, shared):
        with pytest.raises(EvaluationError, match="can't compare an object of type datetime64"):
            Expression("x == y", LIBRARY, fast=fast)({"x": np.datetime64("2020"), "y": value})


@pytest.mark.parametrize("fast", [True, False])
def test_a_python_function_that_needs_arguments_is_an_error_as_action_of_a_match(fast):
    expression = Expression("match{ a => f, default => 1 }", LIBRARY, fast=fast)
    assert expression({"a": True, "f": lambda: 2}) == 2
    with pytest.raises(EvaluationError, match="match calls a function without arguments"):
        expression({"a": True, "f": lambda x: x})
