"""Loads into each store while a pipeline runs, and into a server that ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from stellar.pipeline.loaders.cli import main

from .conftest import start_redis

RUN = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
EXTRACTOR = {"extractor": "CSV", "config": {"columns": ["host"], "type": "bad_host"}}
HOSTS = ("first.example", "second.example", "third.example")
CONFIG = {
    "parsers/proxy.json": {"parserClassName": "JSONMap"},
    "enrichments/proxy.json": {
        "threatIntel": {"fieldMap": {"hbaseThreatIntel": ["host"]}, "fieldToTypeMap": {"host": ["bad_host"]}}
    },
    "extractor.json": EXTRACTOR,
}


def write(directory: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


def load(directory: Path, *hosts: str) -> int:
    (directory / "feed.csv").write_text("".join(f"{host}\n" for host in hosts))
    given = ["-e", str(directory / "extractor.json"), "-t", "threatintel", "--config", str(directory), "--replace"]
    return main(["load", *given, str(directory / "feed.csv")])


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_pipeline_that_runs_sees_each_reload(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = f"sqlite:{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue("redis_server").url
    write(tmp_path, CONFIG | {"global.json": {"enrichment.store": store}})
    assert load(tmp_path, "first.example") == 0
    command = [sys.executable, "-c", RUN, "run", "--config", str(tmp_path), "--sensor", "proxy", "--quiet", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pipeline:
        assert pipeline.stdin is not None
        assert pipeline.stdout is not None
        ended = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            feeder = pool.submit(feed, pipeline.stdin, ended)
            try:
                await_alerts(pipeline.stdout, {"first.example"})
                for expected in ({"second.example"}, {"first.example", "third.example"}):
                    assert load(tmp_path, *expected) == 0
                    await_alerts(pipeline.stdout, expected)
            finally:
                ended.set()
                pipeline.stdout.close()
                feeder.result()
                with suppress(BrokenPipeError):  # of lines that the feeder could not write
                    pipeline.stdin.close()
                pipeline.terminate()


def feed(target: IO[str], ended: threading.Event) -> None:
    """Write records of all hosts, until the test or the pipeline ends."""
    lines = [json.dumps({"timestamp": 1, "host": host}) for host in HOSTS]
    with suppress(BrokenPipeError):
        while not ended.wait(0.001):
            target.write("\n".join(lines) + "\n")
            target.flush()


def await_alerts(output: IO[str], expected: set[str]) -> None:
    """Read records until those of the expected hosts, and no others, are alerts."""
    latest: dict[str, bool] = {}
    deadline = time.monotonic() + 120
    while {host for host, is_alert in latest.items() if is_alert} != expected or len(latest) < len(HOSTS):
        assert time.monotonic() < deadline
        record = json.loads(output.readline())
        latest[record["host"]] = record.get("is_alert") == "true"


EXTRACTOR_THAT_ENDS = """
from stellar.pipeline.loaders.rows import ExtractedRow
stop = None

def rows(options, location, form):
    def extract(source):
        for number in range(10_000):
            if number == 5_000:
                stop()
            yield ExtractedRow("bad_host", str(number), {}, number, "")
    return extract
"""


@pytest.mark.engine
@pytest.mark.parametrize("mode", [[], ["--replace"]])
def test_a_server_that_ends_during_a_load_is_an_error(
    mode: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_redis(tmp_path)
    (tmp_path / "extractor_that_ends.py").write_text(EXTRACTOR_THAT_ENDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import extractor_that_ends  # type: ignore[import-not-found]  # written by this test

    extractor_that_ends.stop = server.stop
    write(tmp_path, {"extractor.json": {"extractor": "extractor_that_ends.rows", "config": {"type": "bad_host"}}})
    (tmp_path / "feed.csv").touch()
    given = ["-e", str(tmp_path / "extractor.json"), "-t", "threatintel", "--store", server.url, "-b", "1000"]
    assert main(["load", *given, *mode, str(tmp_path / "feed.csv")]) == 1
    printed = capsys.readouterr().err
    assert f"stellar-enrichment: cannot use the enrichment store {server.url}: " in printed
    assert "refused" in printed
    assert main(["load", *given, *mode, str(tmp_path / "feed.csv")]) == 1  # nor is there a server before the load
