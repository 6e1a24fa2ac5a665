"""The JSON parser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stellar.language.errors import ConfigError

from .conftest import NOW

Parse = Callable[..., Any]

NESTED = '{"a": 1, "m": {"x": {"y": 2}}, "l": [1, {"z": 3}], "e": {}, "n": null}'


@pytest.mark.parametrize(
    ("strategy", "fields"),
    [
        ("DROP", {"a": 1, "l": [1, {"z": 3}], "n": None}),
        ("UNFOLD", {"a": 1, "m.x.y": 2, "l": [1, {"z": 3}], "n": None}),
        ("ALLOW", {"a": 1, "m": {"x": {"y": 2}}, "l": [1, {"z": 3}], "e": {}, "n": None}),
    ],
)
def test_nested_maps_follow_the_strategy(strategy: str, fields: Any, parse_one: Parse) -> None:
    assert parse_one("JSONMap", NESTED, mapStrategy=strategy) == fields


def test_maps_can_be_rejected(parse: Parse) -> None:
    text = '{"m": {"x": [1]}}'
    reason = "Unable to process m => {x=[1]} because value is a map."
    assert parse("JSONMap", text, mapStrategy="ERROR") == [(text, f"Unable to parse {text}: {reason}")]


def test_a_rejected_object_does_not_take_the_others_along(parse: Parse) -> None:
    good, bad, last = parse("JSONMap", '[{"a": 1}, {"m": {}}, {"a": 2}]', mapStrategy="ERROR", jsonpQuery="$")
    assert (good["a"], last["a"]) == (1, 2)
    assert isinstance(bad, tuple)


def test_an_empty_key_is_unfolded(parse_one: Parse) -> None:
    assert parse_one("JSONMap", '{"a": {"": 1}, "": {"b": 2}}', mapStrategy="UNFOLD") == {"a.": 1, ".b": 2}


@pytest.mark.parametrize(
    ("text", "timestamp"), [('{"timestamp": null}', None), ('{"timestamp": "2016"}', "2016"), ("{}", NOW)]
)
def test_only_a_missing_timestamp_is_set(text: str, timestamp: Any, parse: Parse) -> None:
    assert parse("JSONMap", text) == [{"timestamp": timestamp}]


def test_the_message_is_not_in_the_record(parse: Parse) -> None:
    assert "original_string" not in parse("JSONMap", '{"a": 1}')[0]


@pytest.mark.parametrize("query", ["", "$"])
def test_an_object_can_be_its_own_original_string(query: str, parse: Parse) -> None:
    item = '{"b": "/ \u2028 é", "a": 1e999, "m": {"x": 1}}'
    (record,) = parse("JSONMap", f"[{item}]" if query else item, jsonpQuery=query, overrideOriginalString=True)
    assert record["original_string"] == '{"b":"\\/ \\u2028 é","a":null,"m":{"x":1}}'


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '/* c */ {"a": /* // */ 2} // c', '{"a": 2}\n\n', '\t{"a": 2} \xa0', '// c\r{"a": 2}']
)
def test_comments_and_duplicate_keys_are_accepted(text: str, parse_one: Parse) -> None:
    assert parse_one("JSONMap", text) == {"a": 2}


def test_slashes_in_strings_are_no_comments(parse_one: Parse) -> None:
    text = '{"a": "http://x/*", /* " */ "b": "\\"// */"} // "'
    assert parse_one("JSONMap", text) == {"a": "http://x/*", "b": '"// */'}


@pytest.mark.parametrize("rest", [',{"b": 2}', ' {"b": 2}', "x", "\ufffd", "]", "/* c"])
def test_text_after_the_object_is_reported(rest: str, parse: Parse) -> None:
    record, (text, reason) = parse("JSONMap", '{"a": 1}' + rest)
    assert record["a"] == 1
    assert text == rest.lstrip()
    assert reason.startswith(f"Unable to parse {text}: unexpected text after the first JSON value")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "garbage",
        "null",
        "5",
        '"text"',
        "[]",
        '[{"a": 1}]',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 01}',
        '{"a": 1,}',
        "{'a': 1}",
        '{"a": "\t"}',
        '\ufeff{"a": 1}',
        '\u2028{"a": 1}',
        '{"a": 1',
        '{"a": "\\x41"}',
        "/* c",
        "//",
        '{"a": ' + "1" * 5000 + "}",
        '{"a":' * 100_000,
        "[" * 1_000_000,
    ],
)
def test_another_message_is_an_error(text: str, parse: Parse) -> None:
    with pytest.raises(ValueError, match="Unable to parse"):
        parse("JSONMap", text)


def test_an_error_names_the_position(parse: Parse) -> None:
    with pytest.raises(ValueError, match="invalid JSON: Expecting value at line 2, column 7"):
        parse("JSONMap", '{"b": 1, // é\n "a": }')


def test_a_list_is_an_error_that_names_the_fix(parse: Parse) -> None:
    with pytest.raises(ValueError, match=r"expected an object, got a list; select its objects by jsonpQuery '\$'$"):
        parse("JSONMap", '[{"a": 1}]')


# -- Queries


def objects(parse: Parse, text: str, **options: Any) -> list[Any]:
    return [
        {key: value for key, value in each.items() if key != "timestamp"} for each in parse("JSONMap", text, **options)
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("$.l", [{"n": 1}, {"n": 2}]),
        ("l", [{"n": 1}, {"n": 2}]),
        ("$.l[?(@.n > 1)]", [{"n": 2}]),
        ("$.l[-1:]", [{"n": 2}]),
        ("$..o", [{"n": 3}]),
        ("$.missing", []),
        ("$.null", []),
        ("$.l[5]", []),
    ],
)
def test_each_selected_object_is_a_record(query: str, expected: Any, parse: Parse) -> None:
    text = '{"l": [{"n": 1}, {"n": 2}], "o": {"n": 3}, "null": null}'
    assert objects(parse, text, jsonpQuery=query) == expected


@pytest.mark.parametrize("query", ["$", "$.a", "$.l", "$.l[0]", "$.t", "$..*", "$.l.length()"])
def test_a_query_with_another_result_is_an_error(query: str, parse: Parse) -> None:
    text = '{"a": 1, "t": "x", "l": [{"n": 1}, null]}'
    with pytest.raises(ValueError, match=r"Unable to parse .*: expected jsonpQuery to select a list of objects, got"):
        parse("JSONMap", text, jsonpQuery=query)


@pytest.mark.parametrize("text", ["", "null", "garbage", '{"a": 1', '// c\n{"a": 1}', "[NaN]"])
def test_a_query_needs_json_without_comments(text: str, parse: Parse) -> None:
    with pytest.raises(ValueError, match="Unable to parse"):
        parse("JSONMap", text, jsonpQuery="$.a")


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({"wrapInEntityArray": True}, "$.messages"),
        ({"wrapInEntityArray": "true"}, "$.messages"),
        ({"wrapInEntityArray": True, "wrapEntityName": "foo"}, "$.foo"),
    ],
)
def test_a_sequence_of_objects_is_wrapped(options: Any, query: str, parse: Parse) -> None:
    assert objects(parse, '{"n": 1},\n{"n": 2} , ', jsonpQuery=query, **options) == [{"n": 1}, {"n": 2}]


def test_only_one_comma_after_the_sequence_is_dropped(parse: Parse) -> None:
    with pytest.raises(ValueError, match=r"Unable to parse \{\},,: invalid JSON"):
        parse("JSONMap", "{},,", jsonpQuery="$.messages", wrapInEntityArray=True)


@pytest.mark.parametrize("query", [None, ""])
def test_nothing_is_wrapped_without_a_query(query: str | None, parse_one: Parse) -> None:
    assert parse_one("JSONMap", '{"n": 1}', jsonpQuery=query, wrapInEntityArray=True) == {"n": 1}


# -- Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapStrategy": "DROPP"}, "mapStrategy: unknown strategy 'DROPP'; did you mean DROP?"),
        ({"mapStrategy": "drop"}, "mapStrategy: unknown strategy 'drop'; did you mean DROP?"),
        ({"jsonpQuery": 5}, "jsonpQuery: expected a string, got 5"),
        ({"jsonpQuery": " "}, "jsonpQuery: the path is empty"),
        ({"jsonpQuery": "$.["}, "jsonpQuery: invalid JSONPath '$.[': "),
        ({"jsonpQuery": "not a path"}, "jsonpQuery: invalid JSONPath '$.not a path': unexpected character at offset 5"),
        ({"overrideOriginalString": "true"}, "overrideOriginalString: expected true or false, got 'true'"),
        ({"overrideOriginalString": None}, "overrideOriginalString: expected true or false, got null"),
        ({"wrapInEntityArray": 1, "jsonpQuery": "$"}, "wrapInEntityArray: expected true or false, got 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str, parse: Parse) -> None:
    with pytest.raises(ConfigError) as failed:
        parse("JSONMap", "{}", **options)
    assert str(failed.value).startswith(f"parsers/x.json: parserConfig.{message}")


# -- Input of any size


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' + "/*" * 1_000_000,
        '{"a": ' + '"\\' * 1_000_000,
        '{"a": "' + '\\"' * 1_000_000,
        "/" * 2_000_000,
        '{"a": 1}' + " /**/" * 1_000_000 + "x",
        " " * 1_000_000,
    ],
)
def test_comments_are_found_in_linear_time(text: str, parse: Parse) -> None:
    try:
        found = parse("JSONMap", text)
    except ValueError as error:
        found = [str(error)]
    assert "Unable to parse" in str(found[-1])


def test_a_long_string_is_read(parse_one: Parse) -> None:
    assert len(parse_one("JSONMap", json.dumps({"a": "x" * 10_000_000}))["a"]) == 10_000_000


def test_deep_maps_are_unfolded(parse_one: Parse) -> None:
    depth = 150
    record = parse_one("JSONMap", '{"a":' * depth + "1" + "}" * depth, mapStrategy="UNFOLD")
    assert record == {".".join("a" * depth): 1}
