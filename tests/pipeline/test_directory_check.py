"""The check of a whole directory: names of files, all kinds of configuration, what expressions need, formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.cli import main as stellar
from stellar.functions.enrichments import SqliteEnrichments
from stellar.pipeline.cli import main

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """A function that writes files, checks them as the directory `config`, and returns the status and the output."""
    monkeypatch.chdir(tmp_path)

    def run(files: dict[str, Any], *options: str) -> tuple[int, str]:
        for name, content in {"parsers/x.json": {"parserClassName": "JSONMap"}, **files}.items():
            path = Path("config") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        status = main(["check", "--config", "config", *options])
        return status, capsys.readouterr().out

    return run


VALID = "x: valid; functions called: none\n"


@pytest.mark.parametrize(
    ("files", "status", "output"),
    [
        ({}, 0, ""),
        (
            {"enrichment/x.json": {}},
            1,
            "config/enrichment: error: unknown folder enrichment/; did you mean enrichments/?",
        ),
        ({"parser/y.json": {}}, 1, "config/parser: error: unknown folder parser/; did you mean parsers/?"),
        ({"globals.json": {}}, 1, "config/globals.json: error: unknown file globals.json; did you mean global.json?"),
        ({"extra/y.json": {}}, 0, "config/extra: warning: unknown folder extra/; it is not read"),
        ({"apps/metron/patterns/x": "A a"}, 0, ""),
        ({"parsers/x.json.bak": {}}, 0, "config/parsers/x.json.bak: warning: not read: its name does not end in .json"),
        (
            {"indexing/x.json": {"hdfs": {"batchSize": "many"}}},
            1,
            "config/indexing/x.json:1:24: error: hdfs.batchSize: expected an integer, got 'many'",
        ),
        ({"indexing/x.json": {"hdfs": {"batchSize": 5, "enabled": "true"}}}, 0, ""),
        ({"tests/x.yaml": "tests:\n- {name: a, line: b, expect: {score: 1}}\n"}, 0, ""),
        (
            {"tests/x.yaml": "tests:\n- {name: a, line: b, expct: {}, expect: {score: 1}}\n"},
            1,
            "config/tests/x.yaml:2:22: error: tests[0].expct: unknown key 'expct'; did you mean expect?",
        ),
        ({"tests/x.yml": "tests: ["}, 1, "config/tests/x.yml:1:9: error: invalid YAML: "),
        ({"tests/x.yaml": ""}, 1, "config/tests/x.yaml: error: the file is empty"),
        ({"tests/x.json": {}}, 0, "config/tests/x.json: warning: not read: its name does not end in .yaml"),
        (
            {"profiler.json": {"profiles": [{"profile": "p", "foreach": "a", "result": "1", "every": 1}]}},
            1,
            "config/profiler.json:1:63: error: profiles[0].every: unknown key 'every'; "
            "known are expires, foreach, groupBy, init, onlyif, profile, result, update",
        ),
        (
            {"profiler.json": {"profiles": [{"profile": "p", "foreach": "a", "result": "LENGHT(a)"}]}},
            1,
            "config/profiler.json:1:59: error: profiles[0].result: unknown function LENGHT\n"
            "1 | LENGHT(a)\n    ^^^^^^\nhint: did you mean LENGTH?",
        ),
        (
            {"parsers/x.json": '{"parserClassName": "JSONMap"} // done\n and more'},
            0,
            "config/parsers/x.json: warning: text after the JSON object is ignored: 'and more'",
        ),
        (
            {"global.json": {"stellar.rest.settingz": {}}},
            1,
            'config/global.json:1:2: error: ["stellar.rest.settingz"]: unknown setting',
        ),
    ],
)
def test_every_file_of_a_directory_is_checked(files: dict[str, Any], status: int, output: str, check: Check) -> None:
    got, printed = check(files)
    findings = printed.removesuffix(VALID)
    assert (got, findings[: len(output)]) == (status, output)
    assert bool(findings) == bool(output)


ENRICHED = {"enrichment": {"fieldMap": {"stellar": {"config": {"x": "ENRICHMENT_GET('a', ip, 'b', 'c')"}}}}}
MODEL = {"enrichment": {"fieldMap": {"stellar": {"config": {"x": "MAAS_GET_ENDPOINT('dga')"}}}}}
GEO = {"enrichment": {"fieldMap": {"stellar": {"config": {"x": "GEO_GET(ip)"}}}}}


@pytest.mark.parametrize(
    ("enrichment", "settings", "problem"),
    [
        (ENRICHED, {}, "ENRICHMENT_GET: no enrichment store configured; set enrichment.store"),
        (
            ENRICHED,
            {"enrichment.store": "sqlite:no.db"},
            "ENRICHMENT_GET: cannot read the enrichment store no.db",
        ),
        (GEO, {}, "GEO_GET: no database configured; set geo.hdfs.file in the global configuration to its path"),
        (GEO, {"geo.hdfs.file": "no.mmdb"}, "GEO_GET: cannot read the database no.mmdb"),
        (MODEL, {}, "no model registry configured, but expressions call models; pass --registry DIR"),
    ],
)
def test_what_expressions_need_is_checked_unless_offline(
    enrichment: Any, settings: Any, problem: str, check: Check
) -> None:
    files = {"enrichments/x.json": enrichment, "global.json": settings}
    status, printed = check(files)
    assert status == 1
    start = "config/enrichments/x.json:1:58: error: enrichment.fieldMap.stellar.config.x: "
    assert printed.startswith(start + problem)
    assert check(files, "--offline")[0] == 0


def test_a_store_that_exists_is_no_error(check: Check, tmp_path: Path) -> None:
    store = SqliteEnrichments(str(tmp_path / "store.db"))
    store.put("b", "c", "a", "1.2.3.4", {})
    store.close()
    files = {"enrichments/x.json": ENRICHED, "global.json": {"enrichment.store": f"sqlite:{tmp_path}/store.db"}}
    assert check(files) == (0, "x: valid; functions called: ENRICHMENT_GET\n")


def test_a_registry_may_be_left_out(check: Check) -> None:
    assert check({"enrichments/x.json": MODEL}, "--registry", "none")[0] == 0
    status, printed = check({"enrichments/x.json": MODEL}, "--registry", "nowhere")
    assert (status, "the registry directory nowhere does not exist" in printed) == (1, True)


UNKNOWN = {"parsers/x.json": {"parserClassName": "JSONMap", "sensorTopics": "x"}}


def test_json_has_an_object_for_each_finding(check: Check) -> None:
    status, printed = check(UNKNOWN, "--format", "json")
    assert (status, json.loads(printed)) == (
        1,
        [
            {
                "file": "config/parsers/x.json",
                "line": 1,
                "column": 32,
                "severity": "error",
                "name": "configuration",
                "path": "sensorTopics",
                "message": "unknown key 'sensorTopics'; did you mean sensorTopic?",
                "detail": "",
                "edits": [],
            }
        ],
    )
    assert check({"parsers/x.json": {"parserClassName": "JSONMap"}}, "--format", "json") == (0, "[]\n")


def test_annotations_for_github_are_escaped(check: Check) -> None:
    lint = {"parsers/x.json": {"parserClassName": "JSONMap", "filterClassName": "STELLAR"}}
    lint["parsers/x.json"]["parserConfig"] = {"filter.query": "a and b or c"}  # type: ignore[assignment]
    status, printed = check(lint, "--format", "github")
    assert status == 0
    assert printed.startswith("::warning file=config/parsers/x.json,line=1,col=96,title=mixed-and-or::parserConfig[")
    assert printed.count("\n") == 1
    assert "%0A" in printed


def test_strict_fails_for_warnings(check: Check) -> None:
    files = {"extra/y.json": {}}
    assert check(files)[0] == 0
    assert check(files, "--strict")[0] == 1
    assert check(files, "--strict", "--ignore", "configuration") == (0, VALID)


FILTER = {"parserClassName": "JSONMap", "filterClassName": "STELLAR"}


def with_filter(query: str) -> dict[str, Any]:
    return {"parsers/x.json": {**FILTER, "parserConfig": {"filter.query": query}}}


@pytest.mark.parametrize(
    ("query", "options", "status", "name"),
    [
        ("a and b or c", (), 0, "mixed-and-or"),
        ("a and b or c", ("--strict",), 1, "mixed-and-or"),
        ("a and b or c", ("--strict", "--ignore", "mixed-and-or"), 0, None),
        ("a and b or c", ("--strict", "--select", "always-exists"), 0, None),
        ("a and b or c // noqa: mixed-and-or", ("--strict",), 0, None),
        ("a // noqa: mixed-and-or", ("--strict",), 1, "unused-noqa"),
        ("REGEXP_MATCH(a, '(')", (), 1, "invalid-literal"),
        ("REGEXP_MATCH(a, '(') // noqa: invalid-literal", (), 0, None),
        ("a and", ("--ignore", "mixed-and-or"), 1, "error"),
    ],
)
def test_both_commands_select_findings_and_exit_alike(
    query: str, options: tuple[str, ...], status: int, name: str | None, check: Check
) -> None:
    got, printed = check(with_filter(query), "--output", "json", *options)
    assert got == status
    assert [finding["name"] for finding in json.loads(printed)] == ([] if name is None else [name])
    assert stellar(["check", *options, "-e", query]) == status
    assert stellar(["check", *options, "config/parsers/x.json"]) == status


def test_expressions_of_a_directory_are_fixed(check: Check) -> None:
    assert check(with_filter('a == "\u00e9" and b or c'), "--fix", "--strict") == (0, VALID)
    query = json.loads(Path("config/parsers/x.json").read_text())["parserConfig"]["filter.query"]
    assert query == 'a == "\u00e9" and (b or c)'


def test_a_comment_in_a_profile_suppresses_a_lint(check: Check) -> None:
    profile = {"profile": "p", "foreach": "a", "onlyif": "a and b or c // noqa: mixed-and-or", "result": "1"}
    assert check({"profiler.json": {"profiles": [profile]}}, "--strict") == (0, VALID)


def test_the_command_for_expressions_has_the_same_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.stellar").write_text("a and b or c\n", encoding="utf-8")
    assert stellar(["check", "--format", "json", "rules.stellar"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["file"], finding["line"], finding["severity"]) == ("rules.stellar", 1, "warning")
