"""Search servers that are away, busy, full or reject documents: documents wait or become errors, and none is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka_topics import LIMIT, PROGRAM, wait_for
from search_servers import Search, line

pytestmark = pytest.mark.engine

if TYPE_CHECKING:
    from engines.opensearch.server import OpenSearch


@pytest.fixture(scope="module")
def small(engines: None) -> Iterator[OpenSearch]:
    """A server that accepts requests of one megabyte; tests stop it and start it again."""
    from engines.opensearch.server import OpenSearch

    with OpenSearch({"http.max_content_length": "1mb"}) as server:
        yield server


@pytest.fixture
def search(small: OpenSearch) -> Search:
    if not small.daemon.is_running:
        small.start()
    return Search("opensearch", small)


class Run:
    """A process of stellar-pipeline run."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._log = folder / "printed"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, "run", *arguments], stderr=log, stdout=log)

    @property
    def printed(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait(self) -> str:
        assert self.process.wait(LIMIT) == 0, self.printed
        return self.printed

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)


@pytest.fixture
def start_run(search: Search, config: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """A function that starts a run that reads `log` and writes to the server."""
    started: list[Run] = []

    def start(*options: str, **writer: object) -> Run:
        where = ["--config", str(config(search, **writer)), "--sensor", "squid", "--output", search.target]
        started.append(Run(tmp_path, *where, *options, str(tmp_path / "log")))
        return started[-1]

    yield start
    for run in started:
        run.kill()


def write_lines(folder: Path, numbers: range) -> None:
    with (folder / "log").open("a", encoding="utf-8") as log:
        log.writelines(f"{line(n=number)}\n" for number in numbers)


def numbers_in(search: Search) -> list[int]:
    return sorted(document["n"] for document in search.documents("squid"))


def test_a_document_that_is_too_large_is_an_error_document(
    search: Search, config: Callable[..., Path], run: Callable[..., int], tmp_path: Path
) -> None:
    lines = [line(n=1), line(n=2, text="x" * 2_000_000), line(n=3)]
    errors = tmp_path / "errors.jsonl"
    assert run(config(search), lines, "--output", search.target, "--errors", str(errors)) == 0
    assert numbers_in(search) == [1, 3]
    (error,) = map(json.loads, errors.read_text(encoding="utf-8").splitlines())
    assert "is larger than the server allows; increase its http.max_content_length" in error["message"]


def test_an_error_document_that_is_too_large_is_shortened(
    search: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line(n=1), line(n=2, text="x" * 2_000_000)]
    assert run(config(search), lines, "--output", search.target, "--errors", search.target) == 0
    (error,) = search.documents("error")
    assert error["raw_message"].endswith("...")
    assert error["failed_sensor_type"] == "squid"
    assert "an error document is stored without some of its fields" in capsys.readouterr().err


def test_error_documents_that_no_index_accepts_end_the_run(
    search: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    search.map("error", message="integer")
    assert run(config(search), ["garbage"], "--output", search.target, "--errors", search.target) == 1
    assert "accepts no error documents: failed to parse field [message]" in capsys.readouterr().err


def test_a_run_waits_for_a_server_that_is_killed(search: Search, start_run: Callable[..., Run], tmp_path: Path) -> None:
    write_lines(tmp_path, range(3000))
    run = start_run("--follow", batchSize=50)
    wait_for(lambda: search.count("squid") == 3000, "the first documents")
    search.server.daemon.kill()
    write_lines(tmp_path, range(3000, 5000))
    wait_for(lambda: "documents wait until it is available" in run.printed, "the warning")
    search.server.start()
    wait_for(lambda: search.count("squid") == 5000, "all documents")
    run.process.send_signal(signal.SIGTERM)
    printed = run.wait()
    assert numbers_in(search) == list(range(5000))
    assert "is available again" in printed
    assert "5,000 parsed = 5,000 out" in printed


def test_documents_wait_while_the_index_accepts_none(
    search: Search, start_run: Callable[..., Run], tmp_path: Path
) -> None:
    write_lines(tmp_path, range(10))
    start_run().wait()
    block = f"{search.name('squid')}_index_*/_settings"
    search.request("PUT", block, {"index.blocks.read_only_allow_delete": True})
    run = start_run()
    wait_for(lambda: "free space on the disks of its nodes" in run.printed, "the warning")
    search.request("PUT", block, {"index.blocks.read_only_allow_delete": None})
    run.wait()
    assert len(numbers_in(search)) == 20


def test_a_run_that_is_killed_while_the_server_is_away_loses_nothing(
    search: Search, start_run: Callable[..., Run], tmp_path: Path
) -> None:
    positions = ["--resume", "--position", str(tmp_path / "positions")]
    write_lines(tmp_path, range(1000))
    start_run(*positions).wait()
    search.server.daemon.kill()
    write_lines(tmp_path, range(1000, 2000))
    search.server.start()
    search.request("PUT", "_all/_settings", {"index.blocks.read_only_allow_delete": True})
    run = start_run(*positions)
    wait_for(lambda: "documents wait until it is available" in run.printed, "the warning")
    run.kill()
    search.request("PUT", "_all/_settings", {"index.blocks.read_only_allow_delete": None})
    assert "2,000 parsed = 2,000 out" in start_run(*positions).wait()
    assert numbers_in(search) == list(range(2000))


def test_a_run_that_waits_can_be_interrupted(search: Search, start_run: Callable[..., Run], tmp_path: Path) -> None:
    write_lines(tmp_path, range(10))
    start_run().wait()
    search.request("PUT", "_all/_settings", {"index.blocks.read_only_allow_delete": True})
    try:
        run = start_run("--resume", "--position", str(tmp_path / "positions"))
        wait_for(lambda: "documents wait until it is available" in run.printed, "the warning")
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(LIMIT) == 130
    finally:
        search.request("PUT", "_all/_settings", {"index.blocks.read_only_allow_delete": None})
    assert "0 lines read" in run.printed
    assert len(numbers_in(search)) == 10


def test_positions_need_a_file(
    search: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config(search), [line()], "--output", search.target, "--resume") == 2
    assert (
        "search servers and other file systems do not store positions; pass --position FILE" in capsys.readouterr().err
    )
