"""Configuration files: comments, older spellings, warnings and source locations."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.java.jackson import without_comments
from stellar.language.errors import ConfigError
from stellar.pipeline.config.loading import load_config, read_enrichment, read_parser
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector, SourceLocation


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_comments_are_removed_but_not_inside_of_strings(tmp_path: Path) -> None:
    text = """
    // the parser
    {"parserClassName": "JSONMap", /* of all
    things */ "parserConfig": {"url": "http://x/*y*/", "quote": "\\" // no"}}
    """
    config = read_parser(write(tmp_path / "x.json", text))
    assert config.parser_config == {"url": "http://x/*y*/", "quote": '" // no'}


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists))
def test_json_without_comments_is_unchanged(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert without_comments(text) == text


@pytest.mark.parametrize("text", ["1 // x", "/* a\nb */ 1", '{"a": 1} /* // */', "1 /* unclosed"])
def test_removing_comments_preserves_offsets(text: str) -> None:
    assert len(without_comments(text)) == len(text)
    assert without_comments(text).count("\n") == text.count("\n")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"parserClassName": "JSONMap"}')
    assert read_parser(path).parser_class_name == "JSONMap"


def test_invalid_utf_8_is_rejected_with_a_fix(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"parserClassName": "\xff"}')
    with pytest.raises(ConfigError, match="invalid UTF-8 at byte 21; save the file as UTF-8"):
        read_parser(path)


def test_json_that_is_nested_too_deeply_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_parser(write(tmp_path / "x.json", '{"parserConfig":' + "[" * 100_000))


OLDER = """
{"index": "squid", "batchSize": 1, "Enrichment": {"fieldMap": {}},
 "threatintel": {"triageConfig": {"riskLevelRules": [{"rule": "true", "score": 1, "comments": "why"}]}}}
"""


def test_older_spellings_are_accepted_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = read_enrichment(write(tmp_path / "x.json", OLDER))
    (rule,) = config.threat_intel.triage_config.risk_level_rules.values()
    assert (rule.rule, rule.score, rule.comment) == ("true", 1, "why")
    assert [record.getMessage().removeprefix(f"{tmp_path}/") for record in caplog.records] == [
        "x.json: index: belongs to indexing/, has no effect here",
        "x.json: batchSize: belongs to indexing/, has no effect here",
        "x.json: Enrichment: read as 'enrichment'",
        "x.json: threatintel: read as 'threatIntel'",
        "x.json: threatIntel.triageConfig.riskLevelRules[0].comments: read as 'comment'",
    ]


def test_the_first_of_equal_rules_is_used(make_pipeline: Callable[..., Any]) -> None:
    rules = [{"rule": "true", "score": 1}, {"rule": "true", "score": 2}]
    pipeline = make_pipeline(enrichment={"threatIntel": {"triageConfig": {"riskLevelRules": rules}}})
    (triage,) = (stage for name, stage in pipeline.stages if name == "triage")
    assert [rule.score for rule in triage.rules] == [1.0]


def test_only_the_file_of_the_parser_is_required(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config(), "squid")
    assert config.globals.settings == {}
    assert config.enrichment.threat_intel.triage_config.aggregator == "MAX"


def test_the_global_configuration_accepts_any_key(write_config: Callable[..., Path]) -> None:
    settings = {"es.ip": ["node1:9200"], "anything": {"goes": 1}}
    config = load_config(write_config(globals={**settings, "fieldValidations": []}), "squid")
    assert config.globals.settings == settings


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        (("a", "b", 0), "a.b[0]"),
        (("parserConfig", "filter.query"), 'parserConfig["filter.query"]'),
        (("rules", 'x == "é"'), 'rules["x == \\"é\\""]'),
        ((0,), "[0]"),
    ],
)
def test_a_location_is_written_as_a_path(steps: tuple[str | int, ...], path: str) -> None:
    location = SourceLocation("f")
    for step in steps:
        location = location / step
    assert location.path == path
    assert str(location) == f"f: {path}"


def test_a_key_with_half_of_a_surrogate_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"invalid JSON: the key '\\ud800' contains half of a surrogate pair"):
        read_parser(write(tmp_path / "x.json", '{"\\ud800": 1}'))


def test_further_errors_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(and 1 more\)"):
        read_parser(write(tmp_path / "x.json", '{"numWorkers": "x"}'))


def test_collected_errors_are_raised_once_each() -> None:
    problems = ErrorCollector([])
    problems.raise_found()
    first, second = ConfigError("a.json", "x", "is wrong"), ConfigError("a.json", "y", "is wrong")
    for error in (first, ConfigErrors([ConfigError("a.json", "x", "is wrong"), second])):
        problems.attempt(partial(_raise, error), None)
    with pytest.raises(ConfigError) as raised:
        problems.raise_found()
    assert [str(error) for error in raised.value.errors] == [str(first), str(second)]


def _raise(error: Exception) -> None:
    raise error
