"""The compiled form of the CSV parser returns the records and errors of the parser itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers.csv import CsvParser
from stellar.util.clock import fix_time

COLUMNS: tuple[object, ...] = (
    ["timestamp", "a", "b"],
    ["a", "b", "c"],
    ["a"],
    {"a": 2, "timestamp": 0},
    {"b": 1, "original_string": 0},
    ["timestamp", "original_string"],
)
PIECES = (
    "a", "bc", '"', '"', '""', ",", ",", ",", ";", "\t", " ", "\\", "'", "12", "-5", "1571163620277", "9" * 20, "é",
    "\u2028", "\x85", "\xa0", "\x00", "\n", "\r", "#", "٣",
)  # fmt: skip


def make_row(rnd: random.Random, separator: str) -> str:
    if rnd.random() < 0.5:
        return "".join(rnd.choice(PIECES) for _ in range(rnd.randint(0, 12)))
    values = ("".join(rnd.choice(PIECES) for _ in range(rnd.randint(0, 2))) for _ in range(rnd.randint(1, 4)))
    return separator.join(f'"{value}"' if rnd.random() < 0.5 else value for value in values)


def describe(parser: CsvParser, row: str) -> object:
    try:
        return [list(record.items()) for record in parser(row) if isinstance(record, dict)]
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("separator", [",", ";", "\t", " ", "\n", "é", "#"])
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("time_format", ["", "yyyy"])
def test_both_forms_agree(separator: str, columns: object, time_format: str) -> None:
    rnd = random.Random(f"{separator}{columns}")
    options: dict[str, Any] = {"columns": columns, "separator": separator, "timestampFormat": time_format}
    compiled, slow = (CsvParser(Settings(options, SourceLocation("x"))) for _ in range(2))
    records = 0
    with fix_time(1_571_163_620_306):
        for _ in range(800):
            row = make_row(rnd, separator)
            slow._parse_row = slow._record
            expected = describe(slow, row)
            assert describe(compiled, row) == expected, row
            records += isinstance(expected, list)
    assert compiled._parse_row not in (compiled._record, compiled._parse_first)
    assert records > 0


def test_a_long_value_in_quotes_is_parsed() -> None:
    options = {"columns": ["timestamp", "a"]}
    parser = CsvParser(Settings(options, SourceLocation("x")))
    long = "x" * 10_000_000
    for _ in range(20):
        (record,) = parser('1,"short"')
        assert isinstance(record, dict)
        assert record["a"] == "short"
    (record,) = parser(f'1,"{long}"')
    assert isinstance(record, dict)
    assert record["a"] == long
