"""The command `stellar-pipeline triage`, and its explanations."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.cli import main
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext
from stellar.pipeline.triage_explanation import explain_triage, find_stage

RULES = [
    {"name": "upload", "rule": "bytes > limit", "score": 10, "reason": "FORMAT('%d bytes', bytes)"},
    {"rule": "user == 'root'", "score": "bytes / 100"},
]
ENRICHMENT: dict[str, Any] = {
    "threatIntel": {
        "config": {"limit": 1000},
        "triageConfig": {"aggregator": "SUM", "riskLevelRules": RULES},
    }
}
ALERT = {"source.type": "web", "is_alert": "true", "bytes": 5000, "user": "root"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_rules(tmp_path, RULES)
    return tmp_path


def write_rules(directory: Path, rules: list[dict[str, Any]], sensor: str = "web") -> None:
    enrichment = json.loads(json.dumps(ENRICHMENT))
    enrichment["threatIntel"]["triageConfig"]["riskLevelRules"] = rules
    for name, content in (
        (f"enrichments/{sensor}.json", enrichment),
        (f"parsers/{sensor}.json", {"parserClassName": "JSONMap"}),
    ):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def triage(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs the command on a text; it returns the status, the output and the errors."""

    def run(text: str, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "records.json"
        file.write_text(text, encoding="utf-8")
        status = main(["triage", *options, "--config", str(config), str(file)])
        output, errors = capsys.readouterr()
        return status, output.replace(str(file), "records.json"), errors.replace(str(file), "records.json")

    return run


def test_records_get_the_fields_of_matching_rules(triage: Any) -> None:
    status, output, errors = triage(json.dumps(ALERT) + "\n" + json.dumps({**ALERT, "bytes": 1, "user": "mary"}))
    first, second = map(json.loads, output.splitlines())
    assert (status, errors) == (0, "")
    assert first["threat.triage.score"] == 60.0
    assert first["threat.triage.rules.0.reason"] == "5000 bytes"
    assert second == {**ALERT, "bytes": 1, "user": "mary"}


def test_an_explanation_shows_each_rule_and_the_aggregation(triage: Any) -> None:
    status, output, _ = triage(json.dumps({**ALERT, "user": "mary"}, indent=2), "--explain")
    assert status == 0
    assert output == (
        "records.json:1\n"
        "├─ rule upload: matches\n"
        "│  ├─ bytes > limit\n"
        "│  ├─ bytes = 5000\n"
        "│  ├─ limit = 1000\n"
        "│  ├─ score 10.0\n"
        "│  └─ reason FORMAT('%d bytes', bytes) → '5000 bytes'\n"
        "├─ rule user == 'root': does not match\n"
        "│  ├─ bytes = 5000\n"
        "│  └─ user = 'mary'\n"
        "└─ score 10.0: SUM of 10.0\n"
    )


def test_an_explanation_shows_the_expression_of_a_score(triage: Any) -> None:
    _, output, _ = triage(json.dumps(ALERT), "--explain")
    assert "│  └─ score bytes / 100 → 50.0\n└─ score 60.0: SUM of 10.0, 50.0\n" in output


@pytest.mark.parametrize(
    ("alert", "text"),
    [
        ({"is_alert": "false"}, "not scored: no alert; an alert has is_alert = true, or a field that begins with "),
        ({"is_alert": "malicious"}, "not scored: is_alert is not a boolean\n"),
        ({"is_alert": True, "bytes": 1, "user": "mary"}, "no rule matches, so the alert has no score\n"),
    ],
)
def test_an_explanation_shows_why_there_is_no_score(triage: Any, alert: dict[str, Any], text: str) -> None:
    _, output, _ = triage(json.dumps({**ALERT, **alert}), "--explain")
    assert f"└─ {text}" in output


def test_an_explanation_as_json_has_all_values(triage: Any) -> None:
    status, output, _ = triage(json.dumps(ALERT), "--explain", "--format", "json")
    explained = json.loads(output)
    assert status == 0
    assert explained["origin"] == "records.json:1"
    assert (explained["score"], explained["aggregator"], explained["is_alert"]) == (60.0, "SUM", True)
    assert explained["rules"][0] == {
        "name": "upload",
        "comment": None,
        "rule": "bytes > limit",
        "variables": {"bytes": 5000, "limit": 1000},
        "matches": True,
        "score_expression": "10",
        "score": 10.0,
        "reason_expression": "FORMAT('%d bytes', bytes)",
        "reason": "5000 bytes",
        "errors": {},
    }
    assert explained["record"]["threat.triage.score"] == 60.0


@pytest.mark.parametrize(
    ("rule", "component"),
    [
        ({"rule": "1 / bytes > 0", "score": 1}, "condition"),
        ({"rule": "true", "score": "user"}, "score"),
        ({"rule": "true", "score": 1, "reason": "1 / bytes"}, "reason"),
    ],
)
def test_a_rule_that_fails_is_shown_and_fails_the_command(
    triage: Any, config: Path, rule: dict[str, Any], component: str
) -> None:
    write_rules(config, [rule])
    record = json.dumps({**ALERT, "bytes": 0})
    status, output, _ = triage(record, "--explain")
    assert status == 1
    assert f"├─ rule {rule['rule']}: {'matches' if component == 'reason' else 'failed'}\n" in output
    assert f"─ {component} failed: " in output
    status, output, errors = triage(record)
    assert status == 1
    assert f"triage: rule '{rule['rule']}' failed in its {component}: " in errors
    assert json.loads(output)["is_alert"] == "true"


def test_an_unclear_alert_is_reported_as_in_a_run(triage: Any) -> None:
    status, output, errors = triage(json.dumps({**ALERT, "is_alert": "maybe"}))
    assert status == 1
    assert "is_alert is 'maybe', which is not a boolean; the record is not scored" in errors
    assert json.loads(output)["is_alert"] == "maybe"


def test_unreadable_records_are_located_and_skipped(triage: Any) -> None:
    status, output, errors = triage(f'{{"a": }}\n{json.dumps(ALERT)}\n[1]\n{{"bytes": 1}}\n{"[" * 100000}')
    assert status == 1
    assert len(output.splitlines()) == 1
    assert errors.splitlines() == [
        "stellar-pipeline: records.json:1: invalid JSON: Expecting value at line 1, column 7",
        "stellar-pipeline: records.json:3: expected a JSON object",
        "stellar-pipeline: records.json:4: the record has no source.type; pass --sensor NAME",
        "stellar-pipeline: records.json:5: invalid JSON: nested too deeply",
    ]


def test_a_line_that_is_too_long_is_one_error_and_names_an_option_that_exists(triage: Any) -> None:
    long = json.dumps({**ALERT, "user": "x" * 1000})
    text = f"{long}\n{json.dumps(ALERT)}\n[1]"
    status, output, errors = triage(text, "--max-line-bytes", "500")
    assert (status, len(output.splitlines())) == (1, 1)
    assert errors.splitlines() == [
        "stellar-pipeline: records.json:1: line is longer than 500 bytes; increase --max-line-bytes if such lines are "
        "expected",
        "stellar-pipeline: records.json:3: expected a JSON object",
    ]
    status, output, errors = triage(text, "--max-line-bytes", "2000")
    assert (status, len(output.splitlines())) == (1, 2)


def test_each_record_is_scored_by_the_rules_of_its_sensor(triage: Any, config: Path) -> None:
    write_rules(config, [{"rule": "true", "score": 3}], "proxy")
    status, output, _ = triage("\n".join(json.dumps({**ALERT, "source.type": each}) for each in ("web", "proxy")))
    assert status == 0
    assert [json.loads(line)["threat.triage.score"] for line in output.splitlines()] == [60.0, 3.0]
    _, output, _ = triage(json.dumps(ALERT), "--sensor", "proxy")
    assert json.loads(output)["threat.triage.score"] == 3.0


def test_records_are_read_from_standard_input(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(ALERT).encode())))
    assert main(["triage", "--explain", "--config", str(config)]) == 0
    assert capsys.readouterr().out.startswith("standard input:1\n")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_input_without_records_is_an_error(triage: Any, content: str) -> None:
    status, _, errors = triage(content)
    assert (status, errors) == (1, "stellar-pipeline: no records to score; check the files\n")


def test_a_missing_configuration_is_an_error(triage: Any) -> None:
    status, _, errors = triage(json.dumps({**ALERT, "source.type": "other"}))
    assert status == 1
    assert "enrichments/other.json: cannot read the file: No such file or directory" in errors


def test_only_rules_need_services(triage: Any, config: Path) -> None:
    enrichment = {**ENRICHMENT, "enrichment": {"fieldMap": {"stellar": {"config": {"g": "GEO_GET(ip)"}}}}}
    (config / "enrichments" / "web.json").write_text(json.dumps(enrichment), encoding="utf-8")
    assert triage(json.dumps(ALERT))[0] == 0


@pytest.mark.parametrize("change", [{}, {"bytes": 1}, {"user": "mary"}, {"is_alert": "no"}, {"is_alert": "x"}])
def test_an_explanation_has_the_result_of_the_stage(config: Path, change: dict[str, Any]) -> None:
    stage = find_stage(build_pipeline(load_config(config, "web")))
    record = {**ALERT, **change}
    explanation = explain_triage(stage, record)
    before = RECORD_CONTEXT.set(RecordContext())
    try:
        assert explanation.result == stage(record)
    finally:
        RECORD_CONTEXT.reset(before)
