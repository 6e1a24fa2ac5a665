"""The configurations that Metron ships or documents: they load, and parse the raw messages of their parsers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group, build_pipeline
from stellar.pipeline.config.loading import (
    load_config,
    parse_enrichment,
    parse_global,
    parse_indexing,
    parse_parser,
    parse_profiler,
)
from stellar.pipeline.config.locations import SourceLocation, read_text
from stellar.pipeline.config.positions import describe_error
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.run import run_pipeline

DATA = Path(__file__).parents[1] / "conformance" / "data"
CONFIGS = DATA / "metron-configs"
KINDS = dict(re.findall(r"^\| (\S+\.json) \| (\w+) \|", (CONFIGS / "README.md").read_text(encoding="utf-8"), re.M))
PARSE: dict[str, Callable[[str, SourceLocation], object]] = {
    "parser": parse_parser,
    "enrichment": parse_enrichment,
    "indexing": parse_indexing,
    "profiler": parse_profiler,
    "other": parse_global,
}
# Files with placeholders, or strings of several lines, and the position of the first problem
INVALID = {
    "ParserChaining/doc-01.json": "11:18",
    "metron-parsing/doc-02.json": "2:5",
    "metron-parsing/doc-03.json": "2:5",
    "metron-parsing/doc-04.json": "2:5",
    "metron-parsing/doc-05.json": "2:5",
    "metron-parsing/doc-06.json": "2:5",
    "metron-profiler-common/doc-02.json": "3:29",
    "metron-statistics/doc-02.json": "6:71",
    "metron-statistics/doc-04.json": "8:65",
}


def test_the_files_are_complete() -> None:
    assert len(KINDS) == 48
    assert set(INVALID) <= set(KINDS)
    assert {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.json")} == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - INVALID.keys()))
def test_every_file_loads(name: str) -> None:
    PARSE[KINDS[name]](read_text(CONFIGS / name), SourceLocation(name))


@pytest.mark.parametrize("name", INVALID)
def test_a_file_that_is_no_json_is_an_error_with_its_position(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PARSE[KINDS[name]](read_text(CONFIGS / name), SourceLocation(str(CONFIGS / name)))
    assert describe_error(caught.value).startswith(f"{CONFIGS / name}:{INVALID[name]}: invalid JSON: ")


PARSERS = sorted(name for name, kind in KINDS.items() if kind == "parser" and name not in INVALID)
# The patterns of the documented chain, which its users write themselves
CISCO = r"""
CISCO_ACTION Built|Teardown|Deny|Denied|denied
CISCOTIMESTAMP %{MONTH} +%{MONTHDAY} %{YEAR} %{TIME}
CISCO_PIX %{GREEDYDATA:timestamp}: %PIX-%{NOTSPACE:pix_type}: %{GREEDYDATA:data}
CISCOFW302020_302021 %{CISCO_ACTION:action} (?:dynamic )?ICMP connection for faddr %{IP:ip_dst_addr}/%{INT:icmp_seq_num}
"""


def raw_messages(parser: str) -> Iterator[Raw]:
    with (DATA / "parsers.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if "raw" in case and isinstance(case["config"], dict) and case["config"].get("parserClassName") == parser:
                yield Raw(case["raw"].encode("utf-8", "surrogatepass"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "parsers").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "cisco_patterns").write_text(CISCO, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_parses_the_messages_of_its_kind(name: str, directory: Path) -> None:
    shutil.copy(CONFIGS / name, directory / "parsers" / "x.json")
    pipeline = build_pipeline(load_config(directory, "x"))
    records: list[Record] = []
    errors: list[Record] = []
    messages = list(raw_messages(json.loads((CONFIGS / name).read_text(encoding="utf-8"))["parserClassName"]))
    counts = run_pipeline(pipeline, messages, records.append, errors.append)
    assert counts.read == len(messages) > 90
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    internal = re.compile(r"(Type|Attribute|Key|Index|Recursion|Assertion|Name)Error\b")
    assert [each["exception"] for each in errors if internal.match(str(each.get("exception")))] == []
    if "parser_chaining" not in name:
        assert records


def test_the_documented_chain_runs(directory: Path) -> None:
    names = {"doc-01": "pix_syslog_router", "doc-02": "cisco-6-302"}
    for document, sensor in names.items():
        source = CONFIGS / "use-cases" / "parser_chaining" / f"{document}.json"
        shutil.copy(source, directory / "parsers" / f"{sensor}.json")
    group = build_group([load_config(directory, sensor) for sensor in names.values()])
    line = "Mar 29 2004 09:54:18: %PIX-6-302020: Built ICMP connection for faddr 192.0.2.1/24"
    records: list[Record] = []
    errors: list[Any] = []
    run_pipeline(group, [Raw(line.encode())], records.append, errors.append)
    assert errors == []
    (record,) = records
    assert record["source.type"] == "cisco-6-302"
    assert (record["action"], record["ip_dst_addr"], record["pix_type"]) == ("Built", "192.0.2.1", "6-302020")
    assert (record["timestamp"], record["original_string"]) == (1080554058000, line)
