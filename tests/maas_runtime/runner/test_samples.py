"""Samples: parsing of hostile files, and the comparison of results."""

from __future__ import annotations

import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_runtime.runner.samples import (
    MAX_BYTES,
    MAX_LINE_BYTES,
    find_difference,
    parse_warm_up,
    read_samples,
)
from maas_runtime.store.base import SAMPLES_FILE

DIFFERENCES = [
    ({"score": 1}, {"score": 2}, "expected score 1, got 2"),
    ({"score": 1}, {}, "expected score 1, got no such key"),
    ({"score": 1}, {"Score": 1}, "expected score 1, got no such key"),
    ({"score": 1}, {"score": "1"}, 'expected score 1, got "1"'),
    ({"score": 1}, {"score": True}, "expected score 1, got true"),
    ({"score": False}, {"score": 0}, "expected score false, got 0"),
    ({"score": None}, {"score": 0}, "expected score null, got 0"),
    ({"score": 0.1}, {"score": 0.1001}, "expected score 0.1, got 0.1001"),
    ({"score": 10**18}, {"score": 10**18 + 1}, "expected score 1000000000000000000, got 1000000000000000001"),
    ({"score": 0.5}, {"score": 10**400}, "expected score 0.5, got 1000"),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, "expected a.b.c 1, got 2"),
    ({"a": [1, {"b c": 2}]}, {"a": [1, {"b c": 3}]}, 'expected a[1]."b c" 2, got 3'),
    ({"a": [1, 2]}, {"a": [1]}, "expected a an array of 2, got an array of 1"),
    ({"a": {}}, {"a": []}, "expected a an object with 0 keys, got an array of 0"),
    ({"a": "\x1b[2J"}, {"a": 1}, 'expected a "\\u001b[2J", got 1'),
]


@pytest.mark.parametrize(("expected", "got", "difference"), DIFFERENCES)
def test_a_difference_names_the_key_and_both_values(expected, got, difference):
    assert find_difference(expected, got).startswith(difference)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({}, {"score": 1}),
        ({"score": 1}, {"score": 1.0, "more": [1]}),
        ({"score": 0.1 + 0.2}, {"score": 0.3}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}),
        ({"a": None, "b": "x", "c": True}, {"c": True, "b": "x", "a": None}),
        ({"a": 1e308}, {"a": 1e308}),
    ],
)
def test_further_keys_and_other_notations_of_a_number_are_no_difference(expected, got):
    assert find_difference(expected, got) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), values))
def test_a_result_is_equal_to_itself(result):
    assert find_difference(result, json.loads(json.dumps(result))) is None


def test_deeply_nested_results_are_compared():
    nested, other = 1, 2
    for _ in range(20_000):
        nested, other = [nested], [other]
    assert find_difference({"a": nested}, {"a": nested}) is None
    assert find_difference({"a": nested}, {"a": other}).endswith("1, got 2")


def test_samples_are_read_with_their_lines(tmp_path):
    (tmp_path / SAMPLES_FILE).write_text('{"args": {"host": "a"}, "result": {"score": 1}}\n\n{"args": {}}\r\n')
    first, second = read_samples(tmp_path)
    assert (first.origin, first.arguments, first.result) == ("samples.jsonl line 1", {"host": "a"}, {"score": 1})
    assert (second.origin, second.arguments, second.result) == ("samples.jsonl line 3", {}, None)


def test_a_model_without_samples_has_none(tmp_path):
    assert read_samples(tmp_path) == []


INVALID = {
    "not JSON": ('{"args": {}}\n{"args"', "invalid samples.jsonl line 2: Expecting ':' delimiter"),
    "NaN": ('{"args": {"x": NaN}}', "invalid samples.jsonl line 1: NaN is not JSON"),
    "an array": ('["host"]', "invalid samples.jsonl line 1: expected a JSON object such as"),
    "no arguments": ('{"result": {}}', "invalid samples.jsonl line 1: expected a JSON object such as"),
    "arguments in a list": ('{"args": ["a"]}', "invalid samples.jsonl line 1: expected a JSON object such as"),
    "a misspelt key": ('{"args": {}, "results": {}}', 'invalid samples.jsonl line 1: unknown key "results"'),
    "a scalar result": ('{"args": {}, "result": 1}', "result: expected a JSON object, got 1"),
    "a null result": ('{"args": {}, "result": null}', "result: expected a JSON object, got null"),
    "not UTF-8": (b'{"args": {"x": "\xff"}}', "invalid samples.jsonl line 1: 'utf-8' codec"),
    "deep nesting": ('{"args": ' + '{"a": ' * 9000, "invalid samples.jsonl line 1: "),
    "a long line": ('{"args": {"x": "' + "x" * MAX_LINE_BYTES + '"}}', "line 1: 65,555 bytes, expected at most 65,536"),
    "many lines": ('{"args": {}}\n' * 1001, "invalid samples.jsonl: 1,001 samples, expected at most 1,000"),
    "a million lines": ('{"args":{}}\n' * 1_000_000, "invalid samples.jsonl: too large: expected at most 4,194,304"),
    "too large": ("\n" * (MAX_BYTES + 1), "invalid samples.jsonl: too large"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_file_is_rejected_with_the_line(kind, tmp_path):
    content, reason = INVALID[kind]
    (tmp_path / SAMPLES_FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_samples(tmp_path)


def test_only_a_regular_file_is_read(tmp_path):
    (tmp_path / SAMPLES_FILE).symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="expected a regular file, got a link"):
        read_samples(tmp_path)
    (tmp_path / SAMPLES_FILE).unlink()
    os.mkfifo(tmp_path / SAMPLES_FILE)
    with pytest.raises(ValueError, match="expected a regular file"):
        read_samples(tmp_path)


def test_a_warm_up_request_is_a_query():
    (sample,) = parse_warm_up(["host=a.com&path=%2Fx+y&empty=&none"])
    assert sample.arguments == {"host": "a.com", "path": "/x y", "empty": "", "none": None}
    assert sample.result is None


@pytest.mark.parametrize("query", ["", "=1", "a=1&", "a=1&a=2", "a=\x1b", "a=" + "x" * 5000])
def test_an_invalid_warm_up_request_is_rejected(query):
    with pytest.raises(ValueError, match="invalid warm-up request"):
        parse_warm_up([query])


def test_the_number_of_warm_up_requests_is_limited():
    with pytest.raises(ValueError, match="too many warm-up requests: 21, expected at most 20"):
        parse_warm_up(["a=1"] * 21)
