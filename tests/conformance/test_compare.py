"""Tests of the comparison with Metron's results."""

from __future__ import annotations

import math

import pytest
from cases import Answer, Members, Opaque, Pairs
from compare import alike

RESULTS = [
    (1, 1, True),
    (1, True, False),
    (True, 1, False),
    (True, True, True),
    (1.0, 1, False),
    (1, 1.0, False),
    (0.1, 0.1, True),
    (0.1, math.nextafter(0.1, 1), False),
    (0.30000000000000004, 0.3, False),
    (0.0, -0.0, False),
    (math.nan, math.nan, True),
    (None, False, False),
    (None, None, True),
    ("1", 1, False),
    (b"a", "a", False),
    ([1, 2], [1, 2], True),
    ([1, 2], [2, 1], False),
    ([1], [True], False),
    ([1, 2], Members([1, 2]), False),
    ({1, 2}, Members([2, 1]), True),
    ({1, 2}, Members([2, 1, 3]), False),
    ({1}, Members([1, True]), False),
    ({"a": 1, "b": 2}, Pairs([["b", 2], ["a", 1]]), True),
    ({"a": 1, "b": 2}, Pairs([["a", 1]]), False),
    ({1: "x"}, Pairs([[True, "x"]]), False),
    (len, Opaque("LambdaExpression"), True),
    ("LambdaExpression", Opaque("LambdaExpression"), False),
    (None, Opaque("LambdaExpression"), False),
]


@pytest.mark.parametrize(("ours", "theirs", "same"), RESULTS, ids=repr)
def test_values_are_compared_with_types(ours: object, theirs: object, same: bool) -> None:
    assert alike(ours, theirs) is same


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"$long": 5}, 5),
        ({"$float": {"$inf": -1}}, -math.inf),
        ({"$float": 1.5}, 1.5),
        ({"$bytes": "YWI="}, b"ab"),
        ({"$map": [[1, "a"], [True, "b"]]}, [[1, "a"], [True, "b"]]),
        ({"$set": [1, 1.0]}, [1, 1.0]),
        ({"$other": 1}, [["$other", 1]]),
        ({"a": {"$char": "x"}}, [["a", "x"]]),
    ],
)
def test_expected_values_are_decoded(value: object, expected: object) -> None:
    result = Answer("Object", value, None, None).expected
    assert result == expected
    assert type(result) in (int, float, bytes, Pairs, Members)
