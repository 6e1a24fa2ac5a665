"""Parsing of JSON objects into dataclasses, and the errors for invalid ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from stellar.util.json_objects import read_object


@dataclass(frozen=True)
class Inner:
    url: str
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner | None = None
    count: int = 0
    share: float = 1.0
    on: bool = False
    kind: Literal["a", "b", "c"] = "a"
    anything: Any = None
    notes: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "n"}, Outer("n")),
        ({"name": "n", "inner": {"url": "u", "more": {"k": "v"}}}, Outer("n", Inner("u", {"k": "v"}))),
        ({"name": "n", "count": " +3.0 ", "share": "0.5", "on": True}, Outer("n", None, 3, 0.5, True)),
        ({"name": "n", "count": 4.0, "share": 2}, Outer("n", None, 4, 2.0)),
        ({"name": "n", "kind": "c", "anything": [1]}, Outer("n", kind="c", anything=[1])),
        ({"name": "n", "notes": {"k": [None]}}, Outer("n", notes={"k": [None]})),
        ({"name": "n", "words": ["a", "b"]}, Outer("n", words=["a", "b"])),
        ({"name": "n", "count": None, "kind": None, "notes": None, "inner": None}, Outer("n")),
    ],
)
def test_an_object_is_read_by_the_types_of_the_fields(value, expected):
    assert read_object(Outer, value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "name: Field required"),
        ({"name": None}, "name: Input should be a valid string"),
        ({"name": 1}, "name: Input should be a valid string"),
        ({"name": "n", "count": "3.5"}, "count: Input should be a valid integer"),
        ({"name": "n", "count": "9" * 5000}, "count: Input should be a valid integer"),
        ({"name": "n", "count": float("nan")}, "count: Input should be a valid integer"),
        ({"name": "n", "share": "much"}, "share: Input should be a valid number"),
        ({"name": "n", "on": "yes"}, "on: Input should be a valid boolean"),
        ({"name": "n", "kind": "d"}, "kind: Input should be 'a', 'b' or 'c'"),
        ({"name": "n", "kind": []}, "kind: Input should be 'a', 'b' or 'c'"),
        ({"name": "n", "inner": []}, "inner: Input should be a JSON object"),
        ({"name": "n", "inner": {}}, "inner.url: Field required"),
        ({"name": "n", "inner": {"url": "u", "more": {"k": 1}}}, "inner.more.k: Input should be a valid string"),
        ({"name": "n", "notes": "x"}, "notes: Input should be a JSON object"),
        ({"name": "n", "words": "ab"}, "words: Input should be a JSON array"),
        ({"name": "n", "words": ["a", 1]}, "words.1: Input should be a valid string"),
        ({"name": "n", "other": 1}, "other: Extra inputs are not permitted"),
        ({"count": "x", "on": 1}, "name: Field required; count: Input should be a valid integer; on: Input should be"),
    ],
)
def test_each_invalid_field_is_reported(value, reason):
    with pytest.raises(ValueError, match="^" + reason.replace(".", r"\.")):
        read_object(Outer, value)


def test_unknown_fields_are_accepted_if_allowed():
    assert read_object(Outer, {"name": "n", "other": 1}, ignore_unknown=True) == Outer("n")


def test_numbers_are_accepted_as_strings_if_allowed():
    assert read_object(Outer, {"name": 10}, allow_numbers_as_strings=True) == Outer("10")
    with pytest.raises(ValueError, match="name: Input should be a valid string"):
        read_object(Outer, {"name": True}, allow_numbers_as_strings=True)


def test_names_in_json_can_be_mapped():
    assert read_object(Inner, {"URL": "u"}, str.upper) == Inner("u")
