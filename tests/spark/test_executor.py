"""The processing of batches of Arrow in an executor, without Spark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa

from stellar.spark import executor
from stellar.spark.executor import COUNT_NAMES, run_task
from stellar.spark.shipping import read_pipeline

Configure = Callable[[dict[str, Any]], Path]
LABELLED = {
    "parserClassName": "JSONMap",
    "fieldTransformations": [
        {"transformation": "STELLAR", "output": ["source.type"], "config": {"source.type": "label"}}
    ],
}


def run(config: Path, values: list[Any], kind: Any = None) -> list[dict[str, Any]]:
    """Return the rows for the lines in one batch."""
    batch = pa.RecordBatch.from_arrays([pa.array(values, kind or pa.string())], ["value"])
    shipped = read_pipeline(config, "s").encode()
    return [row for batch in run_task(shipped, [batch]) for row in batch.to_pylist()]


def test_each_slice_of_lines_is_a_row_with_its_counts(configure: Configure) -> None:
    lines = ["{" if n % 100 == 0 else json.dumps({"n": n}) for n in range(2500)]
    rows = run(configure({"parsers/s.json": {"parserClassName": "JSONMap"}}), lines)
    assert [row["read"] for row in rows] == [1000, 1000, 500]
    assert [row["rejected"] for row in rows] == [10, 10, 5]
    assert [len(row["outcomes"]) for row in rows] == [1000, 1000, 500]
    assert [row["outcomes"][0]["kind"] for row in rows] == ["error"] * 3


def test_large_documents_are_several_rows_whose_counts_add_up(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_MOST_BYTES", 10_000)
    lines = [json.dumps({"n": n, "text": "x" * 3000}) for n in range(10)] + ["{"]
    rows = run(configure({"parsers/s.json": {"parserClassName": "JSONMap"}}), lines)
    assert len(rows) > 3
    outcomes = [outcome for row in rows for outcome in row["outcomes"]]
    assert [json.loads(outcome["value"]).get("n") for outcome in outcomes] == [*range(10), None]
    totals = {name: sum(row[name] for row in rows) for name in COUNT_NAMES}
    assert totals == {"read": 11, "parsed": 11, "out": 10, "dropped": 0, "rejected": 1, "reports": 0}


@pytest.mark.parametrize(
    ("label", "sensor"), [("a", "a"), (5, "5"), (None, None), ("\ud800", "\\ud800"), ([1], "[1]"), ("ü", "ü")]
)
def test_any_value_of_the_field_of_the_sensor_is_a_string(configure: Configure, label: Any, sensor: str | None) -> None:
    (row,) = run(configure({"parsers/s.json": LABELLED}), [json.dumps({"label": label})])
    (outcome,) = row["outcomes"]
    assert (outcome["kind"], outcome["sensor"]) == ("document", sensor)


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "large_binary"])
def test_all_types_of_lines_are_read(configure: Configure, kind: str) -> None:
    values = [b'{"n":1}', None] if "binary" in kind else ['{"n":1}', None]
    (row,) = run(configure({"parsers/s.json": {"parserClassName": "JSONMap"}}), values, getattr(pa, kind)())
    assert (row["out"], row["rejected"]) == (1, 1)


def test_pipelines_that_were_not_used_for_long_are_closed(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = executor._OpenedPipelines()
    monkeypatch.setattr(executor, "_OPENED", opened)
    shipped = []
    for number in range(6):
        config = configure({"parsers/s.json": {"parserClassName": "JSONMap"}, "global.json": {"number": number}})
        shipped.append(read_pipeline(config, "s").encode())
        first = opened.find(shipped[0]) if number == 3 else opened.find(shipped[number])
        if number == 0:
            kept = first
    assert opened.find(shipped[5]) is first
    assert opened.find(shipped[0]) is kept
    assert len(opened._opened) == 4
