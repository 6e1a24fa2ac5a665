"""The command `stellar-pipeline test`, its files and its reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from stellar.pipeline.cli import main
from stellar.pipeline.config.json_schemas import make_json_schema
from stellar.util.yaml_reader import YamlReader

PARSER = {
    "parserClassName": "CSV",
    "parserConfig": {"columns": ["timestamp", "user", "url"], "filter.query": "user != 'root'"},
    "filterClassName": "STELLAR",
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "config": {"host": "URL_TO_HOST(url)", "bad": "if user == 'x' then 1 / 0 else null"},
        }
    ],
}
ENRICHMENT = {
    "enrichment": {
        "fieldMap": {
            "stellar": {
                "config": {"seen": "NOW()", "dga": "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host})"}
            }
        }
    },
    "threatIntel": {
        "fieldMap": {"hbaseThreatIntel": ["host"]},
        "fieldToTypeMap": {"host": ["bad"]},
        "triageConfig": {"riskLevelRules": [{"name": "listed", "rule": "true", "score": 10}], "aggregator": "SUM"},
    },
}
LINE = "1,mary,http://a.example/"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the tests of a YAML text; it returns the status, the output and the errors."""
    directory = tmp_path / "config"
    for name, content in (("parsers/web.json", PARSER), ("enrichments/web.json", ENRICHMENT)):
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    (directory / "tests").mkdir()

    def run_text(text: str | dict[str, Any], *options: str, file: str = "web.yaml") -> tuple[int, str, str]:
        content = text if isinstance(text, str) else json.dumps(text, indent=1)
        (directory / "tests" / file).write_text(content, encoding="utf-8")
        status = main(["test", "--config", str(directory), *options])
        output, errors = (each.replace(f"{directory}/", "") for each in capsys.readouterr())
        return status, output, errors

    return run_text


def suite(*tests: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = [{"name": f"test {index}", **test} for index, test in enumerate(tests)]
    return {"tests": named, "models": {"dga": [{"response": {"score": 1}}]}, **more}


def expect(**expected: Any) -> dict[str, Any]:
    return {"line": LINE, "expect": expected}


# -- Outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "test",
    [
        expect(fields={"host": "a.example", "user": "mary", "source.type": "web"}, present="guid", absent=["bad"]),
        expect(fields={"timestamp": 1.0, "seen": 1767225600000}),
        {**expect(fields={"seen": 1000}), "clock": "1970-01-01T00:00:01"},
        {**expect(fields={"seen": 5}), "clock": 5},
        expect(fields={"dga.score": 1}, score=None, rules=[]),
        {"line": "1,root,u", "expect": {"dropped": 1, "records": []}},
        {"line": "garbage", "expect": {"records": [], "errors": ["Unable to parse"]}},
        {"line": "1,x,u", "expect": {"records": [], "errors": [{"stage": "transform", "type": "parser_error"}]}},
        {
            **expect(score=10, rules=["listed"], fields={"threatintels.hbaseThreatIntel.host.bad": "alert"}),
            "enrichments": [{"table": "threatintel", "type": "bad", "indicator": "a.example"}],
        },
        {
            "record": {"source.type": "web", "is_alert": "true", "host": "b"},
            "expect": {"records": [{"score": 10, "absent": "user"}]},
        },
        {**expect(errors=["down"], absent="dga.score"), "models": {"dga": [{"error": "down"}]}},
        {**expect(errors=["no model 'dga'"]), "settings": {}, "models": {"other": []}, "sensor": "web"},
        {
            **expect(fields={"dga.a": 2}),
            "models": {"dga": [{"when": {"host": "b"}, "response": {"a": 1}}, {"response": {"a": 2}}]},
        },
        {**expect(errors=["models: no reply of dga 1.0"]), "models": {"dga": [{"when": {"x": 1}, "response": {}}]}},
    ],
)
def test_an_outcome_as_expected_passes(run: Run, test: dict[str, Any]) -> None:
    content = suite(test)
    if "no model" in str(test):
        del content["models"]
    status, output, errors = run(content)
    assert (status, errors) == (0, ""), output
    assert output.startswith("ok   web: test 0\n1 passed in ")


@pytest.mark.parametrize(
    ("test", "difference"),
    [
        (expect(fields={"host": "b.example"}), 'field host:\n     - "b.example"\n     + "a.example"\n'),
        (expect(fields={"host": None}), 'field host:\n     - null\n     + "a.example"\n'),
        (expect(fields={"bytes": 5}), "field bytes:\n     - 5\n     + (absent)\n"),
        (expect(fields={"timestamp": True}), "field timestamp:\n     - true\n     + 1\n"),
        (expect(fields={"timestamp": "1"}), 'field timestamp:\n     - "1"\n     + 1\n'),
        (expect(fields={"host": {"a": [1]}}), '- {\n     -   "a": [\n     -     1\n     -   ]\n     - }\n'),
        (expect(present=["bytes"]), "field bytes:\n     - any value\n     + (absent)\n"),
        (expect(absent=["user"]), 'field user:\n     - (absent)\n     + "mary"\n'),
        (expect(score=5), "score:\n     - 5.0\n     + null\n"),
        (expect(rules=["listed"]), 'rules:\n     - ["listed"]\n     + []\n'),
        (expect(records=[]), "number of records:\n     - 0\n     + 1\n"),
        (expect(records=[{}, {}]), "number of records:\n     - 2\n     + 1\n"),
        (expect(dropped=1), "dropped records:\n     - 1\n     + 0\n"),
        (expect(errors=["never"]), 'missing error:\n     - {\n     -   "message": "never"\n     - }\n'),
        (
            {"line": "garbage", "expect": {"records": []}},
            'unexpected error:\n     + {\n     +   "message": "Unable to parse',
        ),
    ],
)
def test_a_difference_fails_and_is_shown(run: Run, test: dict[str, Any], difference: str) -> None:
    status, output, _ = run(suite(test, expect(fields={"user": "mary"})))
    assert status == 1
    assert output.startswith("FAIL web: test 0\n")
    assert difference in output
    assert "\nok   web: test 1\n1 passed, 1 failed in " in output


def test_each_of_several_records_is_compared(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config" / "parsers" / "many.json").write_text(
        '{"parserClassName": "JSONMap", "parserConfig": {"jsonpQuery": "$.a[*]"}}'
    )
    line = '{"a": [{"n": 1}, {"n": 2}]}'
    records = [{"fields": {"n": 1}}, {"fields": {"n": 3}}]
    content = {"tests": [{"name": "two", "sensor": "many", "line": line, "expect": {"records": records}}]}
    status, output, _ = run(content)
    assert (status, "records[1]: field n:\n     - 3\n     + 2" in output) == (1, True)
    assert "records[0]" not in output


def test_a_vague_expected_error_leaves_the_others_their_own(run: Run) -> None:
    rules = {"models": {"dga": [{"error": "down"}]}, "settings": {"x": 1}}
    errors = [{"stage": "model"}, {"stage": "model", "message": "down"}]
    status, output, _ = run(suite({**expect(errors=errors), **rules}))
    assert (status, output.count("missing error")) == (1, 1)
    assert run(suite({**expect(errors=errors[1:]), **rules}))[0] == 0


def test_tests_do_not_share_state(run: Run) -> None:
    listed = {"enrichments": [{"table": "threatintel", "type": "bad", "indicator": "a.example"}]}
    status, output, _ = run(suite({**expect(score=10), **listed}, expect(score=None), {**expect(score=10), **listed}))
    assert status == 0, output


def test_a_sensor_that_is_only_enriched_is_tested_by_records(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config" / "enrichments" / "other.json").write_text(json.dumps(ENRICHMENT))
    record = {"source.type": "other", "is_alert": "true", "original_string": "o", "guid": "g"}
    expected = {"fields": {**record, "threat.triage.level": 10}, "score": 10}
    status, output, _ = run(suite({"record": record, "expect": expected}), file="other.yaml")
    assert status == 0, output
    status, output, _ = run(suite({"line": "a", "expect": expected}), file="other.yaml")
    assert (status, "unknown sensor 'other'" in output) == (1, True)


def test_the_adapter_rest_gets_the_listed_responses(run: Run, tmp_path: Path) -> None:
    service = {"endpointTemplate": "https://api.example/asset?host=${host}", "prefix": "asset"}
    enrichment = {"enrichment": {"fieldMap": {"rest": [service]}}}
    (tmp_path / "config" / "enrichments" / "web.json").write_text(json.dumps(enrichment))
    reply = {"url": "https://api.example/asset?host=a.example", "body": {"owner": "ann"}}
    passing = {**expect(fields={"asset.owner": "ann"}), "rest": [reply]}
    failing = {
        **expect(absent="asset.owner", errors=["the response has the status 500"]),
        "rest": [{**reply, "status": 500}],
    }
    missing = expect(errors=["rest: no response for GET https://api.example/asset?host=a.example; add one"])
    status, output, _ = run(suite(passing, failing, missing))
    assert status == 0, output


def test_an_object_that_is_not_listed_is_an_error(run: Run, tmp_path: Path) -> None:
    enrichment = {"enrichment": {"fieldMap": {"stellar": {"config": {"x": "OBJECT_GET('/etc/hostname')"}}}}}
    (tmp_path / "config" / "enrichments" / "web.json").write_text(json.dumps(enrichment))
    status, output, _ = run(suite(expect(errors=["objects: no object /etc/hostname; add one"])))
    assert status == 0, output


def test_the_configuration_s_own_stores_are_not_used(run: Run, tmp_path: Path) -> None:
    settings = {"enrichment.store": "sqlite:/no/such/directory/store.db", "geo.hdfs.file": "/no/such/file"}
    (tmp_path / "config" / "global.json").write_text(json.dumps(settings))
    assert run(suite(expect(score=None)))[0] == 0


def test_fakes_of_a_file_are_those_of_all_its_tests(run: Run, tmp_path: Path) -> None:
    fields = {
        "whois": "MAP_GET('owner', ENRICHMENT_GET('whois', host, 'enrichment', 't'))",
        "inside": "ENRICHMENT_EXISTS('net', '10.1.2.3', 'enrichment', 't')",
        "city": "GEO_GET('1.2.3.4', ['city'])",
        "point": "GEO_GET('1.2.3.4', ['location_point'])",
        "unknown": "LENGTH(GEO_GET('8.8.8.8'))",
        "owner": "ASN_GET('1.2.3.4', ['autonomous_system_organization'])",
        "mean": "STATS_MEAN(STATS_MERGE(PROFILE_GET('sizes', user, PROFILE_FIXED(2, 'DAYS'))))",
        "plain": "GET_FIRST(PROFILE_GET('count', user, PROFILE_FIXED(2, 'DAYS'), ['a']))",
        "known": "BLOOM_EXISTS(OBJECT_GET('known.ser'), host)",
        "entry": "ENRICHMENT_OBJECT_GET('map.ser', host)",
        "rest": "MAP_GET('a', REST_GET('http://api.example/x?y=1'))",
        "failed": "MAP_GET('a', REST_GET('http://api.example/other', {'error.value.override': {'a': 'none'}}))",
    }
    enrichment = {"enrichment": {"fieldMap": {"stellar": {"config": fields}}}}
    (tmp_path / "config" / "enrichments" / "web.json").write_text(json.dumps(enrichment))
    profile = {"profile": "sizes", "entity": "mary", "time": "2025-12-31T12:00:00Z"}
    content = suite(
        expect(
            fields={
                "whois": "me",
                "inside": True,
                "city": "Paris",
                "point": "1,2",
                "unknown": 0,
                "owner": "Net",
                "mean": 2.0,
                "plain": 7,
                "known": True,
                "entry": 3,
                "rest": 5,
                "failed": "none",
            }
        ),
        {**expect(fields={"city": "Rome"}), "geo": {"1.2.3.4": {"city": "Rome"}}},
        enrichments=[
            {"type": "whois", "indicator": "a.example", "value": {"owner": "me"}},
            {"type": "net", "indicator": "10.0.0.0/8", "interval": True},
        ],
        geo={"1.2.3.4": {"city": "Paris", "latitude": "1", "longitude": "2"}},
        asn={"1.2.3.4": {"autonomous_system_organization": "Net"}},
        profiles=[
            {**profile, "expression": "STATS_ADD(STATS_INIT(), [1, 2, 3])"},
            {**profile, "profile": "count", "groups": ["a"], "value": 7},
        ],
        objects={"known.ser": "BLOOM_ADD(BLOOM_INIT(), 'a.example')", "map.ser": "{'a.example': 3}"},
        rest=[
            {"url": "http://api.example/x?y=1", "body": {"a": 5}},
            {"url": "http://api.example/other", "error": "refused"},
        ],
    )
    status, output, errors = run(content)
    assert (status, errors) == (0, ""), output


# -- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("tests: [", ["tests/web.yaml:1:9: invalid YAML: "]),
        ("", ["tests/web.yaml: the file is empty"]),
        ("- a", ["tests/web.yaml:1:1: expected a mapping with the key tests, got a sequence"]),
        ("sensor: web", ["tests/web.yaml:1:1: tests: missing key 'tests'"]),
        ("tests: []", ["tests/web.yaml:1:1: tests: expected at least one item, got none"]),
        (
            "colour: 1\ntests:\n- name: a\n  line: b\n  expct: {}\n  expect: {fields: {}, scor: 1}\n",
            [
                "tests/web.yaml:1:1: colour: unknown key 'colour'; ",
                "tests/web.yaml:5:3: tests[0].expct: unknown key 'expct'; did you mean expect?",
                "tests/web.yaml:6:24: tests[0].expect.scor: unknown key 'scor'; did you mean score?",
            ],
        ),
        (
            "tests:\n- name: a\n  expect: {score: 1}\n",
            ["tests/web.yaml:2:3: tests[0]: expected one of line and record"],
        ),
        ("tests:\n- name: a\n  line: b\n  record: {}\n  expect: {score: 1}\n", ["expected one of line and record"]),
        (
            "tests:\n- name: a\n  line: b\n  expect: {}\n",
            ["tests/web.yaml:4:3: tests[0].expect: expected at least one key"],
        ),
        (
            "tests:\n- {name: a, line: b, expect: {score: 1, records: []}}\n",
            ["records cannot be combined with the keys of a single record"],
        ),
        (
            "tests:\n- {name: a, line: 5, expect: {score: 1}}\n",
            ["tests/web.yaml:2:13: tests[0].line: expected a string, got 5"],
        ),
        (
            "clock: soon\ntests:\n- {name: a, line: b, expect: {score: 1}}\n",
            ["tests/web.yaml:1:1: clock: expected a time"],
        ),
        (
            "tests:\n- {name: a, line: b, expect: {score: 1}}\n- {name: a, line: b, expect: {score: 1}}\n",
            ["tests/web.yaml:3:4: tests[1].name: duplicate name 'a', first in line 2"],
        ),
        (
            "models: {dga: [{response: {}, error: x}]}\ntests:\n- {name: a, line: b, expect: {score: 1}}\n",
            ["tests/web.yaml:1:16: models.dga[0]: expected one of response and error"],
        ),
        ("tests: &a [*a]", ["anchors and aliases are not allowed"]),
        ("tests: !!python/object:os.system {}", ["tags such as"]),
    ],
)
def test_an_invalid_file_is_an_error_with_each_location(run: Run, text: str, errors: list[str]) -> None:
    status, output, reported = run(text)
    assert (status, output) == (1, "")
    lines = reported.splitlines()
    assert len(lines) == len(errors)
    for line, error in zip(lines, errors, strict=True):
        assert error in line


def test_the_errors_of_all_files_are_reported(run: Run) -> None:
    run("tests: [", file="a.yaml")
    _, _, errors = run("tests: 5", file="b.yml")
    assert [line.split(":")[0] for line in errors.replace("stellar-pipeline: ", "").splitlines()] == [
        "tests/a.yaml",
        "tests/b.yml",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sensor": "wib"}, "unknown sensor 'wib'; did you mean web?"),
        ({"settings": {"stellar.function.resolver.excludes": "URL_TO_HOST"}}, "unknown function URL_TO_HOST"),
        ({"profiles": [{"profile": "p", "entity": "e", "time": 0, "expression": "1 +"}]}, "the value of p of e: "),
        ({"enrichments": [{"type": "n", "indicator": "x/8", "interval": True}]}, "enrichments: "),
    ],
)
def test_a_test_that_cannot_run_fails_with_the_reason(run: Run, change: dict[str, Any], message: str) -> None:
    status, output, _ = run(suite({**expect(score=None), **change}))
    assert status == 1
    assert output.startswith("FAIL web: test 0\n     ")
    assert message in output


def test_a_directory_without_tests_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--config", str(tmp_path)]) == 1
    assert "no tests/*.yaml in this directory; add tests, or check the path" in capsys.readouterr().err


# -- Options ----------------------------------------------------------------------------------------------------------


def test_a_filter_selects_tests_by_their_names(run: Run) -> None:
    content = suite({**expect(score=None), "name": "An alert"}, {**expect(score=5), "name": "no alarm"})
    status, output, _ = run(content, "-k", "an ALERT")
    assert (status, output.splitlines()[0]) == (0, "ok   web: An alert")
    status, _, errors = run(content, "-k", "nothing")
    assert (status, errors) == (1, "stellar-pipeline: no test has a name that contains 'nothing'; check -k\n")
    assert run(content, "-k", "WEB:")[0] == 1


def test_quiet_prints_failures_only(run: Run) -> None:
    _, output, _ = run(suite(expect(score=None), expect(score=5)), "--quiet")
    assert output.startswith("FAIL web: test 1\n")


def test_results_are_written_as_junit(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    tests = suite(
        expect(score=None),
        {**expect(fields={"user": "a\u0007"}), "name": "bell <&> \u0001"},
        {**expect(score=None), "sensor": "other"},
    )
    status, _, _ = run(tests, "--junit", str(file))
    root = ElementTree.fromstring(file.read_bytes())
    (found,) = root
    assert status == 1
    assert {key: found.get(key) for key in ("name", "tests", "failures", "errors")} == {
        "name": "web",
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    passed, failed, broken = found
    assert (passed.get("classname"), passed.get("name"), len(passed)) == ("web", "test 0", 0)
    assert int(passed.get("line", 0)) > 1
    assert failed.get("name") == "bell <&> \\x01"
    (failure,) = failed
    assert (failure.tag, failure.get("message")) == ("failure", "field user:")
    assert failure.text == 'field user:\n- "a\\u0007"\n+ "mary"'
    (error,) = broken
    assert (error.tag, "unknown sensor 'other'" in str(error.text)) == ("error", True)


def test_the_json_schema_accepts_the_examples(run: Run) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = make_json_schema("tests")
    examples = list((Path(__file__).parents[3] / "examples").glob("*/**/tests/*.yaml"))
    assert examples
    for file in examples:
        jsonschema.validate(YamlReader(file).root.to_value(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"tests": [{"name": "a", "line": "b", "expect": {"scor": 1}}]}, schema)
