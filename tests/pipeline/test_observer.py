"""Observed pipelines: the same outcomes, with counts of rules and errors, and times of stages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.fuzz.pipelines import fix_identity, make_message, make_pair, run, run_loop
from stellar.java.match_timer import match_timer
from stellar.monitoring.metrics import Distribution, render
from stellar.pipeline import observer as observing
from stellar.pipeline.observer import METRICS, MeasuredParser, PipelineObserver, StageTiming
from stellar.pipeline.parsers import Parser
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.worker.groups import EnrichmentGroup

MakePipeline = Callable[..., Pipeline]
ALERT = {"timestamp": 1, "is_alert": "true", "n": 1}


def read(observer: PipelineObserver, name: str) -> dict[tuple[str, ...], Any]:
    """Return the values of a metric by their labels; of a histogram the number of times."""
    found = {sample.labels: sample.value for sample in observer.collect() if sample.metric.name == name}
    return {key: sum(value.counts) if isinstance(value, Distribution) else value for key, value in found.items()}


def with_rules(*rules: Record) -> Record:
    """Return an enrichment configuration with triage rules."""
    return {"threatIntel": {"triageConfig": {"riskLevelRules": list(rules), "aggregator": "MAX"}}}


def process(pipeline: Pipeline, *records: Record) -> list[Any]:
    return [outcome for record in records for outcome, _ in pipeline.processed(Raw(json.dumps(record).encode()))]


@pytest.mark.parametrize("size", [3, 12])
def test_matches_and_failures_are_counted_by_rule(make_pipeline: MakePipeline, size: int) -> None:
    rules = [
        {"name": "always", "rule": "n > 0", "score": 10},
        {"rule": "n > 1", "score": "20"},
        {"name": "broken", "rule": "n > 'x'", "score": 1},
        *({"name": f"never {number}", "rule": f"n == {-number}", "score": 1} for number in range(1, size - 2)),
    ]
    pipeline, observer = make_pipeline(enrichment=with_rules(*rules)), PipelineObserver()
    observer.observe(pipeline)
    process(pipeline, *[ALERT] * 40, {**ALERT, "n": 2}, {"timestamp": 1, "n": 5})
    found = read(observer, "stellar_rule_matches_total")
    assert {key: number for key, number in found.items() if number} == {("squid", "always"): 41, ("squid", "n > 1"): 1}
    assert len(found) == size  # a rule that never matches is shown
    assert read(observer, "stellar_rule_failures_total") == {("squid", "broken", "condition"): 41}


def test_each_16th_message_is_measured(make_pipeline: MakePipeline) -> None:
    pipeline, observer = make_pipeline(), PipelineObserver()
    observer.observe(pipeline)
    process(pipeline, *[ALERT] * 33)
    times = read(observer, "stellar_pipeline_stage_seconds")
    assert set(times.values()) == {3}
    assert {stage for _, stage in times} == {"parse", "transform", "validate", "enrich", "triage"}


def test_a_record_that_is_dropped_or_fails_is_measured_up_to_that_stage(make_pipeline: MakePipeline) -> None:
    parser = {
        "parserClassName": "JSONMap", "filterClassName": "STELLAR", "parserConfig": {"filter.query": "n == 1"},
    }  # fmt: skip
    pipeline, observer = make_pipeline(parser=parser), PipelineObserver()
    observer.observe(pipeline)
    process(pipeline, {"timestamp": 1, "n": 2})
    assert set(read(observer, "stellar_pipeline_stage_seconds")) == {
        ("squid", "parse"), ("squid", "transform"), ("squid", "filter"),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_observed_pipelines_have_the_same_outcomes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "MEASURED_EACH", 3)
    rnd, observer = random.Random(seed), PipelineObserver()
    for _ in range(40):
        observed, plain, config = make_pair(rnd)
        plain.is_compiled = True
        observer.observe(observed)
        raws = [make_message(rnd, config["parser"]["parserClassName"]) for _ in range(100)]
        with fix_identity(), match_timer():
            assert run_loop(observed, raws) == run_loop(plain, raws), config
            for raw in raws[::4]:
                assert run(observed, raw) == run(plain, raw), (config, raw)
    assert read(observer, "stellar_pipeline_stage_seconds")
    assert any(read(observer, "stellar_rule_matches_total").values())


def test_prometheus_accepts_the_metrics_of_an_observer(
    make_pipeline: MakePipeline, check_metrics: Callable[[bytes], None]
) -> None:
    rules = [{"name": 'a"\n\\', "rule": "n > 0", "score": 1}, {"rule": "n > 'x'", "score": 1}]
    pipeline, observer = make_pipeline(enrichment=with_rules(*rules)), PipelineObserver()
    observer.observe(pipeline)
    process(pipeline, ALERT)
    observer.count_errors(lambda document: None)({"failed_sensor_type": "\ud800", "stage": "parse"})
    samples = list(observer.collect())
    assert {sample.metric for sample in samples} == set(METRICS)
    check_metrics(render(samples))


def test_errors_are_counted_after_they_are_written() -> None:
    def fail(document: Record) -> None:
        raise OSError("disk full")

    observer, error = PipelineObserver(), {"failed_sensor_type": "squid", "stage": "parse"}
    with pytest.raises(OSError, match="disk full"):
        observer.count_errors(fail)(error)
    written: list[Record] = []
    observer.count_errors(written.append)(error)
    assert written == [error]
    assert read(observer, "stellar_pipeline_errors_total") == {("squid", "parse"): 1}


def test_sensors_above_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "MAX_KEYS", 2)
    observer = PipelineObserver()
    count = observer.count_errors(lambda document: None)
    for sensor in ("a", "b", "c", "a", "d"):
        count({"failed_sensor_type": sensor, "stage": "enrich"})
    assert read(observer, "stellar_pipeline_errors_total") == {
        ("a", "enrich"): 2, ("b", "enrich"): 1, ("other", "other"): 2,
    }  # fmt: skip


def test_each_16th_write_is_measured() -> None:
    observer, written = PipelineObserver(), []
    write = observer.measure_writes(written.append, "squid")
    for number in range(17):
        write({"n": number})
    assert len(written) == 17
    assert read(observer, "stellar_pipeline_stage_seconds") == {("squid", "write"): 2}


class LazyParser:
    """A parser that makes its records when they are requested."""

    def __call__(self, text: str) -> Iterator[Record]:
        yield {"a": 1}
        yield {"a": 2}
        if text == "broken":
            raise ValueError("broken")

    def complaint(self, record: Record) -> str | None:
        return "no b" if "b" not in record else None


def test_a_parser_that_makes_records_later_is_measured_and_fails_as_without_metrics() -> None:
    observer = PipelineObserver()
    parser: Parser = MeasuredParser(LazyParser(), StageTiming(observer, "s"))
    assert list(parser("")) == [{"a": 1}, {"a": 2}]
    records = iter(parser("broken"))
    assert [next(iter(records)), next(iter(records))] == [{"a": 1}, {"a": 2}]
    with pytest.raises(ValueError, match="broken"):
        next(records)
    assert read(observer, "stellar_pipeline_stage_seconds") == {("s", "parse"): 2}
    assert parser.complaint({}) == "no b"


def test_a_changed_configuration_continues_the_counts_of_rules(make_pipeline: MakePipeline) -> None:
    observer = PipelineObserver()
    for score in (10, 20):
        rules = [{"name": "always", "rule": "n > 0", "score": score}]
        pipeline = make_pipeline(enrichment=with_rules(*rules))
        observer.observe(pipeline)
        process(pipeline, ALERT)
    assert read(observer, "stellar_rule_matches_total") == {("squid", "always"): 2}


def test_records_that_were_parsed_before_are_observed(make_pipeline: MakePipeline) -> None:
    rules = [{"name": "always", "rule": "n > 0", "score": 10}]
    pipeline, observer = make_pipeline(enrichment=with_rules(*rules)), PipelineObserver()
    pipeline.is_parsing = False
    observer.observe(pipeline)
    group = EnrichmentGroup({"squid": pipeline}, make_pipeline())
    record = {**ALERT, "source.type": "squid", "guid": "g", "original_string": "o"}
    for _ in range(17):
        [(outcome, _)] = group.processed(Raw(json.dumps(record).encode()))
        assert isinstance(outcome, dict)
        assert outcome["threat.triage.rules.0.name"] == "always"
    assert read(observer, "stellar_rule_matches_total") == {("squid", "always"): 17}
    assert read(observer, "stellar_pipeline_stage_seconds")["squid", "triage"] == 2
