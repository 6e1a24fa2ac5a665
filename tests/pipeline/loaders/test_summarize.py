"""The subcommand summarize: one object of all rows."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.pipeline.loaders.cli import main

from .conftest import Loader

COUNT = {
    "columns": {"rank": 0, "domain": 1},
    "value_transform": {"domain": "DOMAIN_REMOVE_TLD(domain)"},
    "value_filter": "LENGTH(domain) > 0",
    "state_init": "0L",
    "state_update": {"more": "LENGTH(domain)", "state": "state + more"},
    "state_merge": "REDUCE(states, (s, x) -> s + x, 0)",
    "separator": ",",
}
BLOOM = COUNT | {
    "state_init": "BLOOM_INIT()",
    "state_update": {"state": "BLOOM_ADD(state, domain)"},
    "state_merge": "BLOOM_MERGE(states)",
}
DOMAINS = "1,google.com\n2,yahoo.com\n3,com\n"


def summarize(loader: Loader, options: dict[str, Any], *arguments: str) -> int:
    extractor = loader.write("extractor.json", {"config": options, "extractor": "CSV"})
    return main(["summarize", "-e", extractor, *arguments])


def test_a_summary_is_printed(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    assert summarize(loader, COUNT, "-om", "CONSOLE", loader.write("top.csv", DOMAINS)) == 0
    printed = capsys.readouterr()
    assert printed.out == "11\n"
    assert printed.err == "stellar-enrichment: 2 rows, 1 filtered, 0 ignored, 0 rejected\n"


def test_a_summary_is_written_to_a_file_that_object_get_reads(loader: Loader) -> None:
    target = loader.directory / "new" / "filter.ser"
    assert summarize(loader, BLOOM, "-o", str(target), loader.write("top.csv", DOMAINS)) == 0
    read = stellar.compile(f"BLOOM_EXISTS(OBJECT_GET('{target}'), domain)")
    assert [read({"domain": each}) for each in ("google", "goggle")] == [True, False]
    assert [path.name for path in target.parent.iterdir()] == ["filter.ser"]


def test_a_summary_replaces_the_file_of_a_link_and_keeps_its_permissions(loader: Loader) -> None:
    target, link = Path(loader.write("store/count", "0")), loader.directory / "link"
    target.chmod(0o600)
    link.symlink_to(target)
    assert summarize(loader, COUNT, "-o", str(link), loader.write("top.csv", DOMAINS)) == 0
    assert json.loads(target.read_text()) == 11
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_summary_is_written_to_a_url(loader: Loader) -> None:
    target = loader.directory / "count.json"
    assert summarize(loader, COUNT, "-o", f"file://{target}", "-om", "HDFS", loader.write("top.csv", DOMAINS)) == 0
    assert json.loads(target.read_text()) == 11


def test_a_row_that_fails_leaves_the_state_as_it_was(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    options = COUNT | {"state_update": {"state": "state + 10 / TO_INTEGER(rank)"}}
    assert summarize(loader, options, "-om", "CONSOLE", loader.write("a.csv", "5,a.com\n0,b.com\n2,c.com")) == 0
    printed = capsys.readouterr()
    assert printed.out == "7\n"
    assert "a.csv:2: " in printed.err
    assert "1 rejected" in printed.err


def test_a_summary_needs_no_type_and_may_use_the_indicator(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    options = {
        "columns": ["rank", "domain"],
        "indicator": "domain",
        "state_init": "[]",
        "state_update": {"state": "LIST_ADD(state, indicator)"},
    }
    assert summarize(loader, options, "-om", "CONSOLE", loader.write("a.csv", "1,a\n2,b")) == 0
    assert capsys.readouterr().out == "[a, b]\n"


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"columns": ["a"]}, ["-o", "x"], "extractor.json:1:2: config: missing key 'state_update'"),
        (COUNT | {"state_init": "1 / 0"}, ["-om", "CONSOLE"], "config.state_init: "),
        (COUNT | {"state_init": "BLOOM_INT()"}, ["-om", "CONSOLE"], "config.state_init: unknown function BLOOM_INT"),
        (COUNT | {"state_merge": "("}, ["-om", "CONSOLE"], "config.state_merge: "),
        (COUNT, [], "no file for the summary; pass -o FILE"),
        (COUNT, ["-o", "."], "no file for the summary; pass -o FILE"),
        (COUNT | {"state_update": {"state": "x -> x"}}, ["-o", "{directory}/x"], "cannot write the summary: "),
        (COUNT, ["-o", "nonsense://x", "-om", "HDFS"], "nonsense"),
    ],
)
def test_a_summary_that_cannot_be_made_is_an_error(
    loader: Loader,
    options: dict[str, Any],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [each.format(directory=loader.directory) for each in arguments]
    status = 2 if "pass -o FILE" in message else 1
    assert summarize(loader, options, *arguments, loader.write("a.csv", DOMAINS)) == status
    assert message in capsys.readouterr().err
    assert not (loader.directory / "x").exists()


LOOK_UP = "ENRICHMENT_GET('known', 'bad', 'enrichment', 't')"


@pytest.mark.parametrize("name", ["state_init", "state_merge"])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_the_expressions_of_a_state_need_is_checked_before_the_first_row(
    loader: Loader, name: str, processes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = loader.write("a.csv", DOMAINS)
    assert summarize(loader, COUNT | {name: LOOK_UP}, "-p", processes, "-om", "CONSOLE", path) == 1
    printed = capsys.readouterr()
    assert f"config.{name}: ENRICHMENT_GET: no enrichment store configured" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("name", ["state_init", "state_merge"])
def test_a_look_up_that_fails_for_a_state_is_an_error(
    loader: Loader, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = loader.write("a.csv", "bad\n")
    loader.write("extractor.json", {"extractor": "CSV", "config": {"columns": ["ip"], "type": "known"}})
    assert loader.load(path) == 0
    with sqlite3.connect(loader.path) as connection:
        connection.execute("UPDATE entries SET value = 'damaged'")
    connection.close()
    options = {"columns": ["ip"], "state_update": {"state": "ip"}, "state_merge": "states", name: LOOK_UP}
    arguments = ["-p", "2", "--store", f"sqlite:{loader.path}", "-o", str(loader.directory / "x"), path]
    assert summarize(loader, options, *arguments) == 1
    assert re.search(rf"config\.{name}: .*look-up in the enrichment store failed", capsys.readouterr().err)
    assert not (loader.directory / "x").exists()


def test_files_without_rows_give_no_summary(loader: Loader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert summarize(loader, COUNT, "-o", str(tmp_path / "x"), loader.write("a.csv", "#\n")) == 1
    assert "no rows to summarize" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("arguments", [["-o", "top.csv"], ["--rejected", "top.csv", "-o", "x"], ["-o", "link"]])
def test_a_file_is_not_input_and_output(
    loader: Loader, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(loader.directory)
    path = Path(loader.write("top.csv", DOMAINS))
    Path("link").symlink_to(path)
    assert summarize(loader, COUNT, *arguments, str(path)) == 1
    assert "top.csv' is both input and output; choose another file for the output" in capsys.readouterr().err
    assert path.read_text() == DOMAINS
    assert not Path("x").exists()


def test_an_output_that_no_local_file_is_written_for_may_be_named_as_an_input(loader: Loader) -> None:
    path = loader.write("top.csv", DOMAINS)
    assert summarize(loader, COUNT, "-om", "CONSOLE", "-o", path, path) == 0
    assert Path(path).read_text() == DOMAINS
