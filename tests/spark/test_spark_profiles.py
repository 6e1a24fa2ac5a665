"""Profiles of data frames: values that are merged across partitions, and those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stellar.language.context import GlobalSettings
from stellar.language.errors import ConfigError
from stellar.language.tagged_json import deserialize
from stellar.pipeline.profiler.cli import main
from stellar.profiles.periods import Period
from stellar.profiles.store import open_profile_store

pytest.importorskip("pyspark")

from stellar import evaluate
from stellar.spark import compute_profiles, store_profiles

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.engine
MINUTES = 900_000  # a period
SUMMARY = {
    "profile": "bytes", "foreach": "host", "onlyif": "exists(bytes)", "init": {"s": "STATS_INIT()"},
    "update": {"s": "STATS_ADD(s, bytes)"}, "result": "s", "groupBy": ["'g'"],
}  # fmt: skip
COUNT = {"profile": "count", "foreach": "host", "init": {"n": "0"}, "update": {"n": "n + 1"}, "result": "n"}
MESSAGES = [
    {"host": f"h{n % 3}", "bytes": n, "timestamp": 1_700_000_000_000 + n % 2 * MINUTES} for n in range(600)
]  # fmt: skip


def configure_profiles(configure: Callable[..., Path], *profiles: dict[str, Any], **more: Any) -> Path:
    definitions = {"profiles": list(profiles), "timestampField": "timestamp", **more}
    store = {"profiler.store": "sqlite:profiles.db"}
    return configure({"profiler.json": definitions, "global.json": store})


def make_frame(spark: SparkSession, messages: list[str], partitions: int) -> DataFrame:
    return spark.createDataFrame([(message,) for message in messages], "value string").repartition(partitions)


def test_values_of_partitions_are_merged_as_in_one_process(
    spark: SparkSession, configure: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = configure_profiles(configure, SUMMARY)
    lines = [json.dumps(message) for message in MESSAGES]
    values = compute_profiles(make_frame(spark, lines, 4), config)
    rows = values.collect()
    assert len(rows) == 6
    assert {row.error for row in rows} == {None}
    for row in rows:
        found = {"s": deserialize(row.value)}
        sizes = [each["bytes"] for each in MESSAGES
                 if each["host"] == row.entity and each["timestamp"] // MINUTES == row.period]  # fmt: skip
        assert evaluate("[STATS_COUNT(s), STATS_SUM(s), STATS_MAX(s)]", found) == [100, sum(sizes), max(sizes)]
    assert store_profiles(values, config) == 6
    stored = _read_stored(rows)
    (tmp_path / "profiles.db").unlink()
    (tmp_path / "messages.jsonl").write_text("\n".join(lines))
    assert main(["run", "--quiet", "--config", str(config), "messages.jsonl"]) == 0
    assert stored == _read_stored(rows)


def _read_stored(rows: list[Any]) -> list[Any]:
    store = open_profile_store(GlobalSettings({"profiler.store": "sqlite:profiles.db"}))
    found = [store.read("bytes", row.entity, [Period(row.period, MINUTES)], ["g"]) for row in rows]
    store.close()
    source = "[STATS_COUNT(s), STATS_SUM(s), STATS_MIN(s), STATS_MAX(s)]"
    return [evaluate(source, {"s": value}) for each in found for value in each.values()]


def test_values_that_cannot_be_merged_are_errors_that_name_the_fix(
    spark: SparkSession, configure: Callable[..., Path]
) -> None:
    config = configure_profiles(configure, COUNT)
    lines = [json.dumps({**message, "timestamp": 1_700_000_000_000}) for message in MESSAGES]
    rows = compute_profiles(make_frame(spark, lines, 3), config).collect()
    assert {row.entity for row in rows} == {"h0", "h1", "h2"}
    assert {row.value for row in rows} == {None}
    assert "cannot be merged across partitions; use a summary such as STATS" in rows[0].error
    rows = compute_profiles(make_frame(spark, lines, 1), config).collect()
    assert [(row.value, row.error) for row in rows] == [("200", None)] * 3


def test_messages_that_fail_are_rows_with_errors(spark: SparkSession, configure: Callable[..., Path]) -> None:
    fails = {**COUNT, "profile": "fails", "update": {"n": "1 / zero"}}
    config = configure_profiles(configure, COUNT, fails)
    lines = ["{", "[]", '{"host":"a"}', '{"host":"a","zero":0,"timestamp":1}']
    rows = compute_profiles(make_frame(spark, lines, 1), config).collect()
    assert [row.value for row in rows if row.error is None and row.profile == "count"] == ["1"]
    errors = " ".join(row.error for row in rows if row.error is not None)
    for expected in ("invalid JSON", "expected a JSON object", "without the field timestamp", "division by zero"):
        assert expected in errors


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"global.json": {}}, "profiler.json: no profiles are defined; add this configuration"),
        ({"profiler.json": {"profiles": [COUNT]}}, "no timestampField; add the name of the field"),
        ({"profiler.json": {"profiles": [{**COUNT, "result": "1 +"}]}}, "unexpected end"),
        (
            {"profiler.json": {"profiles": [{**COUNT, "result": "MAAS_GET_ENDPOINT('m')"}], "timestampField": "t"}},
            "models cannot be called by profiles",
        ),
    ],
)
def test_invalid_definitions_are_rejected_on_the_driver(
    spark: SparkSession, configure: Callable[..., Path], files: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compute_profiles(make_frame(spark, [], 1), configure(files))
