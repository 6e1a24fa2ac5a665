"""The CSV and JSON parsers."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings, Unreadable
from stellar.pipeline.parsers.csv import CsvParser
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.records import Record

PLACE = SourceLocation("parsers/x.json", "parserConfig")


def rows(text: str, **options: Any) -> list[Any]:
    return list(CsvParser(Settings({"columns": ["timestamp", "a", "b"], **options}, PLACE))(text))


def objects(text: str, **options: Any) -> list[Any]:
    return list(JsonMapParser(Settings(options, PLACE))(text))


def own(record: Record) -> Record:
    return {name: value for name, value in record.items() if name not in ("timestamp", "original_string")}


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("1, x ,y", {"a": "x", "b": "y"}),
        ('1,"x,y",z', {"a": "x,y", "b": "z"}),
        ('1,"say ""hi""",z', {"a": 'say "hi"', "b": "z"}),
        ('1,"say \\"hi\\"",z', {"a": 'say "hi"', "b": "z"}),
        ("1,5,", {"a": "5", "b": ""}),  # every value is a string
        ("1,x,y,more", {"a": "x", "b": "y"}),
    ],
)
def test_a_line_is_a_record(line: str, fields: Record) -> None:
    (record,) = rows(line)
    assert own(record) == fields
    assert record["original_string"] == line
    assert record["timestamp"] == 1


def test_empty_lines_and_comments_are_ignored() -> None:
    assert [own(record) for record in rows("\n# 1,2,3\n  \n1,x,y\n")] == [{"a": "x", "b": "y"}]


def test_a_short_row_is_unreadable_and_the_next_is_read() -> None:
    short, good = rows("1,x\n1,x,y")
    assert isinstance(short, Unreadable)
    assert str(short.error) == ("Unable to parse 1,x: expected column 2 (counted from 0), got 2 values")
    assert own(good) == {"a": "x", "b": "y"}


@pytest.mark.parametrize("columns", [{"b": 0, "a": 1}, ["b", "a"], "b, a", ["a:1", "b:0"], "b:0,a:1"])
def test_columns_have_three_forms(columns: Any) -> None:
    (record,) = rows("x,y", columns=columns)
    assert own(record) == {"b": "x", "a": "y"}


def test_the_separator_is_its_first_character() -> None:
    assert own(rows("1|x|y", separator="|;")[0]) == {"a": "x", "b": "y"}


def test_a_timestamp_other_than_a_number_is_unchanged() -> None:
    assert rows("abc,x,y")[0]["timestamp"] == "abc"


def test_a_timestamp_is_parsed_by_its_format() -> None:
    assert rows("2019-10-15,x,y", timestampFormat="yyyy-MM-dd")[0]["timestamp"] == 1571097600000


def test_a_missing_timestamp_is_the_current_time() -> None:
    (record,) = rows("x", columns=["a"])
    assert record["timestamp"] > 1_700_000_000_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": None},
            'parserConfig.columns: missing key \'columns\'; specify names, such as ["timestamp", "ip"]',
        ),
        ({"columns": 5}, "parserConfig.columns: expected a list of column names, or a map from name to index"),
        ({"columns": ["a:x"]}, "parserConfig.columns: invalid index of a column: expected an integer, counted from 0"),
        ({"columns": []}, "parserConfig.columns: expected at least one column, and indices of 0 or more"),
        ({"separator": '"'}, "parserConfig.separator: invalid separator '\"': expected one character, such as ','"),
        ({"timestampFormat": "bogus"}, "parserConfig.timestampFormat: invalid date pattern 'bogus': "),
    ],
)
def test_csv_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rows("", **options)
    assert str(refused.value).startswith(f"parsers/x.json: {message}")


NESTED = '{"a": 1, "m": {"x": {"y": 2}}, "l": [1, {"z": 3}], "n": null}'


@pytest.mark.parametrize(
    ("strategy", "fields"),
    [
        ("DROP", {"a": 1, "l": [1, {"z": 3}], "n": None}),
        ("UNFOLD", {"a": 1, "m.x.y": 2, "l": [1, {"z": 3}], "n": None}),
        ("ALLOW", {"a": 1, "m": {"x": {"y": 2}}, "l": [1, {"z": 3}], "n": None}),
    ],
)
def test_nested_maps_follow_the_strategy(strategy: str, fields: Record) -> None:
    (record,) = objects(NESTED, mapStrategy=strategy)
    assert own(record) == fields
    assert record["original_string"] == NESTED


def test_maps_can_be_rejected() -> None:
    (refused,) = objects('{"m": {"x": 1}}', mapStrategy="ERROR")
    assert isinstance(refused, Unreadable)
    assert str(refused.error) == 'Unable to process m => {"x": 1} because value is a map.'


def test_a_list_contains_many_records() -> None:
    first, wrong, last = objects('[{"a": 1}, 5, {"a": 2}]', overrideOriginalString=True)
    assert first["original_string"] == '{"a":1}'
    assert isinstance(wrong, Unreadable)
    assert last["a"] == 2


def test_invalid_json_is_unreadable() -> None:
    with pytest.raises(ValueError, match="Unable to parse garbage: "):
        objects("garbage")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapStrategy": "DROPP"}, "parserConfig.mapStrategy: unknown strategy 'DROPP'; did you mean DROP?"),
        (
            {"jsonpQuery": "$.x"},
            "parserConfig.jsonpQuery: unsupported option 'jsonpQuery'; send an object or a list of objects",
        ),
        ({"overrideOriginalString": 5}, "parserConfig.overrideOriginalString: expected true or false, got 5"),
    ],
)
def test_json_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        objects("{}", **options)
    assert str(refused.value) == f"parsers/x.json: {message}"
