"""The JSON Schemas of configuration files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from stellar.java.jackson import without_comments
from stellar.pipeline.cli import main
from stellar.pipeline.config.json_schemas import MODELS, find_subschema, list_keys, make_json_schema

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "squid" / "config"
METRON = ROOT / "tests" / "conformance" / "data" / "metron-configs"
VALID = [
    *(("parsers", path) for path in [*EXAMPLE.glob("parsers/*.json"), *METRON.glob("*/parsers/*.json")]),
    *(("enrichments", path) for path in [*EXAMPLE.glob("enrichments/*.json"), *METRON.glob("*/enrichments/*.json")]),
    *(("indexing", path) for path in METRON.glob("*/indexing/*.json")),
    *(("global", path) for path in METRON.glob("*/global.json")),
    ("profiler", METRON / "metron-profiler-storm" / "doc-01.json"),
    ("profiler", METRON / "use-cases" / "geographic_login_outliers" / "doc-02.json"),
]


@pytest.mark.parametrize("kind", MODELS)
def test_a_schema_is_a_valid_schema_and_describes_every_key(kind: str) -> None:
    schema = make_json_schema(kind)
    Draft202012Validator.check_schema(schema)
    for definition in [schema, *schema.get("$defs", {}).values()]:
        assert all(member.get("description") for member in definition.get("properties", {}).values())


@pytest.mark.parametrize(("kind", "path"), VALID, ids=lambda each: each.name if isinstance(each, Path) else each)
def test_valid_configurations_match_their_schema(kind: str, path: Path) -> None:
    value = json.loads(without_comments(path.read_text(encoding="utf-8")))
    assert [error.message for error in Draft202012Validator(make_json_schema(kind)).iter_errors(value)] == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("parsers", {}),
        ("parsers", {"parserClassName": "CSV", "sensorTopics": "x"}),
        ("parsers", {"parserClassName": "CSV", "parserConfig": None}),
        ("parsers", {"parserClassName": "CSV", "fieldTransformations": [{"input": "a"}]}),
        ("enrichments", {"threatIntel": {"triageConfig": {"riskLevelRules": [{"rule": "true"}]}}}),
        ("profiler", {"profiles": [{"profile": "x"}]}),
        ("global", {"fieldValidations": {}}),
        ("indexing", {"hdfs": {"batchSize": 0}}),
    ],
)
def test_invalid_configurations_do_not_match(kind: str, value: object) -> None:
    assert not Draft202012Validator(make_json_schema(kind)).is_valid(value)


def test_the_keys_of_a_place_are_found_by_its_path() -> None:
    root = make_json_schema("enrichments")
    schema = root
    for step in ("threatIntel", "triageConfig", "riskLevelRules", 0):
        schema = find_subschema(schema, root, step)
    assert list_keys(schema, root)["rule"] == "The condition, a Stellar expression."
    assert list_keys(find_subschema(schema, root, "no such key"), root) == {}


def test_the_command_prints_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "parsers"]) == 0
    assert json.loads(capsys.readouterr().out) == make_json_schema("parsers")
