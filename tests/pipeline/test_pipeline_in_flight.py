"""Many messages in flight: order, counts, and the records that reports belong to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stellar.language.context import Context
from stellar.language.errors import ConfigError
from stellar.maas import MemoryRegistry, Model, ModelClient, ModelTimeOut, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.pipeline.cli import main
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.run import Counts, run_pipeline

from .conftest import transforming

Make = Callable[..., Pipeline]
SCORE = "MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'n': n}))"
PARSER = {
    **transforming({"transformation": "STELLAR", "config": {"score": SCORE, "ratio": "10 / divisor"}}),
    "filterClassName": "STELLAR",
    "parserConfig": {"mapStrategy": "ALLOW", "jsonpQuery": "$", "filter.query": "keep != false"},
}
ENRICHMENT = {"enrichment": {"fieldMap": {"stellar": {"config": {"bad": {"worth": "1 / risk"}}}}}}


class SlowClient:
    """A model client with different latencies, in which each fifth call fails."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def apply(self, endpoint: Any, function: Any = None, arguments: Any = None) -> dict[str, Any]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.001 * (int(arguments["n"]) % 7))
        with self.lock:
            self.now -= 1
        if int(arguments["n"]) % 5 == 0:
            error = ModelTimeOut(f"no answer for {arguments['n']}")
            error.url = "http://127.0.0.1:1"
            raise error
        return {"score": arguments["n"]}


def context_of(client: Any) -> Context:
    registry = MemoryRegistry()
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url="http://127.0.0.1:1")))
    return Context({Registry: registry, ModelClient: client})


def message(n: int) -> Raw:
    """A message: each 7th divides by zero, each 11th is invalid JSON, each 13th is dropped, each 3rd fails a group."""
    if n % 11 == 10:
        return Raw(b"garbage", "log", n)
    record = {"n": n, "divisor": 0 if n % 7 == 6 else 2, "keep": n % 13 != 12, "risk": 0 if n % 3 == 2 else 1}
    return Raw(json.dumps([record, {**record, "second": True}]).encode(), "log", n)


def outcome(make_pipeline: Make, in_flight: int | None) -> tuple[list[Record], list[Record], Counts, SlowClient]:
    client = SlowClient()
    pipeline = make_pipeline(context=context_of(client), parser=PARSER, enrichment=ENRICHMENT)
    records: list[Record] = []
    errors: list[Record] = []
    counts = run_pipeline(pipeline, map(message, range(150)), records.append, errors.append, in_flight=in_flight)
    return records, errors, counts, client


def summarize(error: Record) -> tuple[Any, ...]:
    return error["line"], error["stage"], error["message"], error.get("model_failure")


def plain(record: Record) -> Record:
    return {name: value for name, value in record.items() if name in ("n", "second", "score", "ratio", "worth")}


def test_messages_in_flight_give_the_same_output_as_one_by_one(make_pipeline: Make) -> None:
    alone, alone_errors, alone_counts, alone_client = outcome(make_pipeline, 1)
    records, errors, counts, client = outcome(make_pipeline, None)
    assert alone_client.most == 1
    assert client.most > 1
    assert [plain(record) for record in records] == [plain(record) for record in alone]
    assert [summarize(error) for error in errors] == [summarize(error) for error in alone_errors]
    assert counts == alone_counts
    assert counts.read == 150
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    assert min(counts.out, counts.dropped, counts.rejected, counts.reports) > 0
    assert counts.rejected + counts.reports == len(errors)


def test_a_report_belongs_to_its_record(make_pipeline: Make) -> None:
    records, errors, _, _ = outcome(make_pipeline, 16)
    reported = {error["line"] for error in errors if error["stage"] == "model"}
    assert reported == {n for n in range(150) if n % 5 == 0 and n % 11 != 10}
    assert all(error["message"].endswith(f"no answer for {error['line']}") for error in errors if "model" in error)
    assert {record["n"] for record in records if record.get("score") is None} <= reported


def test_a_failed_model_call_is_reported_with_model_and_reason(make_pipeline: Make) -> None:
    _, errors, _, _ = outcome(make_pipeline, 2)
    first = next(error for error in errors if error["stage"] == "model")
    assert {name: value for name, value in first.items() if name.startswith("model")} == {
        "model": "dga",
        "model_version": "1.0",
        "model_url": "http://127.0.0.1:1",
        "model_failure": "time-out",
    }


def test_model_failures_are_in_the_error_field_of_the_record(make_pipeline: Make) -> None:
    other = "MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('other', '2'), {'n': n}))"
    parser = transforming(
        {"transformation": "STELLAR", "config": {"score": SCORE, "again": SCORE, "other": other}},
        {"transformation": "STELLAR", "config": {"seen": "maas.error"}},
        jsonpQuery="$",
    )
    with ModelClient(MemoryRegistry()) as away:
        client = SlowClient()
        client.record_failure = away.record_failure  # type: ignore[attr-defined]
        pipeline = make_pipeline(context=context_of(client), parser=parser, globals={"maas.error.field": "maas.error"})
        records: list[Record] = []
        counts = run_pipeline(pipeline, map(message, range(7)), records.append, lambda _: None)
        assert away.counters().failures == {"no such model": 14}
    late, missing = "dga 1.0: time-out", "other 2: no such model"
    expected = [f"{late}; {missing}" if n % 5 == 0 else missing for n in range(7) for _ in range(2)]
    assert [record["maas.error"] for record in records] == expected
    assert [record["seen"] for record in records] == expected  # later expressions can read it
    assert counts.reports == 8 + 14  # of the model with time-outs, and of the unregistered one


def test_records_have_no_error_field_by_default(make_pipeline: Make) -> None:
    records, *_ = outcome(make_pipeline, 4)
    assert not any("maas.error" in record for record in records)


@pytest.mark.parametrize("name", ["", 1, True])
def test_the_error_field_must_have_a_name(name: object, make_pipeline: Make) -> None:
    with pytest.raises(ConfigError, match=r"global.json.*maas.error.field.*expected the name of a field"):
        make_pipeline(globals={"maas.error.field": name})


def test_without_models_one_record_is_processed_at_a_time(make_pipeline: Make) -> None:
    taken: list[int] = []

    def source() -> Iterator[Raw]:
        for n in range(20):
            taken.append(n)
            yield Raw(b'{"n": 1}')

    seen: list[int] = []
    run_pipeline(make_pipeline(), source(), lambda _: seen.append(len(taken)), lambda _: None)
    assert seen == list(range(1, 21))


def test_a_failing_sink_ends_the_run_and_all_threads(make_pipeline: Make) -> None:
    def full(record: Record) -> None:
        raise OSError("the disk is full")

    threads = threading.active_count()
    pipeline = make_pipeline(context=context_of(SlowClient()), parser=PARSER)
    with pytest.raises(OSError, match="the disk is full"):
        run_pipeline(pipeline, map(message, range(150)), full, lambda _: None)
    assert threading.active_count() == threads


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_an_invalid_in_flight_option_is_rejected(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", "x", "--sensor", "x", f"--in-flight={text}"])
    assert ended.value.code == 2
    assert f"expected an integer of 1 or more, got '{text}'" in capsys.readouterr().err
