"""Output directories: sub-directories by outputPathFunction, a file for each day, and continued runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.cli import main
from stellar.pipeline.connectors.directories import OutputDirectory, get_date
from stellar.pipeline.connectors.positions import PositionFile, RunState
from stellar.pipeline.connectors.sinks import Sinks

from .killing import kill_repeatedly

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(write_config: Callable[..., Path]) -> Run:
    """A function that runs records with an indexing configuration, into the directory `out`."""

    def run(indexing: Any, *records: Any, errors: str = "out", options: tuple[str, ...] = ()) -> int:
        config = write_config()
        if indexing is not None:
            (config / "indexing").mkdir(exist_ok=True)
            (config / "indexing" / "squid.json").write_text(json.dumps(indexing), encoding="utf-8")
        lines = (each if isinstance(each, str) else json.dumps(each) for each in records)
        Path("in.log").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        where = ["--config", str(config), "--sensor", "squid", "--output", "out/", "--errors", errors]
        return main(["run", *where, *options, "in.log"])

    return run


def by_function(text: str) -> Any:
    return {"hdfs": {"index": "squid", "batchSize": 5, "outputPathFunction": text}}


def read_tree(base: str = "out") -> dict[str, list[Any]]:
    """Return the values of `n`, or the messages of errors, by sub-directory; each has a file for today."""
    found = {}
    for file in sorted(Path(base).rglob("*.jsonl")):
        assert file.name == f"{get_date()}.jsonl"
        documents = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        found[str(file.parent.relative_to(base))] = [each.get("n", each.get("message")) for each in documents]
    return found


@pytest.mark.parametrize("indexing", [None, {}, {"hdfs": {}}, by_function("  "), {"solr": {"enabled": False}}])
def test_the_default_directory_is_the_sensor(indexing: Any, run: Run) -> None:
    assert run(indexing, {"n": 1}, "rubbish", {"n": 2}) == 0
    tree = read_tree()
    assert tree.pop("error")[0].startswith("Unable to parse rubbish")
    assert tree == {"squid": [1, 2]}


def test_the_function_chooses_the_directory_of_each_record(run: Run) -> None:
    function = "FORMAT('by/%s/%s', source.type, user)"
    assert run(by_function(function), {"n": 1, "user": "a"}, {"n": 2, "user": "b"}, {"n": 3, "user": "a"}) == 0
    assert read_tree() == {"by/squid/a": [1, 3], "by/squid/b": [2]}


@pytest.mark.parametrize(
    ("value", "directory"),
    [(None, "."), ("", "."), ("/", "."), ("/abs/", "abs"), ("a//b/./c", "a/b/c"), ("...", "..."), ("é", "é")],
)
def test_a_directory_is_within_the_output(value: str | None, directory: str, run: Run) -> None:
    assert run(by_function("to"), {"n": 1, "to": value}) == 0
    assert read_tree() == {directory: [1]}


@pytest.mark.parametrize(
    ("function", "value", "reason"),
    [
        ("to", "..", "invalid output directory '..': expected names without '..' and null characters"),
        ("to", "a/../../b", "expected names without '..' and null characters"),
        ("to", "a\0b", "expected names without '..' and null characters"),
        ("to", "x" * 256, "expected at most 255 bytes in a name, and 1,000 characters"),
        ("to", "x/" * 2000, "expected at most 255 bytes in a name, and 1,000 characters"),
        ("n", "", "outputPathFunction 'n' returned 1, not a string"),
        ("FORMAT('%d', to)", "x", "outputPathFunction failed"),
        ("to", f"{get_date()}.jsonl/x", "cannot create the directory of"),
    ],
)
def test_a_record_without_a_valid_directory_is_an_error_document(
    function: str, value: str, reason: str, run: Run, folder: Path
) -> None:
    records = [{"n": 0, "to": ""}] if "jsonl" in value else []
    assert run(by_function(function), *records, {"n": 1, "to": value}, errors="errors.jsonl") == 0
    (error,) = map(json.loads, Path("errors.jsonl").read_text(encoding="utf-8").splitlines())
    assert (error["stage"], error["error_type"]) == ("write", "indexing_error")
    assert reason in error["message"]
    assert sorted(os.listdir(folder)) == ["config", "errors.jsonl", "in.log", "out"]


def test_an_invalid_function_and_a_disabled_writer_are_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(by_function("FORMAT('%s'"), {"n": 1}) == 1
    assert "config/indexing/squid.json:1:" in capsys.readouterr().err
    assert main(["check", "--config", "config"]) == 1
    assert "hdfs.outputPathFunction" in capsys.readouterr().out
    assert run({"hdfs": {"enabled": False}}, {"n": 1}) == 1
    assert "hdfs.enabled: the writer is disabled" in capsys.readouterr().err
    assert not Path("out").exists()


def test_files_are_appended_to_and_an_incomplete_line_is_ended(run: Run) -> None:
    assert run(None, {"n": 1}) == 0
    assert run(None, {"n": 2}) == 0
    assert read_tree() == {"squid": [1, 2]}
    file = Path("out/squid", f"{get_date()}.jsonl")
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"n": 3')
    assert run(None, {"n": 4}) == 0
    assert [line[:7] for line in file.read_text(encoding="utf-8").splitlines()] == [
        '{"n":1,',
        '{"n":2,',
        '{"n": 3',
        '{"n":4,',
    ]


def test_each_day_has_a_file() -> None:
    date = ["2026-11-29"]
    directory = OutputDirectory("out", get_date=lambda: date[0])
    directory({"source.type": "squid", "n": 1})
    assert list(directory.sync().values()) == [30]
    directory({"source.type": "squid", "n": 2})
    date[0] = "2026-11-30"
    directory({"source.type": "squid", "n": 3})
    assert {Path(path).name: length for path, length in directory.sync().items()} == {"2026-11-30.jsonl": 30}
    assert [len(file.read_bytes()) for file in sorted(Path("out/squid").iterdir())] == [60, 30]


def test_many_directories_need_few_open_files() -> None:
    with Sinks() as sinks:
        sink = sinks.open("out/", "records")
        for number in range(3000):
            sink({"source.type": f"sensor{number % 1500}", "n": number})
    assert len(list(Path("out").iterdir())) == 1500


def test_the_lengths_of_new_files_are_stored_at_once_before_lines_are_appended(folder: Path) -> None:
    Path("out/0").mkdir(parents=True)
    Path(f"out/0/{get_date()}.jsonl").write_text("{}\n")
    noted: list[dict[str, int]] = []

    def note(lengths: Mapping[str, int]) -> None:
        assert {path: os.path.getsize(path) for path in lengths} == lengths
        noted.append(dict(lengths))

    directory = OutputDirectory("out", note=note)
    for number in range(500):
        directory({"source.type": str(number % 100), "n": number})
    assert noted == []
    directory.sync()
    directory({"source.type": "0", "n": "x" * 100_000})
    directory({"source.type": "last", "n": "x" * 100_000})
    assert [len(lengths) for lengths in noted] == [100, 1]
    assert sorted(noted[0].values()) == [0] * 99 + [3]
    assert noted[1] == {str(folder / f"out/last/{get_date()}.jsonl"): 0}


def test_the_state_is_written_once_for_many_new_files(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[dict[str, int]] = []
    save = PositionFile.save

    def record(store: PositionFile, state: RunState) -> None:
        saved.append(dict(state.lengths))
        save(store, state)

    monkeypatch.setattr(PositionFile, "save", record)
    with Sinks() as sinks:
        sinks.open_positions("run", ["out/"], None)
        write = sinks.open("out/", "records")
        for number in range(100):
            write({"source.type": str(number), "n": number})
        sinks.save(RunState("run"))
    assert [len(lengths) for lengths in saved] == [100, 100]
    assert set(saved[0].values()) == {0}
    assert all(os.path.getsize(path) == length for path, length in saved[1].items())


def test_only_files_that_changed_are_written_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    directory = OutputDirectory("out")
    for name in ("a", "b", "c"):
        directory({"source.type": name})
    directory.sync()
    directory({"source.type": "b"})
    directory.flush()  # written, but not to the disk
    directory({"source.type": "c"})
    directory.sync()
    directory.sync()
    assert synced == ["a", "b", "c", "b", "c"]


def test_an_input_in_an_output_directory_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None, {"n": 1}, options=(f"out/squid/{get_date()}.jsonl",)) == 1
    assert run(None, {"n": 1}) == 0
    assert run(None, {"n": 1}, options=(f"out/squid/{get_date()}.jsonl",)) == 1
    assert "is both input and output" in capsys.readouterr().err


def test_runs_that_are_killed_write_each_document_once(write_config: Callable[..., Path]) -> None:
    config = write_config()
    (config / "indexing").mkdir()
    indexing = json.dumps(by_function("JOIN(['part', TO_STRING(p)], '')"))
    (config / "indexing" / "squid.json").write_text(indexing, encoding="utf-8")
    lines = ("rubbish\n" if n % 10 == 3 else f'{{"n": {n}, "p": {n // 700 % 3}}}\n' for n in range(3000))
    Path("a.log").write_text("".join(lines), encoding="utf-8")
    arguments = ["run", "--config", str(config), "--sensor", "squid", "--resume"]
    arguments += ["--output", "out/", "--errors", "out/", "a.log"]

    def read_progress() -> int:
        path = Path("out.position")
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return json.loads(text)["counts"].get("read", 0) if text else 0

    printed = kill_repeatedly(arguments, read_progress, 4)
    assert printed.endswith("3,000 lines read, 3,000 parsed = 2,700 out + 0 dropped + 300 rejected; 0 reports\n")
    tree = read_tree()
    assert len(tree.pop("error")) == 300
    expected = {f"part{p}": [n for n in range(3000) if n % 10 != 3 and n // 700 % 3 == p] for p in range(3)}
    assert tree == expected


def test_a_file_that_is_shorter_than_stored_is_not_continued(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None, {"n": 1}, options=("--resume",)) == 0
    file = Path("out/squid", f"{get_date()}.jsonl")
    file.write_text("{}\n", encoding="utf-8")
    assert run(None, {"n": 1}, {"n": 2}, options=("--resume",)) == 1
    assert f"{file} has 3 bytes, but" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "{}\n"


def test_a_file_that_was_moved_away_is_continued_in_a_new_file(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None, {"n": 1}, options=("--resume",)) == 0
    file = Path("out/squid", f"{get_date()}.jsonl")
    file.rename("archived.jsonl")
    assert run(None, {"n": 1}, {"n": 2}, options=("--resume",)) == 0
    assert read_tree() == {"squid": [2]}
    warning = f"{file} does not exist any more; the run continues with a new file"
    assert capsys.readouterr().err.count(warning) == 1


def test_a_database_and_a_directory_cannot_be_stored_together(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None, {"n": 1}, errors="errors.db", options=("--resume",)) == 2
    assert "--resume needs a database or a directory for both records and errors" in capsys.readouterr().err
