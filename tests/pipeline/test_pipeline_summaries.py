"""The lines that the command prints for failures if there is no target for errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.cli import main

from .conftest import transforming

MODEL = {"transformation": "STELLAR", "config": {"answer": "MAAS_MODEL_APPLY({'url': 'http://127.0.0.1:1'}, {})"}}


def triaging(**rule: Any) -> Any:
    return {"threatIntel": {"triageConfig": {"riskLevelRules": [{"rule": "true", "score": 1, **rule}]}}}


def enriching(config: Any, stage: str = "enrichment") -> Any:
    return {stage: {"fieldMap": {"stellar": {"config": config}}}}


@pytest.mark.parametrize(
    ("configs", "wanted"),
    [
        (
            {"enrichment": enriching({"group": ["good := 1", "half := x /\n zero"]})},
            "enrich: ENRICHMENT error with stellar failed: half := x / zero: division by zero",
        ),
        (
            {"enrichment": enriching({"half": "x / zero"}, "threatIntel")},
            "threatIntel: THREAT_INTEL error with stellar failed: half := x / zero: division by zero",
        ),
        (
            {"enrichment": triaging(name="odd", rule="x / zero > 1")},
            "triage: rule 'odd' failed in its condition 'x / zero > 1': division by zero",
        ),
        (
            {"enrichment": triaging(rule="x / zero > 1")},
            "triage: rule 'x / zero > 1' failed in its condition: division by zero",
        ),
        (
            {"enrichment": triaging(score="x / zero")},
            "triage: rule 'true' failed in its score 'x / zero': division by zero",
        ),
        (
            {"enrichment": triaging(name="odd", reason="x / zero")},
            "triage: rule 'odd' failed in its reason 'x / zero': division by zero",
        ),
        (
            {"parser": transforming({"transformation": "STELLAR", "config": {"half": "x / zero"}})},
            "transform: Unable to process transformation: x / zero for half because division by zero",
        ),
        (
            {
                "parser": transforming(
                    {"transformation": "REMOVE", "output": "x", "config": {"condition": "x / zero > 1"}}
                )
            },
            "transform: expression 'x / zero > 1' failed: division by zero",
        ),
        (
            {
                "parser": {
                    "parserClassName": "JSONMap",
                    "filterClassName": "STELLAR",
                    "parserConfig": {"filter.query": "zero == 0 and x / zero > 1"},
                }
            },
            "filter: expression 'zero == 0 and x / zero > 1' failed: division by zero",
        ),
        (
            {
                "globals": {
                    "fieldValidations": [
                        {"validation": "STELLAR", "config": {"condition": "zero == 0 and x / zero > 1"}}
                    ]
                }
            },
            "validate: expression 'zero == 0 and x / zero > 1' failed: division by zero",
        ),
        (
            {"parser": transforming(MODEL)},
            "model: call to model at http://127.0.0.1:1 failed, result is null: http://127.0.0.1:1/apply",
        ),
    ],
)
def test_a_failure_names_the_failed_component(
    configs: Any,
    wanted: str,
    write_config: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(**configs)
    monkeypatch.chdir(tmp_path)
    record = {"x": 1, "zero": 0, "is_alert": True, "timestamp": 1}
    Path("in.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    options = ["--config", str(config), "--sensor", "squid", "--registry", "none", "--output", "out.jsonl", "--quiet"]
    assert main(["run", *options, "in.jsonl"]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if " warning: " not in line]
    assert said.startswith(f"in.jsonl:1: {wanted}")
