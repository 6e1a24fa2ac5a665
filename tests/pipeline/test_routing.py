"""Several sensors in one process: chained parsers, topics, groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regex

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group
from stellar.pipeline.cli import main
from stellar.pipeline.config.loading import load_config
from stellar.pipeline.phases import Phase
from stellar.pipeline.records import Forward, Raw, Record, Rejected, to_json_bytes
from stellar.pipeline.routing import MOST_HOPS, PipelineGroup, RouteByField, TopicPattern
from stellar.pipeline.run import Counts, run_pipeline

# The parser that all lines reach first: the kind of a line becomes its topic
ROUTER = {
    "parserClassName": "CSV",
    "parserConfig": {"columns": ["kind", "data"], "separator": "|", "kafka.topicField": "logical_source_type"},
    "fieldTransformations": [
        {
            "transformation": "REGEX_SELECT",
            "input": "kind",
            "output": "logical_source_type",
            "config": {"web": "^http", "db-1": "^sql", "enrichments": "^plain", "nowhere": "^lost"},
        }
    ],
}


def part(columns: list[str], **keys: Any) -> Record:
    return {
        "parserClassName": "CSV",
        "parserConfig": {"columns": columns},
        "rawMessageStrategy": "ENVELOPE",
        "rawMessageStrategyConfig": {"messageField": "data", "metadataPrefix": ""},
        **keys,
    }


PARSERS: dict[str, Record] = {
    "router": ROUTER,
    "web": part(["ip", "url"]),
    "database": part(["user", "query"], sensorTopic="/db-[0-9]+/"),
}


def write(directory: Path, parsers: dict[str, Record], settings: Record | None = None) -> Path:
    for name, config in parsers.items():
        path = directory / "parsers" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config), encoding="utf-8")
    (directory / "global.json").write_text(json.dumps(settings or {}), encoding="utf-8")
    return directory


@pytest.fixture
def make_group(tmp_path: Path) -> Callable[..., PipelineGroup]:
    def make(parsers: dict[str, Record] = PARSERS) -> PipelineGroup:
        directory = write(tmp_path / "config", parsers)
        return build_group([load_config(directory, name) for name in parsers])

    return make


def run(group: PipelineGroup, *lines: str, topic: str | None = None) -> tuple[list[Record], list[Record], Counts]:
    records: list[Record] = []
    errors: list[Record] = []
    source = [Raw(line.encode(), "in.log", number, topic=topic) for number, line in enumerate(lines, 1)]
    return records, errors, run_pipeline(group, source, records.append, errors.append)


def test_a_record_goes_to_the_parser_of_its_topic(make_group: Callable[..., PipelineGroup]) -> None:
    records, errors, counts = run(make_group(), "http|1.2.3.4,/x", "sql|root,DROP", "plain|y")
    assert errors == []
    assert [record["source.type"] for record in records] == ["web", "database", "router"]
    assert (records[0]["ip"], records[0]["kind"], records[0]["original_string"]) == (
        "1.2.3.4",
        "http",
        "http|1.2.3.4,/x",
    )
    assert records[1]["query"] == "DROP"
    assert (counts.read, counts.parsed, counts.out) == (3, 3, 3)


def test_the_guid_stays_the_same_along_the_chain(make_group: Callable[..., PipelineGroup]) -> None:
    router = make_group().members[0][1]
    (forward,) = router(Raw(b"http|1.2.3.4,/x"))
    assert isinstance(forward, Forward)
    (record,) = make_group().members[1][1](Raw(to_json_bytes(forward.record)))
    assert isinstance(record, dict)
    assert record["guid"] == forward.record["guid"]


def test_a_record_without_the_topic_field_is_dropped_and_counted(make_group: Callable[..., PipelineGroup]) -> None:
    records, errors, counts = run(make_group(), "other|x")
    assert (records, errors, counts.parsed, counts.dropped) == ([], [], 1, 1)


def test_a_topic_that_no_sensor_reads_is_an_error(make_group: Callable[..., PipelineGroup]) -> None:
    records, (error,), counts = run(make_group(), "lost|x")
    assert (records, counts.rejected) == ([], 1)
    assert error["message"] == "no sensor of this run reads the topic 'nowhere'; add the sensor to --sensor"
    assert (error["failed_sensor_type"], error["stage"], error["line"]) == ("router", "route", 1)
    assert json.loads(error["raw_message"])["kind"] == "lost"


def test_an_error_names_the_sensor_in_which_it_occurs(make_group: Callable[..., PipelineGroup]) -> None:
    _, (error,), counts = run(make_group(), "http|1.2.3.4")  # the second column is missing
    assert (error["failed_sensor_type"], error["stage"], error["raw_message"]) == ("web", "parse", "1.2.3.4")
    assert counts.parsed == counts.out + counts.dropped + counts.rejected


def test_input_with_a_topic_goes_to_its_sensor(make_group: Callable[..., PipelineGroup]) -> None:
    records, _, _ = run(make_group(), '{"data":"root,DROP"}', topic="db-7")
    assert records[0]["source.type"] == "database"
    _, (error,), _ = run(make_group(), "x", topic="unknown")
    assert error["stage"] == "route"


def test_an_output_topic_of_another_sensor_chains_all_records(make_group: Callable[..., PipelineGroup]) -> None:
    first = {"parserClassName": "CSV", "parserConfig": {"columns": ["data"], "separator": "|"}, "outputTopic": "web"}
    records, _, _ = run(make_group({"first": first, "web": PARSERS["web"]}), "1.2.3.4,/x")
    assert (records[0]["source.type"], records[0]["url"]) == ("web", "/x")


def test_parsers_that_pass_on_to_each_other_forever_are_an_error(make_group: Callable[..., PipelineGroup]) -> None:
    loop = {"parserClassName": "JSONMap", "outputTopic": "loop"}
    _, (error,), _ = run(make_group({"loop": loop, "other": loop}), "{}")
    assert error["message"] == f"record is passed on more than {MOST_HOPS} times; the parsers form a loop"


def test_a_topic_pattern_that_takes_too_long_rejects_the_record(
    make_group: Callable[..., PipelineGroup], caplog: pytest.LogCaptureFixture
) -> None:
    bomb = {"router": {**ROUTER, "fieldTransformations": []}, "bomb": part(["a"], sensorTopic="/(a|aa)+/")}
    bomb["router"]["parserConfig"] = {"columns": ["topic", "data"], "separator": "|", "kafka.topicField": "topic"}
    _, (error,), counts = run(make_group(bomb), "a" * 60 + "!|x")
    assert (error["stage"], counts.rejected) == ("route", 1)
    assert "sensorTopic /(a|aa)+/ took longer than 1000 ms" in caplog.text


def test_a_record_without_a_json_form_is_rejected(make_group: Callable[..., PipelineGroup]) -> None:
    recursive: list[Any] = []
    recursive.append(recursive)
    group = make_group()
    stage = RouteByField("topic")
    with pytest.raises(Forward) as caught:
        stage({"topic": "web", "data": recursive})
    ((outcome, _),) = group._forward(caught.value, [], group.members[0][1], Raw(b"raw"), 1)
    assert isinstance(outcome, Rejected)
    assert (outcome.stage, outcome.raw, outcome.sensor) == ("route", b"raw", "router")


def test_two_sensors_of_one_topic_are_an_error(make_group: Callable[..., PipelineGroup]) -> None:
    with pytest.raises(ConfigError, match="topic 'web' is read by web, too"):
        make_group({"web": PARSERS["web"], "copy": part(["a"], sensorTopic="web")})


def test_an_invalid_topic_pattern_is_an_error(make_group: Callable[..., PipelineGroup]) -> None:
    with pytest.raises(ConfigError, match="invalid regular expression") as caught:
        make_group({"x": part(["a"], sensorTopic="/(/")})
    assert caught.value.path == "sensorTopic"


@pytest.mark.parametrize("phase", [Phase.ALL, Phase.PARSE])
@pytest.mark.parametrize("option", ["kafka.topic", "kafka.topicField"])
def test_a_topic_that_is_not_a_string_is_an_error(option: str, phase: Phase, tmp_path: Path) -> None:
    parser = {"parserClassName": "JSONMap", "parserConfig": {option: ["web"]}}
    config = load_config(write(tmp_path, {"web": parser}), "web")
    with pytest.raises(ConfigError) as caught:
        build_group([config], phase=phase)
    assert (caught.value.path, caught.value.message) == (f'parserConfig["{option}"]', "expected a string, got ['web']")


@pytest.mark.parametrize("names", ["router,web,database", "router, web ,database,web", "all", "router,parts"])
def test_the_command_runs_several_sensors_and_groups(
    names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = [{"name": "all", "sensors": [*PARSERS]}, {"name": "parts", "sensors": ["web", "database"]}]
    config = write(tmp_path / "config", PARSERS, {"parser.groups": groups})
    path = tmp_path / "in.log"
    path.write_text("http|1.2.3.4,/x\nsql|root,DROP\n", encoding="utf-8")
    assert main(["run", "--config", str(config), "--sensor", names, str(path)]) == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["source.type"] for line in printed.out.splitlines()] == ["web", "database"]
    assert printed.err == (
        "stellar-pipeline: router__web__database: 2 lines read, 2 parsed = 2 out + 0 dropped + 0 rejected; 0 reports\n"
    )


def test_the_command_sends_input_to_a_topic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path / "config", PARSERS)
    path = tmp_path / "in.log"
    path.write_text('{"data":"root,DROP"}\n', encoding="utf-8")
    where = ["--config", str(config), "--sensor", "router,database", "--topic", "db-1"]
    assert main(["run", *where, "--quiet", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["user"] == "root"


def test_patterns_of_topics_are_equal_if_their_expressions_are() -> None:
    one, other = (TopicPattern("/a.*/", regex.compile("a.*", cache_pattern=False)) for _ in range(2))
    assert (one.pattern == other.pattern, one == other) == (False, True)
    assert one != TopicPattern("/b.*/", one.pattern)
