"""Parquet files: rows are read as JSON objects, and documents are written as rows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.pipeline import read_lines
from stellar.pipeline.cli import main
from stellar.pipeline.connectors.parquet import ParquetWriter
from stellar.pipeline.connectors.sinks import Sinks

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rows: list[dict[str, Any]], **options: Any) -> str:
    pq.write_table(pa.Table.from_pylist(rows), name, **options)
    return name


def read(name: str) -> list[dict[str, Any]]:
    raws = list(read_lines([name]))
    assert [raw.error for raw in raws] == [None] * len(raws)
    assert [raw.line for raw in raws] == list(range(1, len(raws) + 1))
    return [json.loads(raw.content) for raw in raws]


def test_values_of_all_types_become_json() -> None:
    row = {
        "text": "a\nb",
        "count": 2**60,
        "ratio": 0.5,
        "flag": True,
        "at": NOON,
        "local": NOON.replace(tzinfo=None),
        "day": date(2026, 11, 30),
        "hour": time(12, 30),
        "took": timedelta(seconds=2),
        "price": Decimal("1.50"),
        "bytes": b"abc",
        "list": [1, 2],
        "map": {"inner": NOON},
    }
    milliseconds = int(NOON.timestamp() * 1000)
    assert read(write("x", [row])) == [
        {
            **row,
            "at": milliseconds,
            "local": milliseconds,
            "day": "2026-11-30",
            "hour": "12:30:00",
            "took": 2000,
            "price": 1.5,
            "bytes": "abc",
            "map": {"inner": milliseconds},
        }
    ]


def test_nulls_are_left_out_and_several_row_groups_are_read() -> None:
    rows = [{"n": n, "odd": n if n % 2 else None} for n in range(5000)]
    expected = [{"n": n, "odd": n} if n % 2 else {"n": n} for n in range(5000)]
    assert read(write("x", rows, row_group_size=1700)) == expected
    assert read(write("y", [])) == []


@pytest.mark.parametrize("damage", ["truncated", "magic only", "broken page"])
def test_a_damaged_file_is_an_error_document_and_the_next_file_is_read(damage: str) -> None:
    rows = [{"n": n, "text": str(n) * 9} for n in range(5000)]
    content = Path(write("x", rows, row_group_size=1000, compression="gzip")).read_bytes()
    middle = len(content) // 2
    broken = content[:middle] + bytes(400) + content[middle + 400 :]
    Path("x").write_bytes({"truncated": content[:-100], "magic only": b"PAR1", "broken page": broken}[damage])
    *before, error, after = read_lines(["x", write("y", [{"n": 1}])])
    assert [json.loads(raw.content) for raw in before] == rows[: len(before)]
    assert str(error.error).startswith(f"cannot read x after line {len(before)}: damaged Parquet file: ")
    assert json.loads(after.content) == {"n": 1}
    if damage == "broken page":
        assert before


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
)
DOCUMENTS = st.lists(st.dictionaries(st.sampled_from(["a", "b.c", "stellar.other", ""]), VALUES), max_size=5)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_documents_are_read_as_they_were_written(documents: list[dict[str, Any]]) -> None:
    with Sinks() as sinks:
        sink = sinks.open("x.parquet", "records")
        for document in documents:
            sink(document)
    found = [{**dict.fromkeys(each), **row} for each, row in zip(documents, read("x.parquet"), strict=True)]
    assert found == [json.loads(json.dumps(each)) for each in documents]


def test_lone_surrogates_are_kept() -> None:
    documents = [{"\ud800": 1, "s": "\udc00"}, {"s": "fine"}]
    with Sinks() as sinks:
        for document in documents:
            sinks.open("x.parquet", "records")(document)
    assert read("x.parquet") == documents


def test_fields_become_columns_and_what_does_not_fit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stellar.pipeline.connectors.parquet._ROWS_PER_GROUP", 2)
    documents = [
        {"s": "a", "n": 1, "f": 0.5, "m": {"x": 1}},
        {"s": "b", "n": 2, "f": 3, "m": {"x": 2}},
        {"s": 7, "n": 2**63, "f": True, "new": "field"},
    ]
    writer = ParquetWriter("x.parquet")
    for document in documents:
        writer(document)
    writer.close()
    table = pq.read_table("x.parquet")
    assert {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)} == {
        "s": "string",
        "n": "int64",
        "f": "double",
        "stellar.other": "string",
    }
    assert table.column("s").to_pylist() == ["a", "b", None]
    assert read("x.parquet") == documents
    assert os.listdir() == ["x.parquet"]


def test_a_run_reads_and_writes_parquet(write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    write("in", [{"timestamp": n, "user": f"u{n}"} for n in range(3)])
    where = ["run", "--config", str(write_config()), "--sensor", "squid"]
    assert main([*where, "--output", "out.parquet", "--errors", "errors.jsonl", "in"]) == 0
    assert [(row["timestamp"], row["user"]) for row in read("out.parquet")] == [(0, "u0"), (1, "u1"), (2, "u2")]
    assert "3 lines read, 3 parsed = 3 out" in capsys.readouterr().err
    assert main([*where, "--output", "out.parquet", "--resume", "--position", "p", "in"]) == 2
    assert "a Parquet file cannot be continued" in capsys.readouterr().err


def test_a_continued_run_reads_each_row_once(write_config: Callable[..., Path]) -> None:
    where = ["run", "--config", str(write_config()), "--sensor", "squid", "--resume", "--output", "out.jsonl"]
    write("a.parquet", [{"n": n} for n in range(3)])
    assert main([*where, "*.parquet"]) == 0
    os.rename("a.parquet", "b.parquet")
    write("c.parquet", [{"n": n} for n in range(3, 5)])
    assert main([*where, "*.parquet"]) == 0
    lines = Path("out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["n"] for line in lines] == [0, 1, 2, 3, 4]


def test_without_pyarrow_a_run_says_what_to_install(
    write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("in", [{"n": 1}])
    Path("in.jsonl").write_text('{"n": 1}\n', encoding="utf-8")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    where = ["run", "--config", str(write_config()), "--sensor", "squid"]
    for arguments in (["--output", "out.jsonl", "in"], ["--output", "out.parquet", "in.jsonl"]):
        assert main([*where, *arguments]) == 1
        assert "run pip install 'stellar-maas[parquet]'" in capsys.readouterr().err
    assert not Path("out.jsonl").exists()
