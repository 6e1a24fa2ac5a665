"""The CSV parser."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.language.errors import ConfigError
from stellar.pipeline.parsers.csv import RowSplitter

from .conftest import NOW

Parse = Callable[..., Any]
COLUMNS = ["timestamp", "a", "b"]


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ("1, x ,y", ["1", " x ", "y"]),
        ('1,"x,y",z', ["1", "x,y", "z"]),
        ('1,"say ""hi""",z', ["1", 'say "hi"', "z"]),
        (r'1,"say \"hi\"",z', ["1", 'say "hi"', "z"]),
        (r'1,"back\\slash",z', ["1", r"back\slash", "z"]),
        (r"1\,x,y", ["1", "x", "y"]),  # a backslash outside quotes is dropped and protects nothing
        (r"a\nb", ["anb"]),
        (r"a\"b,c", ['a"b', "c"]),  # but a quote within a value
        ('abc"x"d,e', ['abc"x"d', "e"]),  # quotes in the middle of a value remain
        ('a"x"y', ['ax"y']),  # up to the third character a quote is dropped
        ('😀b"x"y', ['😀b"x"y']),  # which has two of Java's characters
        ('abc,\u00a0"x" ', ["abc", '\u00a0"x" ']),  # a no-break space is no whitespace
        ('a, "b" ,c', ["a", 'b" ', "c"]),  # whitespace before an opening quote goes, the closing one remains
        ('"a\nb",c', ["a\nb", "c"]),
        ('"",""', ["", ""]),
        ("", [""]),
        (",,", ["", "", ""]),
        ("'a,b',c", ["'a", "b'", "c"]),
    ],
)
def test_a_row_is_split_as_by_opencsv(row: str, values: list[str]) -> None:
    assert RowSplitter(",")(row) == values


@pytest.mark.parametrize("row", ['"a,b', 'a,"b\nc', r"\"a", '"a""'])
def test_an_unclosed_quote_is_an_error(row: str) -> None:
    with pytest.raises(ValueError, match=r"^Un-terminated quoted field at end of CSV line$"):
        RowSplitter(",")(row)


@given(st.text(alphabet='a ,"\t', max_size=12))
def test_the_fast_path_gives_the_same_values(row: str) -> None:
    split = RowSplitter(",")
    if '"' in row and (values := split._split_ordinary(row)) is not None:
        assert values == split._split_any(row)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters='\\"\r\n\0', exclude_categories=["Cs"])), min_size=1))
def test_rows_of_python_are_read(values: list[str]) -> None:
    lines: list[str] = []

    class Lines:
        write = lines.append

    csv.writer(Lines(), quoting=csv.QUOTE_ALL).writerow(values)
    assert RowSplitter(",")(lines[0].removesuffix("\r\n")) == values


@pytest.mark.parametrize("separator", ["\n", "\r", "\0", "|", "]", "^", "-", "\t", " ", "😀", "|;"])
def test_the_separator_may_be_any_character(separator: str, parse_one: Parse) -> None:
    row = f'1{separator[0]}"x"{separator[0]}y'
    assert parse_one("CSV", row, columns=COLUMNS, separator=separator) == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    "columns", [{"b": 0, "a": 1}, ["b", "a"], "b, a", ["a:1", "b:0"], "b:0,a:1", {"b": "0", "a": "1"}]
)
def test_columns_have_several_forms(columns: Any, parse_one: Parse) -> None:
    assert parse_one("CSV", "x,y,z", columns=columns) == {"b": "x", "a": "y"}


def test_a_name_may_contain_colons(parse_one: Parse) -> None:
    assert parse_one("CSV", "x,y", columns=["a:b:1"]) == {"a": "y"}


def test_a_message_is_a_row(parse: Parse) -> None:
    assert parse("CSV", "1,x\n2,y", columns=COLUMNS) == [
        {"timestamp": 1, "a": "x\n2", "b": "y", "original_string": "1,x\n2,y"}
    ]


@pytest.mark.parametrize("text", ["", "  ", "\n", "# 1,2,3", "  #"])
def test_empty_messages_and_comments_are_ignored(text: str, parse: Parse) -> None:
    assert parse("CSV", text, columns=COLUMNS) == []


def test_a_short_row_is_an_error(parse: Parse) -> None:
    with pytest.raises(ValueError, match="Unable to parse") as failed:
        parse("CSV", "1,x", columns=COLUMNS)
    assert str(failed.value) == "Unable to parse 1,x: Index 2 out of bounds for length 2; expected at least 3 values"


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("17", 17),
        ("-5", -5),
        ("007", 7),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "9223372036854775808"),
        ("9" * 5000, "9" * 5000),
        ("+5", "+5"),
        ("1.5", "1.5"),
        ("٣", "٣"),
        ("abc", "abc"),
        ("", ""),
    ],
)
def test_an_integer_is_a_timestamp_and_other_values_are_unchanged(text: str, timestamp: Any, parse: Parse) -> None:
    assert parse("CSV", f"{text},x,y", columns=COLUMNS)[0]["timestamp"] == timestamp


@pytest.mark.parametrize(
    ("text", "options", "timestamp"),
    [
        ("2019-10-15", {}, 1571097600000),
        ("2019-10-15 and more", {}, 1571097600000),
        ("2019-10-15", {"timeZone": "America/New_York"}, 1571112000000),
        ("2019-13-01", {}, 1577836800000),  # dates are lenient
        ("yesterday", {}, "yesterday"),
    ],
)
def test_a_timestamp_is_parsed_by_its_format(text: str, options: Any, timestamp: Any, parse: Parse) -> None:
    (record,) = parse("CSV", f"{text},x,y", columns=COLUMNS, timestampFormat="yyyy-MM-dd", **options)
    assert record["timestamp"] == timestamp


def test_a_missing_timestamp_is_the_current_time(parse: Parse) -> None:
    assert parse("CSV", "x", columns=["a"])[0]["timestamp"] == NOW


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, 'columns: missing key \'columns\'; specify names, such as ["timestamp", "ip"]'),
        ({"columns": 5}, "columns: expected a list of column names, or a map from name to index"),
        ({"columns": ["a", None]}, "columns: expected a list of column names, or a map from name to index"),
        ({"columns": []}, "columns: expected at least one column"),
        ({"columns": ["a:x"]}, "columns: invalid index 'x' of a column: expected an integer, counted from 0"),
        ({"columns": {"a": -1}}, "columns: invalid index '-1' of a column: expected an integer, counted from 0"),
        ({"columns": {"a": 1.0}}, "columns: invalid index '1.0' of a column: expected an integer, counted from 0"),
        ({"columns": {"a": True}}, "columns: invalid index 'true' of a column: expected an integer, counted from 0"),
        (
            {"columns": "a", "separator": ""},
            "separator: invalid separator '': expected one character other than '\"' and '\\', such as ','",
        ),
        (
            {"columns": "a", "separator": "\\;"},
            "separator: invalid separator '\\\\;': expected one character other than '\"' and '\\', such as ','",
        ),
        ({"columns": "a", "timestampFormat": "bogus"}, "timestampFormat: invalid date pattern 'bogus': "),
        ({"columns": "a", "timeZone": "EST"}, "timeZone: unknown time zone 'EST': "),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str, parse: Parse) -> None:
    with pytest.raises(ConfigError) as failed:
        parse("CSV", "", **options)
    assert str(failed.value).startswith(f"parsers/x.json: parserConfig.{message}")


@pytest.mark.parametrize(
    "row",
    [
        '"' + "a" * 10_000_000 + '",b,c',
        "a," * 3_000_000,
        '"' + '""' * 1_000_000 + '",b,c',
        'x"' * 300_001 + ",b,c",
        "\\" * 1_000_000,
    ],
)
def test_a_long_row_is_read_in_linear_time(row: str, parse: Parse) -> None:
    try:
        (record,) = parse("CSV", row, columns=["a"])
    except ValueError as error:
        assert "Un-terminated" in str(error)  # noqa: PT017 (either is right, if it ends)
    else:
        assert record["original_string"] == row


@pytest.mark.parametrize("character", ["\u2028", "\u0085", "\f", "\v", "\x1c", "\ufeff"])
def test_other_line_separators_are_characters(character: str, parse_one: Parse) -> None:
    assert parse_one("CSV", f"x{character}y,z", columns=["a", "b"]) == {"a": f"x{character}y", "b": "z"}
