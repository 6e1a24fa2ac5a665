"""The command `stellar-pipeline explain`, and its trees."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stellar.pipeline import Raw, build_pipeline, load_config
from stellar.pipeline.build import build_group
from stellar.pipeline.cli import main
from stellar.pipeline.explain import draw_explanation, explain_message
from stellar.pipeline.pipeline import Pipeline

PARSER: dict[str, Any] = {
    "parserClassName": "CSV",
    "parserConfig": {"columns": ["user", "url", "bytes"], "filter.query": "user != 'root'"},
    "filterClassName": "STELLAR",
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "output": ["host", "bytes"],
            "config": {"host": "URL_TO_HOST(url)", "bytes": "TO_INTEGER(bytes)"},
        },
        {"transformation": "REMOVE", "input": ["url"]},
    ],
}
ENRICHMENT = {
    "threatIntel": {
        "fieldMap": {"stellar": {"config": ["is_alert := host in ['evil.example']"]}},
        "triageConfig": {"riskLevelRules": [{"name": "upload", "rule": "bytes > 1000", "score": 10}]},
    }
}
VALIDATION = {"fieldValidations": [{"validation": "STELLAR", "config": {"condition": "bytes < 1000000"}}]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name, content in (
        ("parsers/web.json", PARSER),
        ("enrichments/web.json", ENRICHMENT),
        ("global.json", VALIDATION),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.fixture
def pipeline(config: Path) -> Pipeline:
    return build_pipeline(load_config(config, "web"))


def draw(pipeline: Pipeline, line: str) -> list[str]:
    raw = Raw(line.encode(), "web.log", 1)
    (text,) = (draw_explanation(explanation, raw) for explanation in explain_message(pipeline, raw))
    text = re.sub(r"'?\d{13}'?", "TIME", re.sub(r"'[0-9a-f-]{36}'", "GUID", text))
    return [each for each in text.splitlines() if ".ts = " not in each]


def test_the_tree_has_expressions_and_changes_of_each_stage(pipeline: Pipeline) -> None:
    assert draw(pipeline, "mary,http://evil.example/x,2048") == [
        "web.log:1",
        "├─ parse CSV, sensor web",
        "│  ├─ + user = 'mary'",
        "│  ├─ + url = 'http://evil.example/x'",
        "│  ├─ + bytes = '2048'",
        "│  ├─ + timestamp = TIME",
        "│  └─ + original_string = 'mary,http://evil.example/x,2048'",
        "├─ pipeline",
        "│  └─ + source.type = 'web'",
        "├─ transform STELLAR",
        "│  ├─ host := URL_TO_HOST(url) → 'evil.example'",
        "│  ├─ bytes := TO_INTEGER(bytes) → 2048",
        "│  ├─ ~ bytes = 2048, was '2048'",
        "│  └─ + host = 'evil.example'",
        "├─ transform REMOVE",
        "│  ├─ true → true",
        "│  └─ - url, was 'http://evil.example/x'",
        "├─ pipeline",
        "│  └─ + guid = GUID",
        "├─ filter",
        "│  └─ user != 'root' → true",
        "├─ validate: valid",
        "├─ validate",
        "│  └─ bytes < 1000000 → true",
        "├─ enrich",
        "├─ threatIntel",
        "│  ├─ is_alert := host in ['evil.example'] → true",
        "│  ├─ + is_alert = true",
        "├─ triage",
        "│  ├─ bytes > 1000 → true",
        "│  ├─ ~ is_alert = 'true', was true",
        "│  ├─ + threat.triage.score = 10.0",
        "│  ├─ + threat.triage.level = 10",
        "│  ├─ + threat.triage.rules.0.name = 'upload'",
        "│  ├─ + threat.triage.rules.0.comment = null",
        "│  ├─ + threat.triage.rules.0.score = '10'",
        "│  └─ + threat.triage.rules.0.reason = null",
        "└─ record with 20 fields",
    ]


@pytest.mark.parametrize(
    ("line", "end"),
    [
        (
            "root,http://a.example/,1",
            ["├─ filter: dropped", "│  └─ user != 'root' → false", "└─ dropped"],
        ),
        (
            "mary,http://a.example/,2000000",
            ["├─ validate: rejected", "│  └─ bytes < 1000000 → false", "└─ rejected in validate: "],
        ),
        ("mary", ["web.log:1", "└─ rejected in parse: Unable to parse mary: "]),
    ],
)
def test_the_tree_ends_where_the_record_ends(pipeline: Pipeline, line: str, end: list[str]) -> None:
    lines = draw(pipeline, line)[-len(end) :]
    assert [each[: len(wanted)] for each, wanted in zip(lines, end, strict=True)] == end


def test_a_failed_expression_is_shown_with_its_error(config: Path) -> None:
    failing = {**PARSER, "fieldTransformations": [{"transformation": "STELLAR", "config": {"x": "GET(user, 0)"}}]}
    (config / "parsers/web.json").write_text(json.dumps(failing), encoding="utf-8")
    lines = draw(build_pipeline(load_config(config, "web")), "mary,http://a.example/,1")
    at = lines.index("├─ transform STELLAR: rejected")
    assert lines[at + 1].startswith("│  └─ x := GET(user, 0) → error: GET expected a list")
    assert any(line.startswith("└─ rejected in transform: ") for line in lines)


def test_an_explanation_is_an_ordinary_run(pipeline: Pipeline) -> None:
    raw = Raw(b"mary,http://evil.example/x,2048")
    (explanation,) = explain_message(pipeline, raw)
    ((outcome, _),) = pipeline.processed(raw)
    assert isinstance(explanation.outcome, dict)
    assert isinstance(outcome, dict)
    assert explanation.outcome.keys() == outcome.keys()


def test_all_records_of_a_message_are_explained(config: Path) -> None:
    parser = {"parserClassName": "JSONMap", "parserConfig": {"jsonpQuery": "$"}}
    (config / "parsers/web.json").write_text(json.dumps(parser), encoding="utf-8")
    (config / "enrichments/web.json").unlink()
    (config / "global.json").unlink()
    pipeline = build_pipeline(load_config(config, "web"))
    explanations = list(explain_message(pipeline, Raw(b'[{"a":1},{"a":2}]')))
    assert [explanation.effects[0].after["a"] for explanation in explanations] == [1, 2]
    assert {explanation.effects[0].stage for explanation in explanations} == {"parse"}


def test_a_record_that_is_passed_on_is_explained_through_all_parsers(config: Path) -> None:
    transformation = {"transformation": "STELLAR", "config": {"topic": "'web'"}}
    options = {"columns": ["user"], "kafka.topicField": "topic"}
    router = {"parserClassName": "CSV", "parserConfig": options, "fieldTransformations": [transformation]}
    (config / "parsers/router.json").write_text(json.dumps(router), encoding="utf-8")
    second = {"parserClassName": "JSONMap", "sensorTopic": "web"}
    (config / "parsers/web.json").write_text(json.dumps(second), encoding="utf-8")
    (config / "enrichments/web.json").unlink()
    (config / "global.json").unlink()
    group = build_group([load_config(config, name) for name in ("router", "web")])
    raw = Raw(b"mary")
    (explanation,) = explain_message(group, raw)
    lines = draw_explanation(explanation, raw).splitlines()
    assert "├─ route: passed on to the topic web" in lines
    parsers = [line for line in lines if line.startswith("├─ parse")]
    assert parsers == ["├─ parse CSV, sensor router", "├─ parse JSONMap, sensor web"]
    assert "│  ├─ + user = 'mary'" in lines[lines.index(parsers[1]) :]


def test_the_command_stops_after_the_limit(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b"mary,http://a.example/,1\n" * 3
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    assert main(["explain", "--config", str(config), "--sensor", "web", "--limit", "2"]) == 0
    output, errors = capsys.readouterr()
    assert re.findall("^standard input:.*", output, re.MULTILINE) == ["standard input:1", "standard input:2"]
    assert errors == "stellar-pipeline: stopped after 2 lines; use --limit for more\n"


def test_control_characters_of_a_record_are_escaped(pipeline: Pipeline) -> None:
    assert "│  ├─ + user = 'a\\x1b[31m'" in draw(pipeline, "a\x1b[31m,b,1")
