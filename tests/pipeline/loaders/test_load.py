"""The subcommand load: transforms, rejected lines, replacement, inputs and the store."""

from __future__ import annotations

import bz2
import gzip
import http.server
import io
import json
import lzma
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline import Raw, build_pipeline, load_config
from stellar.pipeline.loaders.cli import main
from stellar.pipeline.progress import Display
from stellar.stores.base import Row
from stellar.stores.sqlite import BATCH, SqliteStore

from .conftest import Loader

CSV = {"columns": {"ip": 0, "source": 1}, "indicator_column": "ip", "type": "malicious_ip"}


def csv(**options: Any) -> dict[str, Any]:
    return {"config": {**CSV, **options}, "extractor": "CSV"}


TOP = {
    "columns": {"rank": 0, "domain": 1},
    "value_transform": {"domain": "DOMAIN_REMOVE_TLD(domain)"},
    "value_filter": "LENGTH(domain) > 0",
    "indicator_column": "domain",
    "indicator_transform": {"indicator": "DOMAIN_REMOVE_TLD(indicator)"},
    "indicator_filter": "LENGTH(indicator) > 0",
    "type": "top_domains",
    "separator": ",",
}


def test_rows_are_transformed_and_filtered(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", {"config": TOP, "extractor": "CSV"})
    assert loader.load(loader.write("top.csv", "1,google.com\n2,yahoo.com\n3,com\n")) == 0
    assert loader.rows() == {
        ("top_domains", "google"): {"rank": "1", "domain": "google"},
        ("top_domains", "yahoo"): {"rank": "2", "domain": "yahoo"},
    }
    assert capsys.readouterr().err == "stellar-enrichment: enrichment: 2 rows, 1 filtered, 0 ignored, 0 rejected\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Each expression sees the results of those before it
        (
            {"value_transform": {"x": "TO_UPPER(source)", "y": "x"}},
            {"a": {"ip": "a", "source": "s", "x": "S", "y": "S"}},
        ),
        ({"value_transform": {"source": "null"}}, {"a": {"ip": "a"}}),
        ({"indicator_transform": {"v": "indicator", "indicator": "TO_UPPER(v)"}}, {"A": {"ip": "a", "source": "s"}}),
        ({"indicator_transform": {"indicator": "null"}}, None),
        ({"value_filter": "source == 'x'"}, None),
        ({"indicator_filter": "indicator == 'x'"}, None),
        ({"value_filter": " ", "indicator_filter": ""}, {"a": {"ip": "a", "source": "s"}}),
        # A member of the value has precedence over the global configuration, and this over nothing
        (
            {"value_transform": {"g": "setting", "s": "source"}},
            {"a": {"ip": "a", "source": "s", "g": "of all", "s": "s"}},
        ),
        ({"value_transform": {"source": "null", "g": "source"}}, {"a": {"ip": "a", "g": "global"}}),
        ({"value_transform": {"all": "LENGTH(MAP_GET('ip', _))"}}, {"a": {"ip": "a", "source": "s", "all": 1}}),
    ],
)
def test_variables_of_transforms_come_from_the_row_and_the_global_configuration(
    loader: Loader, options: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    loader.write("extractor.json", csv(**options))
    loader.write("config/global.json", {"setting": "of all", "source": "global", "nothing": None})
    status = loader.load("--config", str(loader.directory / "config"), loader.write("a.csv", "a,s"))
    assert status == (1 if expected is None else 0)
    assert {indicator: value for (_, indicator), value in loader.rows().items()} == (expected or {})


def test_json_nulls_hide_no_variable_and_are_stored(loader: Loader) -> None:
    options = {"indicator_column": "ip", "type": "t", "value_transform": {"y": "x"}}
    loader.write("extractor.json", {"extractor": "JSON", "config": options})
    loader.write("config/global.json", {"x": "global"})
    assert loader.load("--config", str(loader.directory / "config"), loader.write("a", '{"ip": "a", "x": null}')) == 0
    assert loader.rows() == {("t", "a"): {"ip": "a", "x": None, "y": "global"}}


REJECTED: list[tuple[dict[str, Any], str, str]] = [
    ({}, ",x", "the indicator is empty"),
    ({"type": "", "type_column": "source"}, "a,", "the type is empty"),
    ({"indicator_transform": {"indicator": "5"}}, "a,b", "expected a string as indicator of indicator_transform, got"),
    ({"value_transform": {"x": "TO_INTEGER(source) / 0"}}, "a,5", "division by zero"),
    ({"value_transform": {"x": "BLOOM_INIT()"}}, "a,5", "cannot store the value of 'a'"),
    ({"value_filter": "source"}, "a,b", "does not return a boolean value"),
    ({"intervals": True}, "10.0.0.0/33,b", "invalid interval '10.0.0.0/33': expected a network"),
]


@pytest.mark.parametrize(("options", "line", "reason"), REJECTED)
def test_a_row_that_cannot_be_stored_is_rejected_and_the_others_are_stored(
    loader: Loader, options: dict[str, Any], line: str, reason: str
) -> None:
    loader.write("extractor.json", csv(**options))
    path = loader.write("a.csv", f"{line}\n")
    assert loader.load("--rejected", str(loader.directory / "rejected.json"), path) == 1
    [rejected] = (loader.directory / "rejected.json").read_text().splitlines()
    found = json.loads(rejected)
    assert (found["file"], found["line"], found["raw"]) == (path, 1, line)
    assert reason in found["reason"]


LOOK_UP = {"value_transform": {"x": "MAP_GET('source', ENRICHMENT_GET('malicious_ip', ip, 'enrichment', 't'))"}}


def test_a_row_whose_look_up_fails_is_rejected(loader: Loader) -> None:
    loader.write("extractor.json", csv())
    assert loader.load(loader.write("a.csv", "good,1\nbad,2")) == 0
    with sqlite3.connect(loader.path) as connection:
        connection.execute("UPDATE entries SET value = 'damaged' WHERE indicator = 'bad'")
    connection.close()
    loader.write("extractor.json", csv(**LOOK_UP, type="checked"))
    rejected = loader.directory / "rejected.json"
    assert loader.load("--rejected", str(rejected), "--family", "cf", loader.write("a.csv", "bad,3\ngood,3")) == 0
    assert "look-up in the enrichment store failed" in rejected.read_text()
    store = SqliteStore(str(loader.path))
    assert store.get("enrichment", "cf", "checked", "good") == {"ip": "good", "source": "3", "x": "1"}
    assert store.get("enrichment", "cf", "checked", "bad") is None
    store.close()


def test_what_expressions_need_is_checked_before_the_first_row(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv(**LOOK_UP))
    assert loader.load(loader.write("a.csv", "a,1")) == 1
    printed = capsys.readouterr().err
    assert "extractor.json:1:" in printed
    assert "config.value_transform.x: ENRICHMENT_GET: cannot read the enrichment store" in printed
    assert not loader.path.exists()


def test_rows_of_a_summary_that_are_stored_need_a_type(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    options = csv(state_init="0", state_update={"state": "state + 1"})
    loader.write("extractor.json", options)
    assert loader.load(loader.write("a.csv", "a,1")) == 0
    del options["config"]["type"]
    loader.write("extractor.json", options)
    assert loader.load(loader.write("a.csv", "b,1")) == 1
    assert "'type'" in capsys.readouterr().err
    assert set(loader.rows()) == {("malicious_ip", "a")}


def test_a_half_of_a_surrogate_pair_is_rejected_as_key_and_stored_as_value(loader: Loader) -> None:
    loader.write("extractor.json", {"extractor": "JSON", "config": {"indicator_column": "a", "type": "t"}})
    assert loader.load(loader.write("a.json", '{"a": "\\ud800"}\n{"a": "b", "c": "\\ud800"}\n{"a": "é"}\n')) == 0
    assert loader.rows() == {("t", "b"): {"a": "b", "c": "\ud800"}, ("t", "é"): {"a": "é"}}


def test_the_first_rejected_lines_are_printed_and_the_rest_counted(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    path = loader.write("a.csv", "a,b\n" + "x\n" * 30)
    assert loader.load(path) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{path}:2: expected at least 2 values, got 1"
    assert len(lines) == 22
    assert lines[20] == "further rejected lines are only counted; use --rejected FILE to store all"
    assert lines[21] == "stellar-enrichment: enrichment: 1 rows, 0 filtered, 0 ignored, 30 rejected"
    assert loader.load("--quiet", path) == 0
    assert len(capsys.readouterr().err.splitlines()) == 21


@pytest.mark.parametrize(
    ("options", "content", "reasons"),
    [
        ({}, "a,1\nb\n\nc,3,4\n", ["2: expected at least 2 values, got 1"]),
        (
            {"columns": None, "header": True, "indicator_column": "ip"},
            "ip,source\na,1\nb\nc,3,4\n",
            ["3: expected 2 values as in the header, got 1", "4: expected 2 values as in the header, got 3"],
        ),
        ({"columns": {"ip": 3}}, "a,b,c,d\na,b,c\n", ["2: expected at least 4 values, got 3"]),
    ],
)
def test_a_row_of_the_wrong_width_is_rejected_with_its_line(
    loader: Loader, options: dict[str, Any], content: str, reasons: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv(**options))
    path = loader.write("a.csv", content)
    assert loader.load(path) == 0
    assert capsys.readouterr().err.splitlines()[:-1] == [f"{path}:{reason}" for reason in reasons]


@pytest.mark.parametrize(("limit", "status"), [("1", 1), ("2", 0), ("40%", 0), ("39.9%", 1), ("100%", 0), ("0", 1)])
def test_too_many_rejected_lines_fail_and_leave_a_replaced_store_unchanged(
    loader: Loader, limit: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    assert loader.load(loader.write("a.csv", "old,x")) == 0
    assert loader.load("--replace", "--max-rejected", limit, loader.write("b.csv", "a,b\nx\nc,d\ny\ne,f")) == status
    indicators = {indicator for _, indicator in loader.rows()}
    assert indicators == ({"old"} if status else {"a", "c", "e"})
    assert ("raise --max-rejected" in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize("limit", ["x", "-1", "101%", "%"])
def test_an_invalid_limit_is_a_usage_error(loader: Loader, limit: str) -> None:
    with pytest.raises(SystemExit) as exited:
        loader.load("--max-rejected", limit, "a")
    assert exited.value.code == 2


def test_loads_add_rows_or_replace_those_of_their_types(loader: Loader) -> None:
    loader.write("extractor.json", {"extractor": "CSV", "config": {"columns": ["ip", "t"], "type_column": "t"}})
    assert loader.load(loader.write("a.csv", "a,t\nb,u\nb,t")) == 0
    assert loader.load(loader.write("a.csv", "c,t")) == 0
    assert set(loader.rows()) == {("t", "a"), ("t", "b"), ("t", "c"), ("u", "b")}
    assert loader.load("--replace", loader.write("a.csv", "d,t")) == 0
    assert set(loader.rows()) == {("t", "d"), ("u", "b")}


def test_the_last_of_equal_keys_is_stored_and_the_others_are_counted(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    for arguments in ([], ["--replace"], ["--batch", "1"]):
        assert loader.load(*arguments, loader.write("a.csv", "z,0\na,1\na,2\nb,1\na,3")) == 0
        assert loader.rows()["malicious_ip", "a"] == {"ip": "a", "source": "3"}
        assert ", 2 duplicates" in capsys.readouterr().err


def test_networks_and_ranges_are_found_by_their_members(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", csv(intervals=True))
    path = loader.write(
        "a.csv", "10.0.0.0/8,big\n10.1.0.0/16,small\n2001:db8::/32,six\n1.1.1.1-1.1.1.9,range\n9.9.9.9,one"
    )
    assert loader.load(path) == 0
    store = ["--store", f"sqlite:{loader.path}", "-t", "enrichment"]
    for address, expected in [
        ("10.2.3.4", "big"),
        ("10.1.2.3", "small"),
        ("2001:db8::1", "six"),
        ("1.1.1.5", "range"),
        ("9.9.9.9", "one"),
    ]:
        capsys.readouterr()
        assert main(["get", "malicious_ip", address, *store]) == 0
        assert json.loads(capsys.readouterr().out)["source"] == expected
    assert main(["get", "malicious_ip", "1.1.1.10", *store]) == 1
    assert capsys.readouterr().err == "stellar-enrichment: no malicious_ip '1.1.1.10' in enrichment\n"


def test_rows_expire_after_their_time_to_live(loader: Loader) -> None:
    loader.write("extractor.json", csv())
    assert loader.load("--ttl", "60", loader.write("a.csv", "a,b")) == 0
    now = time.time()
    for seconds, expected in ((50, {"ip": "a", "source": "b"}), (70, None)):
        store = SqliteStore(str(loader.path), clock=lambda seconds=seconds: now + seconds)
        assert store.get("enrichment", "t", "malicious_ip", "a") == expected
        store.close()


def test_the_rows_of_a_table_are_printed_as_json_lines(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", csv())
    assert loader.load("--family", "cf", loader.write("a.csv", "a,b")) == 0
    assert main(["dump", "-t", "enrichment", "--store", f"sqlite:{loader.path}"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "family": "cf",
        "type": "malicious_ip",
        "indicator": "a",
        "value": {"ip": "a", "source": "b"},
    }
    assert main(["dump", "-t", "enrichment", "--type", "x", "--store", f"sqlite:{loader.path}"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no such rows in the table 'enrichment'; check the names" in printed.err


@pytest.mark.parametrize("option", ["--table", "--family"])
def test_an_empty_name_of_a_table_or_family_is_an_invalid_option(
    loader: Loader, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["load", "-e", "extractor.json", "-t", "x", option, " "])
    assert "expected a name, got an empty one" in capsys.readouterr().err


# -- Inputs


def test_inputs_are_files_directories_patterns_and_compressed_files(loader: Loader) -> None:
    loader.write("extractor.json", csv())
    loader.write("feeds/a.csv", "a,1")
    loader.write("feeds/deep/b.csv.gz", gzip.compress(b"b,1"))
    loader.write("other/c.csv", "c,1")
    loader.write("other/d.txt", "d,1")
    assert loader.load(str(loader.directory / "feeds"), str(loader.directory / "other" / "*.csv")) == 0
    assert {indicator for _, indicator in loader.rows()} == {"a", "b", "c"}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_input_is_recognized_by_its_content(
    loader: Loader, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    loader.write("extractor.json", csv())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(compress(b"b,1"))))
    assert loader.load(loader.write("a.csv", compress(b"a,1")), "-") == 0
    assert {indicator for _, indicator in loader.rows()} == {"a", "b"}


def test_a_name_of_a_compressed_file_with_other_content_is_an_error(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    path = loader.write("a.csv.gz", "a,1")
    assert loader.load(path) == 1
    assert f"{path}: expected compressed data by the name, got other data" in capsys.readouterr().err


def test_standard_input_is_the_default(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    loader.write("extractor.json", csv())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,1\nb,2")))
    assert loader.load() == 0
    assert len(loader.rows()) == 2


def test_a_named_pipe_is_read_once(loader: Loader, tmp_path: Path) -> None:
    loader.write("extractor.json", csv())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'printf "a,1\nb,2\n" > "$0"', str(pipe)]) as writer:
        assert loader.load(str(pipe)) == 0
        assert writer.wait(60) == 0
    assert len(loader.rows()) == 2


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            broken = self.path == "/broken.csv"
            self.send_response(404 if self.path == "/missing.csv" else 200)
            body = gzip.compress(b"g,1") if self.path.startswith("/a.csv.gz") else b"a,1\nb,2\n"
            self.send_header("Content-Length", str(len(body) + (5 if broken else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_url_is_loaded_only_if_it_is_complete(
    loader: Loader, web_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    assert loader.load(f"{web_server}/a.csv", f"{web_server}/a.csv.gz?key=1") == 0
    assert {indicator for _, indicator in loader.rows()} == {"a", "b", "g"}
    for name, problem in (("missing.csv", "404"), ("broken.csv", "peer closed connection")):
        capsys.readouterr()
        assert loader.load("--replace", f"{web_server}/{name}") == 1
        assert problem in capsys.readouterr().err
    assert len(loader.rows()) == 3


def test_a_url_of_another_scheme_is_read_by_fsspec(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", csv())
    path = loader.write("a.csv", "a,1")
    assert loader.load(f"file://{path}") == 0
    assert loader.load("nonsense://x/y") == 1
    assert "nonsense://x/y can't be read" in capsys.readouterr().err


REPORT = """
import sys
from pathlib import Path
from stellar.pipeline.loaders.cli import main
from stellar.pipeline.progress import Display
status = main()
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])
sys.exit(status)
"""


@pytest.mark.parametrize("mode", [[], ["--replace"]])
def test_a_feed_of_a_gigabyte_is_loaded_in_the_memory_of_a_small_one(loader: Loader, mode: list[str]) -> None:
    loader.write("extractor.json", csv(columns={"ip": 0, "source": 1}))
    lines = "".join(f"10.0.0.{number},x,{'y' * 100_000}\n" for number in range(250))
    member = gzip.compress(lines.encode(), 1)
    peaks = {}
    for members in (1, 42):  # 25 MB and 1.05 GB
        path = loader.write("feed.csv.gz", member * members)
        given = ["load", "-e", str(loader.directory / "extractor.json"), "-t", "t", "--store", f"sqlite:{loader.path}"]
        command = [sys.executable, "-c", REPORT, *given, *mode, "--quiet", path]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peaks[members] = int(done.stdout)
        assert len(loader.rows("t")) == 250
    assert peaks[42] < peaks[1] + 50_000  # kB


@pytest.mark.parametrize("mode", [[], ["--replace"]])
def test_a_damaged_file_ends_the_load_with_an_error(
    loader: Loader, mode: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    assert loader.load(loader.write("old.csv", "old,1")) == 0
    content = gzip.compress(b"".join(b"%d,1\n" % number for number in range(100_000)))
    damaged = loader.write("a.csv.gz", content[:-2000])
    assert loader.load(*mode, "--batch", "10000", damaged) == 1
    assert f"{damaged}: cannot read the file to its end" in capsys.readouterr().err
    assert (len(loader.rows()) > 1) == (not mode)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no.csv", "no.csv: No such file or directory"),
        ("empty", "empty: the directory contains no files"),
        ("*.nothing", "*.nothing: no file matches the pattern"),
        ("nothing.csv", "no rows to store; check the extractor and the files"),
    ],
)
def test_an_input_without_rows_is_an_error(
    loader: Loader, name: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    (loader.directory / "empty").mkdir()
    loader.write("nothing.csv", "# nothing\n")
    assert loader.load(str(loader.directory / name)) == 1
    assert problem in capsys.readouterr().err


def test_an_input_is_not_overwritten_by_its_rejected_lines(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", csv())
    path = loader.write("a.csv", "a,b")
    assert loader.load("--rejected", path, path) == 1
    assert "is both input and output" in capsys.readouterr().err
    assert Path(path).read_text() == "a,b"


# -- Configuration and stores


def test_all_errors_of_an_extractor_are_printed_with_line_and_column(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write(
        "extractor.json",
        '{"config": {"columns": ["ip"], "type": "t",\n  "value_filter": "LENGHT(ip) > 0",\n'
        '  "value_transform": {"x": "TO_UPPER(ip"}}, "extractor": "CSVX"}',
    )
    assert loader.load("a.csv") == 1
    printed = capsys.readouterr().err
    path = loader.directory / "extractor.json"
    assert f"stellar-enrichment: {path}:3:58: extractor: unknown extractor 'CSVX'; did you mean CSV?" in printed
    assert f"stellar-enrichment: {path}:2:20: config.value_filter: unknown function LENGHT" in printed
    assert f"stellar-enrichment: {path}:3:37: config.value_transform.x: this ( is not closed" in printed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no enrichment store configured; pass --store sqlite:PATH, or --config DIR with enrichment.store"),
        ({"enrichment.store": "oracle:x"}, "unknown store 'oracle' in enrichment.store"),
        ({"enrichment.store": "sqlite:"}, "expected a file after sqlite: in enrichment.store"),
        ({"enrichment.store": "sqlite::memory:"}, "expected a file after sqlite: in enrichment.store"),
        ({"enrichment.store": "x.db"}, "invalid store 'x.db' in enrichment.store: expected a kind and a colon"),
        ({"enrichment.store": "sqlite:/no/such/directory/x.db"}, "cannot use the enrichment store /no/such/directory"),
        ({"stellar.function.library": "nowhere:x"}, "stellar.function.library"),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error(
    loader: Loader, settings: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    loader.write("config/global.json", settings)
    arguments = ["--config", str(loader.directory / "config"), loader.write("a.csv", "a,b")]
    assert main(["load", "-e", str(loader.directory / "extractor.json"), "-t", "x", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("mode", [[], ["--replace"]])
def test_a_store_that_is_locked_is_an_error_and_stays_as_it_was(
    loader: Loader, mode: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    assert loader.load(loader.write("a.csv", "old,x")) == 0
    before = loader.rows()
    with sqlite3.connect(loader.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert loader.load(*mode, loader.write("a.csv", "new,x")) == 1
        other.execute("ROLLBACK")
    other.close()
    problem = "database is locked; another process is writing to it: try again when it has finished"
    assert f"cannot use the enrichment store {loader.path}: {problem}" in capsys.readouterr().err
    assert loader.rows() == before
    assert loader.load(*mode, loader.write("a.csv", "new,x")) == 0
    assert ("malicious_ip", "new") in loader.rows()


def test_a_store_of_another_format_is_an_error(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", csv())
    loader.path.write_text("not a database, but long enough to be taken for one" * 100)
    assert loader.load(loader.write("a.csv", "a,b")) == 1
    assert "file is not a database" in capsys.readouterr().err
    loader.path.unlink()
    with sqlite3.connect(loader.path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    assert loader.load(loader.write("a.csv", "a,b")) == 1
    assert "the file has the format 7" in capsys.readouterr().err


def test_a_zookeeper_that_is_away_is_an_error_at_its_key(loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    loader.write("extractor.json", csv(zk_quorum="no-such-host.invalid:2181"))
    path = loader.write("a.csv", "a,b")
    assert loader.load(path) == 1
    printed = capsys.readouterr().err
    assert "config.zk_quorum: cannot read the global configuration: unknown host no-such-host.invalid" in printed
    assert "pass --config DIR to use global.json of a directory" in printed
    assert loader.load("--config", str(loader.directory), path) == 0


def test_a_running_pipeline_sees_a_reload(loader: Loader, tmp_path: Path) -> None:
    loader.write("extractor.json", csv())
    loader.write("config/parsers/squid.json", {"parserClassName": "JSONMap"})
    loader.write(
        "config/enrichments/squid.json",
        {"threatIntel": {"fieldMap": {"hbaseThreatIntel": ["ip"]}, "fieldToTypeMap": {"ip": ["malicious_ip"]}}},
    )
    loader.write("config/global.json", {"enrichment.store": f"sqlite:{loader.path}"})
    assert loader.load(loader.write("a.csv", "10.0.0.1,x"), table="threatintel") == 0
    pipeline = build_pipeline(load_config(tmp_path / "config", "squid"))

    def is_alert(address: str) -> bool:
        [(record, _)] = pipeline.processed(Raw(json.dumps({"ip": address, "timestamp": 1}).encode()))
        assert isinstance(record, dict)
        return "threatintels.hbaseThreatIntel.ip.malicious_ip" in record

    assert (is_alert("10.0.0.1"), is_alert("10.0.0.2")) == (True, False)
    assert loader.load("--replace", loader.write("a.csv", "10.0.0.2,x"), table="threatintel") == 0
    deadline = time.monotonic() + 60
    while (is_alert("10.0.0.1"), is_alert("10.0.0.2")) != (False, True):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_an_interrupted_load_says_what_is_stored(loader: Loader, mode: str) -> None:
    loader.write("extractor.json", csv())
    arguments = ["-e", str(loader.directory / "extractor.json"), "-t", "t", "--store", f"sqlite:{loader.path}"]
    program = "import sys; from stellar.pipeline.loaders.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "load", *arguments, "-b", "1", *(["--replace"] * (mode == "replace"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("a,1\nb,2\n" if mode == "merge" else "a,1\n" * (BATCH + 1))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not loader.path.exists() or (mode == "merge" and not loader.rows("t")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate()
    assert process.returncode == 130
    assert ("the store is unchanged" if mode == "replace" else "all but the last rows are stored") in printed
    assert bool(loader.rows("t")) == (mode == "merge")


def test_a_terminal_shows_progress_and_a_pipe_does_not(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    paths = [loader.write(f"{each}.csv", f"{each},1\n" * 2000) for each in "ab"]
    assert loader.load(*paths) == 0
    assert "\r" not in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert loader.load(*paths) == 0
    assert "%  " in screen.getvalue()


@pytest.mark.parametrize("pipe", ["-", "/dev/fd/{}"])
def test_progress_counts_the_bytes_of_finished_files_and_none_of_pipes(
    loader: Loader, pipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    reading, writing = os.pipe()
    os.write(writing, b"p,1\n" * 1000)
    os.close(writing)
    stream = os.fdopen(reading)
    monkeypatch.setattr(sys, "stdin", stream)
    loader.write("extractor.json", csv())
    first, last = loader.write("a.csv", "a,1\n" * 2000), loader.write("b.csv", "b,1\n" * 2000)
    shown: list[int] = []

    @contextmanager
    def record(*_: object) -> Iterator[Display]:
        yield Display(shown.append, lambda text: None)

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("stellar.pipeline.loaders.cli.common.display", record)
    monkeypatch.setattr("stellar.pipeline.loaders.cli.common.SECONDS_BETWEEN", 0)
    with stream:
        assert loader.load(first, pipe.format(reading), last) == 0
    assert shown == sorted(shown)
    size = os.path.getsize(first)
    assert shown[0] == size  # read in one piece
    assert shown[-1] == 2 * size
    assert set(shown) == {size, 2 * size}


def test_a_directory_of_the_configuration_must_exist_and_may_be_empty(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.write("extractor.json", csv())
    path = loader.write("a.csv", "a,1\n")
    assert loader.load("--config", str(loader.directory / "confg"), path) == 1
    assert "confg: not a directory; create it, or check the path" in capsys.readouterr().err
    assert not loader.path.exists()
    (loader.directory / "empty").mkdir()
    assert loader.load("--config", str(loader.directory / "empty"), path) == 0


def test_a_store_that_can_only_be_read_is_refused(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly:
        def get(self, table: str, family: str, kind: str, indicator: str) -> None:
            return None

    monkeypatch.setattr("stellar.pipeline.loaders.cli.common.open_store", lambda settings: ReadOnly())
    loader.write("extractor.json", csv())
    assert loader.load(loader.write("a.csv", "a,b")) == 1


def test_an_extractor_may_be_a_python_function(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    loader.write(
        "my_extractors.py",
        "from stellar.pipeline.loaders.rows import IGNORED, ExtractedRow, extract_lines\n"
        "def words(options, location, form):\n"
        "    kind = options.model_extra['kind']\n"
        "    def extract(line):\n"
        "        return ExtractedRow(kind, line.text, {}, line.number, line.text) if line.text else IGNORED\n"
        "    return lambda source: extract_lines(source.lines(), extract)\n",
    )
    monkeypatch.syspath_prepend(str(loader.directory))
    config = {"extractor": "my_extractors.words", "config": {"kind": "word", "type": "word"}}
    loader.write("extractor.json", config)
    assert loader.load(loader.write("a.txt", "one\n\ntwo\n")) == 0
    assert loader.rows() == {("word", "one"): {}, ("word", "two"): {}}


def test_rows_of_the_store_are_not_shared_with_the_input(loader: Loader) -> None:
    loader.write("extractor.json", csv())
    assert loader.load(loader.write("a.csv", "a,b")) == 0
    store = SqliteStore(str(loader.path))
    assert list(store.scan("enrichment")) == [Row("t", "malicious_ip", "a", {"ip": "a", "source": "b"}, False)]
    store.close()
