"""Tests of the replay of conformance cases."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from replay import main

ROOT = Path(__file__).parents[2]


def expression(source: str, value: object, kind: str) -> dict[str, Any]:
    case = {"id": source, "cat": "x", "mode": "parse", "resolver": "map", "expr": source, "vars": {}}
    return {**case, "result": {"ok": True, "type": kind, "value": value}}


def aggregation(scores: list[object], value: float) -> dict[str, Any]:
    case = {"id": "t1", "mode": "aggregate", "aggregator": "SUM", "scores": scores}
    return {**case, "result": {"ok": True, "type": "Double", "value": value}}


def parsing(raw: str, **messages: object) -> dict[str, Any]:
    config = {"parserClassName": "JSONMap"}
    result = {"messages": [{"guid": {"$uuid": True}, **messages}], "errors": []}
    return {"id": "p1", "cat": "json", "sensor": "s", "config": config, "raw": raw, "result": result}


STORE = {"hosts": [], "enrichment": [], "threatintel": [["bad", "6.6.6.6", {}]]}


def enriching(value: object) -> dict[str, Any]:
    config = {"threatIntel": {"fieldMap": {"hbaseThreatIntel": ["ip"]}, "fieldToTypeMap": {"ip": ["bad"]}}}
    name = "threatintels.hbaseThreatIntel.ip.bad"
    ts = {"$ts": True}
    timings = {f"parallelenricher.{part}.{end}.ts": ts for part in ("splitter", "enrich") for end in ("begin", "end")}
    after = {f"adapter.threatinteladapter.{end}.ts": ts for end in ("begin", "end")}
    enriched = {"ip": "6.6.6.6", **timings}
    result = {"enriched": enriched, "message": {**enriched, **after, name: value, "is_alert": "true"}, "errors": []}
    return {"id": "e1", "cat": "x", "config": config, "message": {"ip": "6.6.6.6"}, "result": result}


def write(directory: Path, *cases: dict[str, Any]) -> str:
    file = directory / "cases.jsonl"
    file.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("kind", "cases", "expected"),
    [
        ("language", [expression("1 + 1", 2, "Integer")], "agreement: 100.00 % of 1 cases"),
        ("language", [expression("2147483647 + 1", -2147483648, "Integer")], "agreement: 100.00 % of 1 cases"),
        ("functions", [expression("TO_UPPER('a')", "A", "String")] * 2, "agreement: 100.00 % of 2 cases"),
        ("triage", [aggregation([1, 2], 3.0)], "agreement: 100.00 % of 1 cases"),
        (
            "parsers",
            [parsing('{"a":1}', a=1, timestamp=1781524800000, original_string='{"a":1}', **{"source.type": "s"})],
            "agreement: 100.00 % of 1 cases",
        ),
        ("enrichment", [{"store": STORE}, enriching("alert")], "agreement: 100.00 % of 1 cases"),
    ],
)
def test_the_share_of_agreement_is_the_last_line(kind, cases, expected, tmp_path, capsys):
    assert main([kind, write(tmp_path, *cases)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("kind", "cases", "name"),
    [
        ("language", [expression("1 + 1", 3, "Integer")], "1 + 1 (parse)"),
        ("functions", [expression("TO_UPPER('a')", "a", "String")], "TO_UPPER('a') (parse)"),
        ("triage", [aggregation([1, 2], 4.0)], "t1 (aggregate)"),
        ("parsers", [parsing('{"a":1}', a=True)], "p1 (json)"),
        ("enrichment", [{"store": STORE}, enriching("no alert")], "e1 (x)"),
    ],
)
def test_each_disagreement_is_printed(kind, cases, name, tmp_path, capsys):
    assert main([kind, write(tmp_path, *cases)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(name)
    assert lines[-1] == "agreement: 0.00 % of 1 cases"


def test_the_stored_triage_cases_agree(capsys):
    assert main(["triage", str(ROOT / "tests/conformance/data/triage.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "agreement: 100.00 % of 417 cases"


def test_an_unknown_kind_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["grammar", "file"])
    assert stopped.value.code == 2
    assert "language|functions|triage|parsers|enrichment" in capsys.readouterr().err


def test_the_module_runs_as_a_command(tmp_path):
    file = write(tmp_path, expression("1 + 1", 2, "Integer"))
    command = [sys.executable, "-m", "tests.conformance.replay", "language", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.endswith("agreement: 100.00 % of 1 cases\n")
