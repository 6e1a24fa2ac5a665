"""Documents for sinks have the same values with and without orjson."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import json
import math
import uuid
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.pipeline.encoding import make_document_encoder
from stellar.pipeline.records import to_json, to_json_bytes

orjson = pytest.importorskip("orjson")
encode = make_document_encoder(orjson.dumps)

TEXTS = st.text() | st.text(st.sampled_from('a"\\\x00\x1f\x7f\n\u2028é\U0001f600\ud800'))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8)


class Color(enum.Enum):
    RED = 5


class Name(enum.StrEnum):
    A = "x"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    def __str__(self) -> str:
        return "other"


class Number(int):
    def __repr__(self) -> str:
        return "other"


class Pair(collections.namedtuple("Pair", "a b")):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: int = 1


def decode(encoded: bytes) -> Any:
    return json.loads(encoded)


def describe(make: Any, document: dict[Any, Any]) -> object:
    """Return the decoded document, or the error."""
    try:
        encoded = make(document)
    except ValueError as error:
        return str(error)
    return repr(decode(encoded))


@given(st.dictionaries(TEXTS, VALUES))
def test_documents_are_equal(document: dict[str, Any]) -> None:
    assert describe(encode, document) == describe(to_json_bytes, document)


def nest(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


ODD = (
    Color.RED, Name.A, Level.LOW, Text("a"), Number(3), Pair(1, 2), (1, 2), Point(), datetime.date(2020, 1, 2),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), uuid.UUID(int=7), Decimal("1.5"), ip_address("10.0.0.1"), b"x",
    {1, 2}, frozenset({1}), bytearray(b"x"), collections.OrderedDict(a=1), 2**63, 2**64, -(2**63) - 1, 10**40, math.nan,
    math.inf, -0.0, 1e-7, 1e22, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, "\ud800", {"\ud800": 1}, {1: 2}, {None: 1},
    {True: 1}, {Name.A: 1}, {Text("k"): 1}, nest(90), nest(150), nest(300), lambda: 1, object(),
)  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"k": [1, value]}])
def test_odd_values_are_written_as_without_orjson(value: Any, wrap: Any) -> None:
    for document in ({"a": wrap(value)}, {"a": "x", "b": wrap(value), "c": 1}):
        assert describe(encode, document) == describe(to_json_bytes, document)


@pytest.mark.parametrize("name", [1, None, True, 1.5, Name.A, Text("a"), "\ud800"])
def test_odd_names_are_written_as_without_orjson(name: Any) -> None:
    assert describe(encode, {name: 1, "b": 2}) == describe(to_json_bytes, {name: 1, "b": 2})


def test_a_document_that_contains_itself_is_an_error() -> None:
    document: dict[str, Any] = {"a": 1}
    document["b"] = [document]
    with pytest.raises(ValueError, match="nested too deeply"):
        encode(document)


def test_orjson_encodes_usual_documents_and_lists() -> None:
    seen: list[object] = []

    def dumps(document: Any) -> bytes:
        seen.append(document)
        return bytes(orjson.dumps(document))

    encode = make_document_encoder(dumps)
    documents: list[dict[str, Any]] = [{"a": 1, "b": "x", "c": None}, {"a": [1, {"b": ["x"]}]}]
    for document in documents:
        assert encode(document) == to_json(document).encode()
    assert seen == documents


def test_without_orjson_the_standard_library_encodes() -> None:
    assert make_document_encoder(None) is to_json_bytes
