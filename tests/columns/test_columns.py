"""Records in columns: their sources, what is evaluated record by record, and the comparison of a sample."""

from __future__ import annotations

import gzip
import json
import logging
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import stellar
from stellar.columns import RecordColumns, evaluate, evaluate_all, read_records
from stellar.columns import functions as translations
from stellar.columns.evaluation import are_same
from stellar.columns.translate import MAX_DEPTH, MAX_DIVISIONS, MAX_OPERANDS
from stellar.functions import LIBRARY, strings
from stellar.language.errors import EvaluationError, ParseError
from stellar.language.library import Library
from stellar.language.library import stellar as stellar_function
from stellar.pipeline.connectors.sinks import Sinks

FRAME = pl.DataFrame(
    {
        "port": [22, 443, None, 80],
        "host": ["a.example.com", None, "b.example.org", "ß"],
        "bytes": [1.5, 0.0, 2.0, None],
        "tags": [["x"], [], None, ["y"]],
    }
)


@pytest.mark.parametrize(
    ("expression", "values", "dtype", "evaluated"),
    [
        ("port == 22 or port == 80", [True, False, False, True], pl.Boolean, 0),
        ("port + 1", [23, 444, 1, 81], pl.Int64, 0),
        ("-bytes", [-1.5, -0.0, -2.0, 0], pl.Object, 1),
        ("TO_UPPER(host)", ["A.EXAMPLE.COM", None, "B.EXAMPLE.ORG", "SS"], pl.String, 1),
        ("LENGTH(tags)", [1, 0, 0, 1], pl.Int64, 4),
        ("port == 22 and LENGTH(tags) == 1", [True, False, False, False], pl.Boolean, 1),
        ("exists(port) ? 100 / port : -1", [4, 0, -1, 1], pl.Int64, 0),
        ("match { port == 22 => 'ssh', default => null }", ["ssh", None, None, None], pl.String, 0),
        ("port == 22 ? 1 : 'x'", [1, "x", "x", "x"], pl.Object, 4),
        ("null", [None] * 4, pl.Null, 0),
        ("missing", [None] * 4, pl.Null, 0),
        ("if port == 22 then null else missing", [None] * 4, pl.Null, 0),
        ("1", [1] * 4, pl.Int64, 0),
        ("LENGTH(_)", [4, 3, 2, 3], pl.Int64, 4),
        ("MAP([1], x -> x + port)", [[23], [444], [1], [81]], pl.Object, 4),
    ],
)
def test_rows_without_a_translation_are_evaluated_one_by_one(
    expression: str, values: list[Any], dtype: Any, evaluated: int
) -> None:
    result = evaluate_all(FRAME, {"result": expression})["result"]
    assert result.values.to_list() == values
    assert (result.values.name, result.values.dtype) == ("result", dtype)
    assert (result.evaluated, result.failures) == (evaluated, {})
    assert evaluate(FRAME, expression).to_list() == values


def test_the_first_error_is_raised_with_its_location() -> None:
    with pytest.raises(EvaluationError, match="division by zero") as raised:
        evaluate(FRAME, "1000 / (port - 443)")
    assert raised.value.source == "1000 / (port - 443)"
    result = evaluate_all(FRAME, {"": "1000 / (port - 443)", "other": "host < 1"})
    assert list(result[""].failures) == [1]
    assert result[""].values.to_list() == [-2, None, -2, -2]
    assert list(result["other"].failures) == [0, 2, 3]
    with pytest.raises(ParseError):
        evaluate(FRAME, "1 +")


def test_a_predicate_returns_booleans_or_null() -> None:
    assert evaluate(FRAME, stellar.compile("port > 22", predicate=True)).to_list() == [False, True, False, True]
    result = evaluate_all(FRAME, {"": stellar.compile("port", predicate=True)})[""]
    assert list(result.failures) == [0, 1, 3]
    assert result.values.to_list() == [None] * 4


def test_deep_and_long_expressions_are_evaluated_one_by_one() -> None:
    deep = "(" * (MAX_DEPTH + 1) + "port" + " + 1)" * (MAX_DEPTH + 1)
    operands = " and ".join(f"port != {number}" for number in range(1000, 1000 + MAX_OPERANDS + 1))
    clauses = ", ".join(f"port == {number} => {number}" for number in range(MAX_OPERANDS + 1))
    divisions = "port" + " / 2" * (MAX_DIVISIONS + 1)
    expressions = (deep, operands, f"match {{ {clauses}, default => null }}", divisions)
    for expression, result in evaluate_all(FRAME, {each: each for each in expressions}).items():
        assert result.evaluated == FRAME.height
        records = [{"port": port} for port in FRAME["port"]]
        assert result.values.to_list() == [stellar.compile(expression)(record) for record in records]


def test_integers_that_may_need_more_than_64_bits_are_evaluated_one_by_one() -> None:
    frame = pl.DataFrame({"n": [2**62, -(2**63)]})
    assert evaluate(frame, "n + n").to_list() == [2**63, -(2**64)]
    assert evaluate(frame, "-n").to_list() == [-(2**62), 2**63]
    assert evaluate(frame, "5 / n").to_list() == [0, 0]
    assert evaluate_all(frame, {"": "n * 2 > 0"})[""].evaluated == 2
    assert evaluate_all(frame, {"": "n / 2 - 1"})[""].evaluated == 2  # as n / -1 would need 65 bits


def test_a_function_of_another_library_with_the_same_name_has_no_translation() -> None:
    @stellar_function("TO_UPPER", pure=True)
    def upper(text: str | None) -> str:
        """Return a constant.

        text: A string
        returns: The constant
        """
        return "mine"

    library = Library.of(LIBRARY, upper)
    assert evaluate(FRAME, "TO_UPPER(host)", library=library).to_list() == ["mine"] * 4


def test_a_wrong_translation_is_reported_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = translations.TRANSLATIONS[strings.to_lower]
    monkeypatch.setitem(translations.TRANSLATIONS, strings.to_upper, wrong)
    with caplog.at_level(logging.WARNING):
        result = evaluate_all(FRAME, {"": "TO_UPPER(host)"})[""]
    assert result.values.to_list() == ["A.EXAMPLE.COM", None, "B.EXAMPLE.ORG", "SS"]
    assert result.evaluated == 4
    assert caplog.messages == [
        "TO_UPPER(host): row 0 is 'a.example.com' in columns, but 'A.EXAMPLE.COM': all rows are evaluated one by one; "
        "please report this error"
    ]
    caplog.clear()
    assert evaluate(FRAME, "TO_UPPER(host)", sample=0)[0] == "a.example.com"  # nothing compares
    assert caplog.messages == []


def test_an_error_in_a_row_that_was_translated_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(
        translations.TRANSLATIONS,
        strings.starts_with,
        translations.FunctionTranslation(2, lambda text, prefix: translations.boolean(pl.lit(True))),
    )
    result = evaluate_all(FRAME, {"": "STARTS_WITH(port, 'a')"})[""]
    assert list(result.failures) == [0, 1, 3]
    assert "row 0 is true in columns, but STARTS_WITH expected a string" in caplog.text


MANY = pl.DataFrame(
    {
        "host": ["a.example", "b.example", None, "5"] * 25,
        "n": [1, 2, 0, None] * 25,
        "x": [0.0, -0.0, 1.5, None] * 25,
        "id": [f"{number}" for number in range(100)],
    }
)


@pytest.mark.parametrize(
    ("expression", "evaluated", "failed"),
    [
        ("REGEXP_MATCH(host, 'a.*')", 0, 0),
        ("TO_INTEGER(host)", 0, 0),
        ("TO_INTEGER(host) + n", 0, 0),
        ("SUBSTRING(host, n)", 100, 0),
        ("JOIN([TO_UPPER(host), 'x'], '-')", 0, 0),
        ("SPLIT(host, '.')", 100, 0),
        ("ABS(6 / n)", 50, 50),
        ("TO_DOUBLE(host) == 'a'", 0, 0),
        ("TO_INTEGER(JOIN([host, 'x'], ''))", 0, 0),
        ("ABS(x)", 100, 0),
        ("MAP([n], x -> REGEXP_MATCH(host, 'a.*'))", 100, 0),
    ],
)
def test_a_call_on_one_field_is_evaluated_for_its_distinct_values(expression: str, evaluated: int, failed: int) -> None:
    result = evaluate_all(MANY, {"": expression}, sample=0)[""]
    assert (result.evaluated, len(result.failures)) == (evaluated, failed)
    compiled = stellar.compile(expression)
    for row, record in enumerate(MANY.iter_rows(named=True)):
        if row not in result.failures:
            assert are_same(result.values[row], compiled(record)), record


def test_a_call_on_a_field_with_many_values_is_evaluated_one_by_one() -> None:
    assert evaluate_all(MANY, {"": "REGEXP_MATCH(id, '5')"})[""].evaluated == 100


def test_a_function_that_is_not_pure_is_evaluated_for_each_record() -> None:
    calls = []

    @stellar_function("COUNT_CALLS")
    def count_calls(text: str | None) -> int:
        """Return the number of calls.

        text: A string
        returns: The number
        """
        calls.append(text)
        return len(calls)

    library = Library.of(LIBRARY, count_calls)
    assert evaluate(MANY, "COUNT_CALLS(host)", library=library).to_list() == list(range(1, 101))


def test_a_long_chain_is_evaluated_one_by_one() -> None:
    chain = " + ".join(["ABS(n)", *["1"] * 5000])
    result = evaluate_all(MANY, {"": chain})[""]
    assert result.values[0] == 5001
    assert result.evaluated == 100


# -- Sources ----------------------------------------------------------------------------------------------------------


def test_columns_of_a_frame_become_values_of_stellar() -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    frame = pl.DataFrame(
        {
            "small": pl.Series([1, None], dtype=pl.Int8),
            "wide": pl.Series([2**63 - 1, 5], dtype=pl.UInt64),
            "wider": pl.Series([2**63, 5], dtype=pl.UInt64),
            "single": pl.Series([0.1, None], dtype=pl.Float32),
            "category": pl.Series(["a", None], dtype=pl.Categorical),
            "moment": pl.Series([moment, None], dtype=pl.Datetime("us", "UTC")),
            "nanoseconds": pl.Series([moment, None], dtype=pl.Datetime("ns")),
            "span": pl.Series([timedelta(microseconds=-1), None]),
            "day": [date(2026, 11, 30), None],
            "clock": [time(1, 2, 3), None],
            "money": [Decimal("1.50"), None],
            "raw": [b"\xff", None],
            "map": [{"k": 1}, None],
            "nothing": pl.Series([None, None], dtype=pl.Null),
        }
    )
    columns = RecordColumns.from_frame(frame)
    (record,) = columns.records([0], [*frame.columns])
    assert record == {
        "small": 1, "wide": 2**63 - 1, "wider": 2**63, "single": 0.10000000149011612, "category": "a", "moment": -1,
        "nanoseconds": -1, "span": -1, "day": "2026-11-30", "clock": "01:02:03", "money": Decimal("1.50"),
        "raw": b"\xff", "map": {"k": 1},
    }  # fmt: skip
    assert list(columns.records([1], ["small", "wide", "map"])) == [{"wide": 5}]
    assert evaluate(columns, "moment < 0 and category == 'a'").to_list() == [True, False]


def test_lines_of_json_lose_no_type(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"n": 5, "x": 5.0, "mixed": 5, "s": "5", "m": {"a": 1}, "big": 2**70, "half": "\ud800"},
        {"n": 6, "x": 2.5, "mixed": 5.0, "s": "x", "m": {}, "big": 1, "half": "b", "late": True},
        {"n": None, "mixed": "5", "m": None},
    ]
    lines = "\n".join(map(json.dumps, records)) + "\n\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    columns = read_records(str(tmp_path / "a.jsonl.gz"))
    assert len(columns) == 3
    without_nulls = [{name: value for name, value in each.items() if value is not None} for each in records]
    assert list(columns.records(range(3), [name for record in records for name in record])) == without_nulls
    assert evaluate_all(columns, {"": "mixed / 2"})[""].values.to_list() == [2, 2.5, None]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"a": 1}\n{"a"', ":2: invalid JSON: "),
        (b"[1]\n", ":1: expected a JSON object, got list"),
    ],
)
def test_a_line_that_is_no_object_is_an_error_with_its_number(tmp_path: Path, content: bytes, error: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=error):
        read_records(str(tmp_path / "a.jsonl"))


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-20])
    with pytest.raises(OSError, match=r"cannot read .* after line"):
        read_records(str(tmp_path / "a.gz"))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(OSError, match=r"cannot read .*a\.parquet: "):
        read_records(str(tmp_path / "a.parquet"))
    with pytest.raises(FileNotFoundError):
        read_records(str(tmp_path / "none"))


def test_a_parquet_file_of_a_pipeline_has_the_records_as_they_were_written(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    documents: list[dict[str, Any]] = [
        {"n": 1, "s": "a", "mixed": 1, "list": [1, 2.0]},
        {"n": 2, "s": "b", "mixed": "x", "late": 5},
        {"n": "three", "list": {"k": None}},
    ]
    path = str(tmp_path / "a.parquet")
    with Sinks() as sinks:
        sink = sinks.open(path, "records")
        for document in documents:
            sink(document)
    columns = read_records(path)
    names = [name for document in documents for name in document]
    assert list(columns.records(range(3), names)) == documents
    assert evaluate(columns, "n == 2 or late == 5").to_list() == [False, True, False]


def test_no_records_have_no_values() -> None:
    columns = RecordColumns.from_records([])
    assert evaluate(columns, "a + 1").to_list() == []
    assert evaluate(pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)}), "a + 1").to_list() == []
    assert evaluate(RecordColumns.from_records([{}, {}]), "1 + 1").to_list() == [2, 2]
