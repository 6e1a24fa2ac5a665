"""Tests of tagged JSON."""

from __future__ import annotations

import json
import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.language.conversions import to_string
from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import Fields, hashable, same
from stellar.language.tagged_json import decode, encode, to_json

ENCODED = [
    (None, "null"),
    (True, "true"),
    (7, "7"),
    (1.0, "1.0"),
    ("é", '"é"'),
    (math.nan, '{"$nan": true}'),
    (math.inf, '{"$inf": 1}'),
    (-math.inf, '{"$inf": -1}'),
    (b"\x00\xff", '{"$bytes": "AP8="}'),
    ([1, [2.5]], "[1, [2.5]]"),
    ({"a": {"b": None}}, '{"a": {"b": null}}'),
    ({}, "{}"),
    ({1: "a", None: math.nan}, '{"$map": [[1, "a"], [null, {"$nan": true}]]}'),
    (OrderedSet([3, "a", 1]), '{"$set": [3, "a", 1]}'),
    ({"$set": 1}, '{"$map": [["$set", 1]]}'),
    ({"$set": 1, "$map": 2}, '{"$set": 1, "$map": 2}'),
    ({"$other": 1}, '{"$other": 1}'),
    ("\ud800é", '"\\ud800\\u00e9"'),
]
DECODED_ONLY = [
    ('{"$long": 5}', 5),
    ('{"$short": -7}', -7),
    ('{"$byte": 3}', 3),
    ('{"$float": 1.5}', 1.5),
    ('{"$float": 1}', 1.0),
    ('{"$float": {"$inf": 1}}', math.inf),
    ('{"$char": "x"}', "x"),
    ('{"a": {"$long": 5}}', {"a": 5}),
    ('{"$long": 5, "b": 1}', {"$long": 5, "b": 1}),
]
ENCODED_ONLY = [
    ((1, 2), "[1, 2]"),
    (frozenset([1]), '{"$set": [1]}'),
    (Fields({"a": 1}), '{"a": 1}'),
    (MappingProxyType({"a": 1}), '{"a": 1}'),
    (lambda: 1, '{"$object": "lambda"}'),
    (MappingProxyType, '{"$object": "type"}'),
]
INVALID = [
    ('{"$long": 1.5}', "invalid $long: expected an integer, got 1.5"),
    ('{"$short": true}', "invalid $short: expected an integer, got true"),
    ('{"$byte": "3"}', 'invalid $byte: expected an integer, got "3"'),
    ('{"$float": "1"}', 'invalid $float: expected a number, got "1"'),
    ('{"$float": true}', "invalid $float: expected a number, got true"),
    ('{"$char": "ab"}', 'invalid $char: expected a character, got "ab"'),
    ('{"$char": 5}', "invalid $char: expected a character, got 5"),
    ('{"$nan": 1}', "invalid $nan: expected true, got 1"),
    ('{"$inf": 2}', "invalid $inf: expected 1 or -1, got 2"),
    ('{"$inf": true}', "invalid $inf: expected 1 or -1, got true"),
    ('{"$bytes": "é"}', 'invalid $bytes: expected base64, got "\\u00e9"'),
    ('{"$bytes": 5}', "invalid $bytes: expected base64, got 5"),
    ('{"$bytes": "AA="}', 'invalid $bytes: expected base64, got "AA="'),
    ('{"$set": {"a": 1}}', 'invalid $set: expected a list, got {"a": 1}'),
    ('{"$map": {"a": 1}}', 'invalid $map: expected a list of [key, value] pairs, got {"a": 1}'),
    ('{"$map": [[1, 2, 3]]}', "invalid $map: expected a list of [key, value] pairs, got [[1, 2, 3]]"),
    ('{"$map": ["ab"]}', 'invalid $map: expected a list of [key, value] pairs, got ["ab"]'),
    ('{"$object": "lambda"}', 'invalid $object: expected a value that can be decoded, got "lambda"'),
    ('[{"$set": "' + "a" * 99 + '"}]', f'invalid $set: expected a list, got "{"a" * 36}...'),
]


@pytest.mark.parametrize(("value", "line"), [*ENCODED, *ENCODED_ONLY])
def test_values_are_encoded(value, line):
    assert to_json(value) == line


@pytest.mark.parametrize(("line", "value"), [*[(line, value) for value, line in ENCODED], *DECODED_ONLY])
def test_json_is_decoded(line, value):
    assert same(decode(json.loads(line)), value)


@pytest.mark.parametrize(("line", "message"), INVALID)
def test_a_tag_with_invalid_content_is_rejected(line, message):
    with pytest.raises(ValueError, match=r"\$") as caught:
        decode(json.loads(line))
    assert str(caught.value) == message


def test_sets_and_maps_preserve_the_order():
    members = [[9, [1]], "b", "a", 5, 1]
    assert to_string(decode({"$set": members})) == "[[9, [1]], b, a, 5, 1]"
    assert list(decode({"$map": [["b", 1], ["a", 2]]})) == ["b", "a"]


def test_members_of_sets_may_be_lists_and_maps():
    assert same(decode({"$set": [[1], {"a": 2}]}), {hashable([1]), hashable({"a": 2})})


def test_deep_nesting_is_rejected_in_both_directions():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(ValueError, match="the value nests too deep to be decoded"):
        decode(nested)
    with pytest.raises(ValueError, match="more than 64 levels"):
        encode(nested)


# No NaN as a key: it is looked up by identity
keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=4)
tags = st.sampled_from(["$set", "$map", "$nan", "$object"])
values = st.recursive(
    keys | st.just(math.nan),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys | tags, inner, max_size=2)
        | st.lists(keys | st.lists(keys, max_size=2).map(hashable), max_size=3).map(OrderedSet)
    ),
    max_leaves=8,
)


@given(values)
def test_encoding_and_decoding_restores_the_value(value):
    assert same(decode(json.loads(to_json(value))), value)
