"""Records are encoded as by the given encoder, also after functions for their shapes were generated."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.util import json_encoding
from stellar.util.json_encoding import make_encoder, make_record_encoder

TEXTS = st.text() | st.text(st.sampled_from('a"\\\x00\x1f\x7f\n\u2028é\U0001f600\ud800'))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = SCALARS | st.lists(SCALARS) | st.dictionaries(TEXTS, SCALARS)


class Text(str):
    """A string with a form of its own."""

    def __str__(self) -> str:
        return "other"

    def __format__(self, spec: str) -> str:
        return "other"


class Number(int):
    """An integer with a form of its own."""

    def __str__(self) -> str:
        return "other"

    def __repr__(self) -> str:
        return "other"


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Counting:
    """The standard encoder, with the number of records that it encoded."""

    def __init__(self) -> None:
        self.records = 0
        self._encode = make_encoder(ensure_ascii=False)

    def __call__(self, value: Any) -> str:
        self.records += isinstance(value, dict)
        return self._encode(value)


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=6))
def test_records_are_encoded_as_by_the_standard_library(records: list[dict[str, Any]]) -> None:
    encode = make_record_encoder(make_encoder(ensure_ascii=False))
    for _ in range(40):
        for record in records:
            assert encode(record) == dump(record)


@given(st.lists(st.fixed_dictionaries({"a": VALUES, 'b"': VALUES, "é": VALUES}), min_size=1, max_size=8))
def test_values_of_one_shape_may_change_their_types(records: list[dict[str, Any]]) -> None:
    encode = make_record_encoder(make_encoder(ensure_ascii=False))
    for _ in range(40):
        for record in records:
            assert encode(record) == dump(record)


def test_the_standard_encoder_is_not_used_for_a_frequent_shape() -> None:
    standard = Counting()
    encode = make_record_encoder(standard)
    for number in range(100):
        record = {"a": str(number), "b": number, "c": None}
        assert encode(record) == dump(record)
    assert standard.records == 16


def test_types_that_change_are_learned() -> None:
    standard = Counting()
    encode = make_record_encoder(standard)
    for number in range(100):
        record = {"a": "x", "b": number if number % 2 else "-"}
        assert encode(record) == dump(record)
    assert standard.records < 50


@pytest.mark.parametrize("value", [Text("a"), Text('"'), Number(3), True, 10**30, 1.5, "\ud800", "\n", [1], {"x": 1}])
def test_other_values_in_a_learned_shape(value: Any) -> None:
    encode = make_record_encoder(make_encoder(ensure_ascii=False))
    records = [{"a": "x", "b": 1}, {"a": value, "b": 2}, {"a": "y", "b": value}]
    for record in records * 50:
        assert encode(record) == dump(record)


def test_names_that_are_not_strings_are_encoded_as_by_the_standard_library() -> None:
    encode = make_record_encoder(make_encoder(ensure_ascii=False))
    for record in [{1: 1}, {None: 1}, {Text("a"): 1}, {"a": 1}, {1.0: 1}, {True: 1}] * 40:
        assert encode(record) == dump(record)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, ValueError),
        ({1}, TypeError),
        pytest.param(10**5000, ValueError, id="more digits than Python converts"),
    ],
)
def test_errors_of_the_encoder_are_raised(value: Any, error: type[Exception]) -> None:
    encode = make_record_encoder(make_encoder(ensure_ascii=False))
    for _ in range(40):
        with pytest.raises(error):
            encode({"a": 1, "b": value})
        assert encode({"a": 1, "b": 2}) == '{"a":1,"b":2}'


def test_records_of_many_shapes_and_many_fields_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_encoding, "_MOST_COUNTED", 50)
    monkeypatch.setattr(json_encoding, "_MOST_FUNCTIONS", 3)
    encode = make_record_encoder(make_encoder(ensure_ascii=False))
    shapes: list[dict[str, Any]] = [{f"a{number}": number, "b": "x"} for number in range(100)]
    shapes += [{f"a{number}": number for number in range(10_000)}, {}]
    for record in [*shapes, *shapes[:5] * 20, *shapes[-2:] * 20]:
        assert encode(record) == dump(record)
