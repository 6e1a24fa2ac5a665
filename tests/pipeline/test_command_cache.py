"""Commands with a cache print the same as without, and compile nothing again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stellar.util.program_cache import VARIABLE

PARSER = {
    "parserClassName": "JSONMap",
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "output": ["host", "length"],
            "config": {"host": "URL_TO_HOST(url)", "length": "LENGTH(host) + bytes"},
        }
    ],
}
ENRICHMENT = {
    "enrichment": {"fieldMap": {"stellar": {"config": {"upper": "TO_UPPER(host)"}}}},
    "threatIntel": {
        "fieldMap": {"stellar": {"config": {"is_alert": "host == 'example.com'"}}},
        "triageConfig": {
            "riskLevelRules": [
                {"name": f"rule {number}", "rule": f"LENGTH(host) > {number}", "score": 1} for number in range(20)
            ]
        },
    },
}
LINES = [
    {"url": "http://example.com/x", "bytes": 5, "guid": "1", "timestamp": 1},
    {"url": "http://a.example.com/x", "bytes": 7, "guid": "2", "timestamp": 2},
    {"url": "http://example.com/x", "bytes": "text", "guid": "3", "timestamp": 3},
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = tmp_path / "config"
    for name, content in (("parsers", PARSER), ("enrichments", ENRICHMENT)):
        (config / name).mkdir(parents=True)
        (config / name / "web.json").write_text(json.dumps(content))
    (tmp_path / "lines.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    return config


def run(program: str, *arguments: str, cache: Path | str, after: str = "pass") -> tuple[str, str]:
    """Run a command in a fresh process, and a statement at its end; return what both print without times."""
    code = f"import sys; from {program} import main; status = main(); {after}; sys.exit(status)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), VARIABLE: str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def without_times(printed: tuple[str, str]) -> tuple[list[dict[str, object]], str]:
    documents = [json.loads(line) for line in printed[0].splitlines()]
    kept = [{key: value for key, value in document.items() if not key.endswith(".ts")} for document in documents]
    return kept, printed[1]


def test_a_run_with_an_empty_and_a_full_cache_equals_one_without(tmp_path: Path, config: Path) -> None:
    arguments = ("run", "--sensor", "web", str(tmp_path / "lines.jsonl"), "--config", str(config))
    outcomes = [
        without_times(run("stellar.pipeline.cli", *arguments, cache=cache))
        for cache in ("off", tmp_path / "cache", tmp_path / "cache")
    ]
    assert outcomes[1] == outcomes[2] == outcomes[0]
    assert len(outcomes[0][0]) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_run_with_a_full_cache_loads_neither_pydantic_nor_the_compiler(tmp_path: Path, config: Path) -> None:
    (config / "enrichments" / "web.json").unlink()  # rules of triage are looked up by their syntax trees
    show = (
        "print(sorted({'pydantic', 'stellar.language.compiler.codegen', 'stellar.tooling', 'ssl'} & set(sys.modules)))"
    )
    arguments = ("run", "--sensor", "web", str(tmp_path / "lines.jsonl"), "--config", str(config), "--quiet")
    loaded = [
        run("stellar.pipeline.cli", *arguments, cache=tmp_path / "cache", after=show)[0].splitlines()[-1]
        for _ in range(2)
    ]
    assert loaded == ["['pydantic', 'stellar.language.compiler.codegen']", "[]"]


def test_a_change_of_the_configuration_has_an_effect(tmp_path: Path, config: Path) -> None:
    arguments = ("run", "--sensor", "web", str(tmp_path / "lines.jsonl"), "--config", str(config), "--quiet")
    run("stellar.pipeline.cli", *arguments, cache=tmp_path / "cache")
    file = config / "enrichments" / "web.json"
    file.write_text(file.read_text().replace("TO_UPPER(host)", "TO_LOWER(host)"))
    printed, _ = run("stellar.pipeline.cli", *arguments, cache=tmp_path / "cache")
    assert [json.loads(line).get("upper") for line in printed.splitlines()] == ["example.com", "a.example.com"]


def test_an_evaluation_with_a_full_cache_compiles_nothing(tmp_path: Path) -> None:
    show = "print(sorted({'stellar.language.parser', 'stellar.language.compiler.codegen'} & set(sys.modules)))"
    arguments = ("eval", "-e", "TO_UPPER('a') == 'A'")
    first, second = (run("stellar.cli", *arguments, cache=tmp_path / "cache", after=show)[0] for _ in range(2))
    assert first.splitlines()[0] == second.splitlines()[0] == "true"
    assert second.splitlines()[1] == "[]"


def test_a_profiler_run_stores_its_expressions(tmp_path: Path) -> None:
    (tmp_path / "profiler.json").write_text(
        json.dumps(
            {
                "timestampField": "time",
                "profiles": [
                    {"profile": "p", "foreach": "user", "init": {"n": "0"}, "update": {"n": "n + 1"}, "result": "n"}
                ],
            }
        )
    )
    (tmp_path / "lines.jsonl").write_text('{"user": "a", "time": 1000}\n')
    store = f"sqlite:{tmp_path / 'profiles.db'}"
    arguments = ("run", str(tmp_path / "lines.jsonl"), "--config", str(tmp_path), "--store", store)
    printed = [run("stellar.pipeline.profiler.cli", *arguments, cache=tmp_path / "cache")[1] for _ in range(2)]
    assert printed[0] == printed[1]
    assert len(list((tmp_path / "cache").iterdir())) == 1
