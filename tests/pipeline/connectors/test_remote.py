"""Directories in other file systems: files that are complete, and never appended to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stellar.pipeline.cli import main
from stellar.pipeline.connectors.remote import FsspecDirectory, RemoteOutput
from stellar.pipeline.connectors.sinks import SECONDS_BETWEEN_REMOTE_SAVES, Sinks, is_directory, is_remote
from stellar.pipeline.records import Record
from stellar.pipeline.remote_targets import open_remote

if TYPE_CHECKING:
    from engines.hadoop.hdfs import Hdfs

Written = Callable[[], dict[str, list[Any]]]


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """The file system `memory:` of fsspec, which is one for the process."""
    files = MemoryFileSystem()
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def written(memory: MemoryFileSystem) -> Written:
    """A function that returns the documents by the names of the files."""
    return lambda: {path: [json.loads(line) for line in memory.cat(path).splitlines()] for path in sorted(memory.store)}


class Files:
    """Files of which the first attempts to store one fail."""

    def __init__(self, *failures: OSError) -> None:
        self.failures = list(failures)
        self.stored: list[tuple[str, bytes]] = []

    def store(self, name: str, content: bytes) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.stored.append((name, content))

    def close(self) -> None:
        """Do nothing."""


def document(n: int, sensor: str = "squid", **fields: Any) -> Record:
    return {"source.type": sensor, "n": n, **fields}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("s3://bucket/out", True),
        ("memory://out", True),
        ("hdfs:///out", True),
        ("out.jsonl", False),
        ("opensearch:http://node1:9200/", False),
        ("dir://", True),
        ("a/b://c", False),
    ],
)
def test_a_url_is_a_directory_of_another_file_system(target: str, expected: bool) -> None:
    assert is_remote(target) is expected
    assert not is_remote(target) or is_directory(target)


def test_each_flush_makes_a_file_for_each_sub_directory(written: Written) -> None:
    output = RemoteOutput(FsspecDirectory("memory://out"), get_time=lambda: datetime(2026, 11, 30, 16, 15, tzinfo=UTC))
    output(document(1))
    output(document(2, "asa"))
    output(document(3))
    assert written() == {}
    output.flush()
    first = written()
    output(document(4))
    output.close()
    folders = [path.rpartition("-")[0] for path in sorted(first)]
    assert folders == ["/out/asa/2026-11-30/161500", "/out/squid/2026-11-30/161500"]
    assert sorted(each["n"] for documents in first.values() for each in documents) == [1, 2, 3]
    assert sorted(each["n"] for documents in written().values() for each in documents) == [1, 2, 3, 4]
    assert {path: written()[path] for path in first} == first


def test_a_file_has_its_name_when_it_is_complete(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    move = MemoryFileSystem.mv

    def note(self: MemoryFileSystem, *paths: str, **options: Any) -> None:
        seen.append(sorted(memory.store))
        move(self, *paths, **options)

    monkeypatch.setattr(MemoryFileSystem, "mv", note)
    FsspecDirectory("memory://out").store("squid/a.jsonl", b"{}\n")
    assert seen == [["/out/squid/.a.jsonl.part"]]
    assert sorted(memory.store) == ["/out/squid/a.jsonl"]


def test_many_documents_are_stored_before_the_end() -> None:
    files = Files()
    output = RemoteOutput(files)
    for n in range(17):
        output(document(n, text="x" * 1_000_000))
    assert len(files.stored) == 1
    assert files.stored[0][1].count(b"\n") == 17


def test_a_file_that_cannot_be_stored_is_stored_later(caplog: pytest.LogCaptureFixture) -> None:
    files, sleeps = Files(OSError("away"), OSError("away")), list[float]()
    output = RemoteOutput(files, sleep=sleeps.append)
    output(document(1))
    output.flush()
    assert [json.loads(content)["n"] for _, content in files.stored] == [1]
    assert sleeps == [0.5, 1.0]
    assert "away; the file is written again" in caplog.text


def test_documents_remain_if_they_cannot_be_stored_at_all() -> None:
    files = Files(*[OSError("away")] * 6)
    output = RemoteOutput(files, sleep=lambda seconds: None)
    output(document(1))
    with pytest.raises(OSError, match="away"):
        output.flush()
    output.flush()
    assert len(files.stored) == 1


def test_missing_permissions_are_an_error_at_once() -> None:
    output = RemoteOutput(Files(PermissionError("not yours")), sleep=lambda seconds: pytest.fail("it waited"))
    output(document(1))
    with pytest.raises(PermissionError, match="not yours"):
        output.flush()


def test_an_exception_of_a_file_system_is_an_os_error(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **options: Any) -> None:
        raise RuntimeError("token has expired")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)
    with pytest.raises(OSError, match=r"cannot write /out/a\.jsonl: RuntimeError: token has expired"):
        FsspecDirectory("memory://out").store("a.jsonl", b"")


def test_documents_are_discarded_when_the_run_rolls_back() -> None:
    files = Files()
    output = RemoteOutput(files)
    output(document(1))
    output.roll_back({})
    output.close()
    assert files.stored == []


@pytest.mark.parametrize("target", ["nonsense://out", "hdfs://node1:8020:9/out"])
def test_an_unknown_file_system_is_an_error(target: str) -> None:
    with pytest.raises(ValueError, match=r"cannot write to nonsense|invalid"):
        open_remote(target, {})


def test_a_command_without_a_configuration_writes_local_files_only() -> None:
    with Sinks() as sinks, pytest.raises(ValueError, match="this command writes to files and SQLite only"):
        sinks.open("memory://out", "records")


def test_positions_are_stored_less_often() -> None:
    with Sinks(open_remote=FsspecDirectory) as sinks:
        sinks.open("memory://out", "records")
        assert sinks.seconds_between_saves == SECONDS_BETWEEN_REMOTE_SAVES


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    """A function that runs a pipeline on three lines."""
    (tmp_path / "config" / "parsers").mkdir(parents=True)
    (tmp_path / "config" / "parsers" / "s.json").write_text('{"parserClassName": "JSONMap"}')
    (tmp_path / "log").write_text("".join(f'{{"timestamp": 1, "n": {n}}}\n' for n in range(3)) + "garbage\n")

    def run(target: str, *options: str) -> int:
        where = ["--config", str(tmp_path / "config"), "--sensor", "s", "--output", target, "--errors", target]
        return main(["run", *where, *options, str(tmp_path / "log")])

    return run


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_run_writes_documents_and_errors(run: Callable[..., int], written: Written, options: tuple[str, ...]) -> None:
    assert run("memory://out", *options) == 0
    found = {path.split("/")[2]: documents for path, documents in written().items()}
    assert [each["n"] for each in found["s"]] == [0, 1, 2]
    assert [each["raw_message"] for each in found["error"]] == ["garbage"]


def test_a_run_continues_after_its_positions(
    run: Callable[..., int], written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("memory://out", "--resume") == 2
    assert "do not store positions; pass --position FILE" in capsys.readouterr().err
    for _ in range(2):
        assert run("memory://out", "--resume", "--position", str(tmp_path / "positions")) == 0
    assert sum(len(documents) for documents in written().values()) == 4


@pytest.mark.engine
@pytest.mark.parametrize("scheme", ["webhdfs", "hdfs"])
def test_a_run_writes_to_hdfs(
    run: Callable[..., int], hdfs: Hdfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hdfs.conf))
    base = f"/out-{scheme}-{tmp_path.name}"
    target = hdfs.uri if scheme == "hdfs" else hdfs.url.replace("http:", "webhdfs:")
    assert run(f"{target}{base}") == 0
    from stellar.net.hadoop.webhdfs import WebHdfs

    with WebHdfs([hdfs.url]) as client:
        found = {}
        for sensor in client.list(base):
            (day,) = client.list(f"{base}/{sensor.name}")
            (file,) = client.list(f"{base}/{sensor.name}/{day.name}")
            content = client.read(f"{base}/{sensor.name}/{day.name}/{file.name}")
            found[sensor.name] = [json.loads(line) for line in content.splitlines()]
    assert [each["n"] for each in found["s"]] == [0, 1, 2]
    assert [each["raw_message"] for each in found["error"]] == ["garbage"]
