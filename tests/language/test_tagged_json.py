"""Values go to JSON and back."""

from __future__ import annotations

import json
import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.language.conversions import to_text
from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import Fields, hashable, same
from stellar.language.tagged_json import decode, encode, to_json

WRITTEN = [
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
READ = [
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
WRITTEN_ONLY = [
    ((1, 2), "[1, 2]"),
    (frozenset([1]), '{"$set": [1]}'),
    (Fields({"a": 1}), '{"a": 1}'),
    (MappingProxyType({"a": 1}), '{"a": 1}'),
    (lambda: 1, '{"$object": "lambda"}'),
    (MappingProxyType, '{"$object": "type"}'),
]
REFUSED = [
    ('{"$long": 1.5}', "$long holds a whole number, not 1.5"),
    ('{"$short": true}', "$short holds a whole number, not true"),
    ('{"$byte": "3"}', '$byte holds a whole number, not "3"'),
    ('{"$float": "1"}', '$float holds a number, not "1"'),
    ('{"$float": true}', "$float holds a number, not true"),
    ('{"$char": "ab"}', '$char holds a letter, not "ab"'),
    ('{"$char": 5}', "$char holds a letter, not 5"),
    ('{"$nan": 1}', "$nan holds true, not 1"),
    ('{"$inf": 2}', "$inf holds 1 or -1, not 2"),
    ('{"$inf": true}', "$inf holds 1 or -1, not true"),
    ('{"$bytes": "é"}', '$bytes holds base64, not "\\u00e9"'),
    ('{"$bytes": 5}', "$bytes holds base64, not 5"),
    ('{"$bytes": "AA="}', '$bytes holds base64, not "AA="'),
    ('{"$set": {"a": 1}}', '$set holds a list, not {"a": 1}'),
    ('{"$map": {"a": 1}}', '$map holds a list of [key, value] pairs, not {"a": 1}'),
    ('{"$map": [[1, 2, 3]]}', "$map holds a list of [key, value] pairs, not [[1, 2, 3]]"),
    ('{"$map": ["ab"]}', '$map holds a list of [key, value] pairs, not ["ab"]'),
    ('{"$object": "lambda"}', '$object holds what can\'t be read again, not "lambda"'),
    ('[{"$set": "' + "a" * 99 + '"}]', f'$set holds a list, not "{"a" * 36}...'),
]


@pytest.mark.parametrize(("value", "text"), [*WRITTEN, *WRITTEN_ONLY])
def test_a_value_is_written_so(value, text):
    assert to_json(value) == text


@pytest.mark.parametrize(("text", "value"), [*[(text, value) for value, text in WRITTEN], *READ])
def test_a_text_is_read_so(text, value):
    assert same(decode(json.loads(text)), value)


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_tag_with_the_wrong_content_is_refused(text, message):
    with pytest.raises(ValueError, match=r"\$") as caught:
        decode(json.loads(text))
    assert str(caught.value) == message


def test_sets_and_maps_keep_the_order_given():
    members = [[9, [1]], "b", "a", 5, 1]
    assert to_text(decode({"$set": members})) == "[[9, [1]], b, a, 5, 1]"
    assert list(decode({"$map": [["b", 1], ["a", 2]]})) == ["b", "a"]


def test_members_of_sets_may_be_lists_and_maps():
    assert same(decode({"$set": [[1], {"a": 2}]}), {hashable([1]), hashable({"a": 2})})


def test_what_nests_too_deep_is_refused_both_ways():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(ValueError, match="a value nested this deep can't be read"):
        decode(nested)
    with pytest.raises(ValueError, match="a value nested this deep, or one that holds itself, can't be written"):
        encode(nested)


# NaN is looked up by identity, so as a key it can't be found again
keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=4)
tags = st.sampled_from(["$set", "$map", "$nan", "$object"])
values = st.recursive(
    keys | st.just(math.nan),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(keys | tags, part, max_size=2)
        | st.lists(keys | st.lists(keys, max_size=2).map(hashable), max_size=3).map(OrderedSet)
    ),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_read_again(value):
    assert same(decode(json.loads(to_json(value))), value)
