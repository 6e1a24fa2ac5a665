"""Pipelines on data frames of Spark: bad input, shipping, models, groups of sensors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import ConfigErrors

pytest.importorskip("pyspark")

from stellar.pipeline import Raw
from stellar.spark import ShippedPipeline, read_pipeline, transform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Configure = Callable[..., Path]
JSON_MAP = {"parserClassName": "JSONMap"}


def make_frame(spark: SparkSession, *records: dict[str, Any]) -> DataFrame:
    return spark.createDataFrame([(json.dumps(record),) for record in records], "value string").coalesce(1)


def read(frame: DataFrame) -> list[dict[str, Any]]:
    return [json.loads(row.value) for row in frame.collect()]


# -- Shipping --------------------------------------------------------------------------------------------------


def test_a_shipped_pipeline_is_the_text_of_what_its_sensors_use(configure: Configure) -> None:
    grok = {
        "parserClassName": "Grok",
        "parserConfig": {"grokPath": "/own/s", "patternLabel": "LINE", "timestampField": "t"},
    }
    config = configure(
        {
            "parsers/s.json": grok,
            "parsers/other.json": JSON_MAP,
            "enrichments/s.json": {},
            "global.json": {"a": 1},
            "own/s": "LINE %{MINE:t}",
            "patterns/common": "MINE [0-9]+",
        }
    )
    shipped = read_pipeline(config, "s")
    assert sorted(shipped.configurations) == ["enrichments/s", "global", "parsers/s"]
    assert sorted(shipped.files) == ["own/s", "patterns/common"]
    decoded = ShippedPipeline.decode(shipped.encode())
    assert decoded == shipped
    _, group = decoded.load()
    ((outcome, _),) = group.processed(Raw(b"12"))
    assert isinstance(outcome, dict)
    assert outcome["t"] == 12


def test_a_pattern_file_outside_of_the_configuration_is_rejected(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("LINE %{WORD:w}")
    options = {"grokPath": "../outside", "patternLabel": "LINE"}
    config = configure({"parsers/s.json": {"parserClassName": "Grok", "parserConfig": options}})
    with pytest.raises(ConfigError, match=r"grokPath.*is outside of the configuration; move the file into"):
        read_pipeline(config, "s")


def test_all_errors_of_a_configuration_are_raised_on_the_driver_with_their_lines(configure: Configure) -> None:
    parser = {**JSON_MAP, "fieldTransformations": [{"transformation": "STELLAR", "config": {"a": "1 +"}}]}
    enrichment = {"enrichment": {"fieldMap": {"stellar": {"config": {"x": "NO_SUCH()"}}}}}
    config = configure({"parsers/s.json": parser, "enrichments/s.json": enrichment})
    with pytest.raises(ConfigErrors) as caught:
        read_pipeline(config, "s")
    files = [error.file for error in caught.value.errors]
    assert [name.rpartition("/config/")[2][:20] for name in files] == ["parsers/s.json:1:107", "enrichments/s.json:1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sensors": "t"}, r"unknown sensor t; did you mean s\?|unknown sensor"),
        ({"registry": "a", "zookeeper": "b"}, "registry and zookeeper exclude each other"),
        ({"in_flight": 0}, "invalid in_flight: expected 1 or more, got 0"),
        ({"patterns": "p"}, "patterns has no effect with a directory; move the files to"),
        ({"config": "/no/such"}, "/no/such.*not a directory; create it, or check the path"),
        ({"config": "zookeeper:/x"}, "invalid location"),
    ],
)
def test_invalid_arguments_are_rejected(configure: Configure, arguments: dict[str, Any], message: str) -> None:
    config = configure({"parsers/s.json": JSON_MAP})
    with pytest.raises((ValueError, ConfigError), match=message):
        read_pipeline(**{"config": config, "sensors": "s", **arguments})


def test_a_pipeline_that_calls_models_needs_a_registry(configure: Configure) -> None:
    stellar = {"config": {"e": "MAAS_GET_ENDPOINT('m')"}}
    config = configure(
        {"parsers/s.json": JSON_MAP, "enrichments/s.json": {"enrichment": {"fieldMap": {"stellar": stellar}}}}
    )
    with pytest.raises(ConfigError, match="no model registry configured, but expressions call models; pass registry="):
        read_pipeline(config, "s")
    assert read_pipeline(config, "s", registry="none").registry == "none"


def test_a_pipeline_that_calls_no_models_ships_no_registry(configure: Configure) -> None:
    shipped = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s", registry="/models")
    assert shipped.registry is None


def test_a_parser_that_depends_on_earlier_records_is_rejected(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting.py").write_text(
        "class Counting:\n"
        "    is_stateful = True\n"
        "    def __init__(self, settings): pass\n"
        "    def __call__(self, text): return []\n"
        "    def complaint(self, record): return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = configure({"parsers/s.json": {"parserClassName": "counting.Counting"}})
    with pytest.raises(ValueError, match="Counting: the result for a record depends on the records before"):
        read_pipeline(config, "s")


def test_an_executor_without_the_package_says_how_to_install_it(tmp_path: Path) -> None:
    import pyspark
    from pyspark import cloudpickle

    from stellar.spark.tasks import make_task

    (tmp_path / "task").write_bytes(cloudpickle.dumps(make_task("stellar.spark.executor", "run_task", "{}")))
    (tmp_path / "site" / "pyspark").mkdir(parents=True)
    (tmp_path / "site" / "pyspark" / "__init__.py").touch()
    (tmp_path / "site" / "pyspark" / "cloudpickle").symlink_to(Path(pyspark.__file__).parent / "cloudpickle")
    program = (
        "import pickle, sys; sys.path.append(sys.argv[1])\nlist(pickle.loads(open(sys.argv[2], 'rb').read())([]))\n"
    )
    arguments = [sys.executable, "-I", "-S", "-c", program, str(tmp_path / "site"), str(tmp_path / "task")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"RuntimeError: cannot import stellar.spark in the Python of an executor, {sys.executable}")
    assert "pip install 'stellar-maas[spark]'" in last


# -- On Spark ---------------------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize(
    ("columns", "input", "message"),
    [
        ("value string", "valu", r"no column 'valu' in the data frame; did you mean value\?"),
        ("value int", "value", "column 'value' has the type int; expected string or binary: cast it"),
        ("value struct<a:int>", "value", r"has the type struct<a:int>; .* to_json\(struct"),
    ],
)
def test_a_wrong_column_is_rejected(
    spark: SparkSession, configure: Configure, columns: str, input: str, message: str
) -> None:
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s")
    with pytest.raises(ValueError, match=message):
        transform(spark.createDataFrame([], columns), pipeline, input)


@pytest.mark.engine
def test_columns_of_strings_and_bytes_with_any_name_are_read(spark: SparkSession, configure: Configure) -> None:
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s")
    frame = spark.createDataFrame([('{"n":1}', bytearray(b'{"n":2}'), "a.log")], "`a.b``c` string, b binary, f string")
    assert [record["n"] for record in read(transform(frame, pipeline, "a.b`c").documents)] == [1]
    assert [record["n"] for record in read(transform(frame, pipeline, "b").documents)] == [2]
    broken = frame.withColumn("b", frame.f)
    (error,) = read(transform(broken, pipeline, "b", origin="f").errors)
    assert (error["origin"], error["raw_message"]) == ("a.log", "a.log")


@pytest.mark.engine
def test_records_that_fail_are_rows_of_errors_and_never_a_failed_job(spark: SparkSession, configure: Configure) -> None:
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s")
    values = [None, "", "{", "[1]", "null", '{"a":1}', "\x00", '{"a":"\\ud800"}', "[" * 100_000]
    frame = spark.createDataFrame([(value,) for value in values], "value string").coalesce(1)
    transformed = transform(frame, pipeline)
    rows = transformed.outcomes.collect()
    counts = transformed.read_counts()
    assert counts.read == len(values)
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    assert [row.kind for row in rows].count("document") == counts.out == 2
    assert [row.kind for row in rows].count("error") == counts.rejected
    assert {row.sensor for row in rows} == {"s"}
    assert json.loads(rows[0].value)["message"] == "message has no value"


@pytest.mark.engine
def test_a_persisted_frame_runs_the_pipeline_once(spark: SparkSession, configure: Configure) -> None:
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s")
    transformed = transform(make_frame(spark, {"n": 1}, {"n": 2}), pipeline)
    transformed.outcomes.persist()
    first, second = (sorted(record["guid"] for record in read(transformed.documents)) for _ in range(2))
    assert first == second  # guids are random
    assert transformed.read_counts().out == 2
    transformed.outcomes.unpersist()


@pytest.mark.engine
def test_counts_before_any_action_are_an_error(spark: SparkSession, configure: Configure) -> None:
    transformed = transform(make_frame(spark, {"n": 1}), read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s"))
    with pytest.raises(TimeoutError, match=r"no action on the outcomes has ended within 0.2 s; run one before"):
        transformed.read_counts(0.2)
    assert transformed.outcomes.count() == 1
    assert transformed.read_counts().out == 1


@pytest.mark.engine
def test_no_rows_have_counts_of_zero(spark: SparkSession, configure: Configure) -> None:
    transformed = transform(make_frame(spark), read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s"))
    assert transformed.outcomes.count() == 0
    assert set(vars(transformed.read_counts()).values()) == {0}


@pytest.mark.engine
def test_many_partitions_lose_nothing(spark: SparkSession, configure: Configure) -> None:
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s", in_flight=4)
    frame = spark.range(5000).selectExpr("to_json(struct(id)) AS value").repartition(5)
    transformed = transform(frame, pipeline)
    assert sorted(record["id"] for record in read(transformed.documents)) == list(range(5000))
    assert transformed.read_counts().out == 5000


@pytest.mark.engine
def test_sensors_of_a_group_pass_records_on(spark: SparkSession, configure: Configure) -> None:
    first = {**JSON_MAP, "parserConfig": {"kafka.topicField": "to"}}
    second = {**JSON_MAP, "fieldTransformations": [
        {"transformation": "STELLAR", "output": ["seen"], "config": {"seen": "TO_UPPER(to)"}}
    ]}  # fmt: skip
    settings = {"parser.groups": [{"name": "both", "sensors": ["a", "b"]}]}
    config = configure({"parsers/a.json": first, "parsers/b.json": second, "global.json": settings})
    frame = make_frame(spark, {"to": "b"}, {"to": "nowhere"})
    transformed = transform(frame, read_pipeline(config, "both"))
    documents, errors = transformed
    assert [(row.sensor, json.loads(row.value)["seen"]) for row in documents.collect()] == [("b", "B")]
    (error,) = read(errors)
    assert error["stage"] == "route"


@pytest.mark.engine
def test_a_pipeline_that_an_executor_cannot_open_fails_with_the_reason(
    spark: SparkSession, configure: Configure
) -> None:
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s")
    frame = make_frame(spark, {"n": 1})
    with pytest.raises(Exception, match=r"stellar-maas is \S+ on the executor \S+, and 0.0.0 on the driver; install"):
        transform(frame, replace(pipeline, version="0.0.0")).outcomes.collect()
    settings = {"enrichment.store": "sqlite:/no/such/store.db"}
    lookup = {"config": {"x": "ENRICHMENT_GET('t', 'i', 'n', 'c')"}}
    config = configure(
        {
            "parsers/s.json": JSON_MAP,
            "global.json": settings,
            "enrichments/s.json": {"enrichment": {"fieldMap": {"stellar": lookup}}},
        }
    )
    with pytest.raises(Exception, match=r"cannot open the pipeline of s on the executor \S+: .*/no/such/store.db"):
        transform(frame, read_pipeline(config, "s")).outcomes.collect()


@pytest.mark.engine
def test_a_stream_has_no_counts_of_a_batch(spark: SparkSession, configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pipeline = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s")
    transformed = transform(spark.readStream.text(str(tmp_path / "in")), pipeline)
    with pytest.raises(ValueError, match=r"a stream has counts for each of its batches; add a StreamCounts"):
        transformed.read_counts()


def test_a_shipped_pipeline_is_json_and_no_code(configure: Configure) -> None:
    from pyspark import cloudpickle

    from stellar.spark.tasks import make_task

    text = read_pipeline(configure({"parsers/s.json": JSON_MAP}), "s").encode()
    assert json.loads(text)["sensors"] == ["s"]
    pickled = cloudpickle.dumps(make_task("stellar.spark.executor", "run_task", text))
    assert b"ShippedPipeline" not in pickled
    assert b"JSONMap" not in pickled  # it is in base64


@pytest.mark.engine
def test_executors_call_models_and_report_their_failures(
    spark: SparkSession, configure: Configure, models: Path
) -> None:
    call = "MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"
    enrichment = {"enrichment": {"fieldMap": {"stellar": {"config": {"m": call}}}}}
    pipeline = read_pipeline(
        configure({"parsers/s.json": JSON_MAP, "enrichments/s.json": enrichment}), "s", registry=models
    )
    hosts = [("yahoo.com", "evil.com", "fails.com")[n % 3] for n in range(600)]
    transformed = transform(make_frame(spark, *({"host": host} for host in hosts)), pipeline)
    transformed.outcomes.persist()
    expected = {"yahoo.com": "legit", "evil.com": "malicious", "fails.com": None}
    assert [record.get("m") for record in read(transformed.documents)] == [expected[host] for host in hosts]
    assert [error["stage"] for error in read(transformed.errors)] == ["model"] * 200
    assert transformed.read_counts().reports == 200
    transformed.outcomes.unpersist()
