"""Runs that continue where the last one ended: no document is lost or written twice."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.cli import main
from stellar.pipeline.connectors.lines import LineBatch, LinePosition
from stellar.pipeline.connectors.positions import FileRecord, PositionFile, RunState
from stellar.pipeline.connectors.sinks import Sinks

from .killing import LIMIT, kill_repeatedly, start, wait_for

FILTER = {
    "parserClassName": "JSONMap",
    "filterClassName": "STELLAR",
    "parserConfig": {"filter.query": "keep"},
}


@pytest.fixture
def config(write_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a run that drops every tenth record; the working directory is that of the input."""
    directory = write_config(parser=FILTER)
    monkeypatch.chdir(tmp_path)
    return ["run", "--config", str(directory), "--sensor", "squid", "--resume"]


def make_lines(first: int, last: int) -> str:
    """Return numbered messages, of which every tenth is not JSON."""
    keeps = ("false" if n % 10 == 7 else "true" for n in range(first, last))
    lines = (f'{{"n": {n}, "keep": {keep}}}' for n, keep in zip(range(first, last), keeps, strict=True))
    return "".join("rubbish\n" if n % 10 == 3 else f"{line}\n" for n, line in enumerate(lines, first))


def write_log(name: str, first: int, last: int, mode: str = "w") -> None:
    with open(name, mode, encoding="utf-8") as file:
        file.write(make_lines(first, last))


def expect(first: int, last: int) -> list[int]:
    return [n for n in range(first, last) if n % 10 not in (3, 7)]


def read_numbers(name: str = "out.jsonl") -> list[int]:
    return [json.loads(line)["n"] for line in Path(name).read_text(encoding="utf-8").splitlines()]


def read_errors(name: str = "errors.jsonl") -> list[tuple[str, int]]:
    documents = map(json.loads, Path(name).read_text(encoding="utf-8").splitlines())
    return [(document["stage"], document["line"]) for document in documents]


def run(config: list[str], *names: str, output: str = "out.jsonl", errors: str = "errors.jsonl") -> None:
    assert main([*config, "--output", output, "--errors", errors, *names]) == 0


def stored_state(name: str = "out.jsonl") -> Any:
    path = Path(f"{name}.position")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return json.loads(text) if text else None


def count_stored(name: str = "out.jsonl") -> int:
    state = stored_state(name)
    return 0 if state is None else state["counts"]["read"]


def test_a_second_run_reads_only_what_was_added(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 100)
    run(config, "a.log")
    write_log("a.log", 100, 150, "a")
    write_log("b.log", 150, 170)
    run(config, "a.log", "b.log")
    assert read_numbers() == expect(0, 170)
    assert read_errors() == [("parse", n + 1) for n in range(3, 150, 10)] + [("parse", 4), ("parse", 14)]
    run(config, "*.log")
    assert read_numbers() == expect(0, 170)
    *_, last = capsys.readouterr().err.splitlines()
    assert last == (
        "stellar-pipeline: squid: 170 lines read, 170 parsed = 136 out + 17 dropped + 17 rejected; 0 reports"
    )


@pytest.mark.parametrize(
    ("kind", "in_flight"),
    [
        ("json lines", "1"),
        ("json lines", "8"),
        ("database", "8"),
        ("records in a database", "1"),
        ("errors in a database", "1"),
    ],
)
def test_runs_that_are_killed_lose_no_document_and_write_none_twice(
    kind: str, in_flight: str, config: list[str]
) -> None:
    write_log("a.log", 0, 2000)
    Path("b.log").write_bytes(gzip.compress(make_lines(2000, 4000).encode()))
    output = "out.jsonl" if kind in ("json lines", "errors in a database") else "out.sqlite"
    errors = "errors.jsonl" if kind in ("json lines", "records in a database") else "out.sqlite"

    def read_progress() -> object:
        return count_in_database("out.sqlite") if kind != "json lines" else count_stored()

    arguments = [*config, "--in-flight", in_flight, "--output", output, "--errors", errors, "a.log", "b.log"]
    printed = kill_repeatedly(arguments, read_progress, 4)
    assert printed.endswith("4,000 lines read, 4,000 parsed = 3,200 out + 400 dropped + 400 rejected; 0 reports\n")
    written = (
        [json.loads(text) for text in read_table("records")]
        if output == "out.sqlite"
        else [json.loads(line) for line in Path(output).read_text(encoding="utf-8").splitlines()]
    )
    assert [document["n"] for document in written] == expect(0, 4000)
    failures = (
        [json.loads(text) for text in read_table("errors")]
        if errors == "out.sqlite"
        else [json.loads(line) for line in Path(errors).read_text(encoding="utf-8").splitlines()]
    )
    rejected = [("a.log", n + 1) for n in range(3, 2000, 10)] + [("b.log", n - 1999) for n in range(2003, 4000, 10)]
    assert [(document["origin"], document["line"]) for document in failures] == rejected


def count_in_database(name: str) -> int:
    if not Path(name).exists():
        return 0
    connection = sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=60)
    try:
        row = connection.execute("SELECT sequence FROM positions").fetchone()
    except sqlite3.OperationalError:  # there is no table yet
        return 0
    finally:
        connection.close()
    return 0 if row is None else int(row[0])


def read_table(table: str) -> list[str]:
    connection = sqlite3.connect("out.sqlite")
    rows = connection.execute(f"SELECT document FROM {table} ORDER BY rowid").fetchall()
    connection.close()
    return [text for (text,) in rows]


def test_standard_output_has_each_document_at_least_once(config: list[str], tmp_path: Path) -> None:
    write_log("a.log", 0, 3000)
    arguments = [*config, "--position", "here.position", "--errors", "errors.jsonl", "a.log"]
    out = tmp_path / "out.jsonl"
    with open(out, "ab") as stream:
        saved = os.dup(1)
        try:
            os.dup2(stream.fileno(), 1)
            kill_repeatedly(arguments, lambda: count_stored("here"), 4)
        finally:
            os.dup2(saved, 1)
            os.close(saved)
    lines = [line for line in out.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    assert set(expect(0, 3000)) == {json.loads(line)["n"] for line in lines if line.startswith("{")}


def test_standard_output_needs_a_file_for_positions(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    assert main([*config, "a.log"]) == 2
    assert "standard output and pipes do not store positions; pass --position FILE" in capsys.readouterr().err
    assert main([*(each for each in config if each != "--resume"), "--position", "x", "a.log"]) == 2
    assert "--position has no effect without --resume" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["-", "pipe"])
def test_a_pipe_cannot_be_resumed(name: str, config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe")
    assert main([*config, "--output", "out.jsonl", name]) == 2
    assert f"cannot resume '{name}': pipes have no positions; name files" in capsys.readouterr().err


def test_two_databases_cannot_be_committed_together(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    assert main([*config, "--output", "a.db", "--errors", "b.db", "a.log"]) == 2
    assert "--resume needs records and errors in one database" in capsys.readouterr().err
    assert main([*config, "--output", "a.db", "--position", "x", "a.log"]) == 2
    assert "remove --position" in capsys.readouterr().err


def test_profiles_cannot_be_resumed(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    Path("config/profiler.json").write_text('{"profiles": []}', encoding="utf-8")
    assert main([*config, "--output", "out.jsonl", "a.log"]) == 2
    assert "the values of profiles cannot be resumed" in capsys.readouterr().err


def test_an_output_that_is_shorter_than_stored_is_not_continued(
    config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_log("a.log", 0, 10)
    run(config, "a.log")
    Path("out.jsonl").write_text("", encoding="utf-8")
    assert main([*config, "--output", "out.jsonl", "--errors", "errors.jsonl", "a.log"]) == 1
    assert "out.jsonl has 0 bytes, but" in capsys.readouterr().err


def test_an_output_that_was_moved_away_is_continued_in_a_new_file(
    config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_log("a.log", 0, 10)
    run(config, "a.log")
    Path("out.jsonl").rename("archived.jsonl")
    write_log("a.log", 10, 20, "a")
    run(config, "a.log")
    assert read_numbers() == expect(10, 20)
    errors = capsys.readouterr().err
    assert "out.jsonl does not exist any more; the run continues with a new file" in errors
    assert errors.count("does not exist any more") == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1}', "\x00"])
def test_damaged_positions_end_the_run(text: str, config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    Path("out.jsonl").write_text("precious", encoding="utf-8")
    Path("out.jsonl.position").write_text(text, encoding="utf-8")
    assert main([*config, "--output", "out.jsonl", "a.log"]) == 1
    assert "restore the file, or remove it to read all input again" in capsys.readouterr().err
    assert Path("out.jsonl").read_text(encoding="utf-8") == "precious"


def test_damaged_positions_in_a_database_end_the_run(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    run(config, "a.log", output="out.sqlite", errors="out.sqlite")
    connection = sqlite3.connect("out.sqlite")
    connection.execute("UPDATE positions SET state = '{'")
    connection.commit()
    connection.close()
    assert main([*config, "--output", "out.sqlite", "a.log"]) == 1
    assert "delete the row from the table positions" in capsys.readouterr().err


def test_positions_of_another_sensor_are_not_used(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    with PositionFileOf("out.jsonl.position") as store:
        store.save(RunState("asa"))
    assert main([*config, "--output", "out.jsonl", "a.log"]) == 1
    assert "the stored positions are of a run of asa, not squid; use another --output" in capsys.readouterr().err


class PositionFileOf(PositionFile):
    """A position file that is closed at the end of a block."""

    def __enter__(self) -> PositionFileOf:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def test_one_run_at_a_time_uses_a_position_file(config: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_log("a.log", 0, 10)
    with PositionFileOf("out.jsonl.position") as store:
        for _ in range(2):
            assert main([*config, "--output", "out.jsonl", "a.log"]) == 1
            assert "in use by another run" in capsys.readouterr().err
            store.save(RunState("squid"))
    run(config, "a.log")
    assert read_numbers() == expect(0, 10)


def test_runs_that_share_a_row_of_positions_are_detected(tmp_path: Path) -> None:
    with Sinks() as first, Sinks() as second:
        for sinks in (first, second):
            assert sinks.open_positions("squid", [str(tmp_path / "x.db")], None).load() is None
        first.save(RunState("squid"))
        with pytest.raises(OSError, match=r"another run of squid has stored positions in .* in the meantime"):
            second.save(RunState("squid"))
        first.save(RunState("squid"))


def test_a_state_survives_its_json_form() -> None:
    position = LinePosition(2**60, 7, b"\x00\xff", b"\n")
    record = FileRecord("/a\udcff", 1, 2, 3, 4, position, is_done=True)
    state = RunState("squid", [record], {"read": 3}, {"/out": 5})
    assert RunState.from_json(state.to_json()).to_json() == state.to_json()
    assert RunState.from_json(state.to_json()).files[0].position == position


def interrupt_after(batches: int) -> Callable[..., Iterator[LineBatch]]:
    """Return a replacement of `read_resumed` that is interrupted, as by Ctrl-C."""
    from stellar.pipeline.connectors import resuming

    original = resuming.read_resumed

    def read(*arguments: Any) -> Iterator[LineBatch]:
        for number, batch in enumerate(original(*arguments)):
            yield batch
            if number == batches:
                raise KeyboardInterrupt

    return read


@pytest.mark.parametrize("output", ["out.jsonl", "out.sqlite"])
def test_an_interrupted_run_is_continued(
    output: str, config: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log("a.log", 0, 10)
    write_log("b.log", 10, 20)
    targets = ["--output", output, "--errors", "errors.jsonl"]
    with monkeypatch.context() as patched:
        patched.setattr("stellar.pipeline.cli.run.read_resumed", interrupt_after(2))
        assert main([*config, *targets, "a.log", "b.log"]) == 130
    *_, last = capsys.readouterr().err.splitlines()
    assert last.endswith("0 lines read, 0 parsed = 0 out + 0 dropped + 0 rejected; 0 reports")
    assert read_errors() == []
    run(config, "a.log", "b.log", output=output)
    numbers = read_numbers() if output == "out.jsonl" else [json.loads(text)["n"] for text in read_table("records")]
    assert numbers == expect(0, 20)


@pytest.mark.parametrize("output", ["out.jsonl", "out.sqlite"])
def test_an_interruption_of_a_save_that_was_completed_discards_nothing(
    output: str, config: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log("a.log", 0, 10)
    save = Sinks.save

    def save_and_interrupt(sinks: Sinks, state: RunState) -> None:
        save(sinks, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Sinks, "save", save_and_interrupt)
        assert main([*config, "--output", output, "--errors", "errors.jsonl", "a.log"]) == 130
    run(config, "a.log", output=output)
    numbers = read_numbers() if output == "out.jsonl" else [json.loads(text)["n"] for text in read_table("records")]
    assert numbers == expect(0, 10)
    assert read_errors() == [("parse", 4)]


@pytest.mark.parametrize("output", ["out.jsonl", "out.sqlite"])
def test_a_full_disk_ends_the_run_and_the_next_one_continues(output: str, config: list[str]) -> None:
    write_log("a.log", 0, 3000)
    targets = ["--output", output, "--errors", output]
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
        "from stellar.pipeline.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", limited, *config, *targets, "a.log"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert done.returncode == 1
        assert "File too large" in done.stderr or "disk" in done.stderr or "full" in done.stderr
        assert "Traceback" not in done.stderr
    run(config, "a.log", output=output, errors=output)
    if output == "out.jsonl":
        documents = [json.loads(line) for line in Path(output).read_text(encoding="utf-8").splitlines()]
        assert [each["n"] for each in documents if "n" in each] == expect(0, 3000)
        assert sum(each["source.type"] == "error" for each in documents) == 300
    else:
        assert [json.loads(text)["n"] for text in read_table("records")] == expect(0, 3000)
        assert len(read_table("errors")) == 300


def test_a_last_line_without_end_is_read_and_its_rest_is_an_error(config: list[str]) -> None:
    Path("a.log").write_text('{"keep": true, "n": 1}\n{"n": 2', encoding="utf-8")
    run(config, "a.log")
    assert read_errors() == [("parse", 2)]
    with open("a.log", "a", encoding="utf-8") as file:
        file.write('22}\n{"keep": true, "n": 5}')
    run(config, "a.log")
    with open("a.log", "a", encoding="utf-8") as file:
        file.write('\n{"keep": true, "n": 6}\n')
    run(config, "a.log")
    assert read_numbers() == [1, 5, 6]
    assert read_errors() == [("parse", 2), ("read", 2)]


# -- Following --------------------------------------------------------------------------------------------------------


def test_followers_that_are_killed_while_files_are_rotated_lose_no_line_and_read_none_twice(config: list[str]) -> None:
    """A writer adds lines and rotates its file, while followers are killed and started again."""
    arguments = [*config, "--follow", "--output", "out.jsonl", "--errors", "errors.jsonl", "a.log*"]
    chance, written = random.Random(2), 0
    write_log("a.log", 0, 0)
    for rotation in range(6):
        process = start(arguments)
        for _ in range(chance.randrange(2, 6)):
            write_log("a.log", written, written + 50, "a")
            written += 50
            time.sleep(chance.uniform(0, 0.1))
        if rotation % 2:
            for name in sorted(Path().glob("a.log.*"), reverse=True):
                name.rename(f"a.log.{int(name.suffix[1:]) + 1}")
            (rename if rotation % 4 == 1 else copy_and_truncate)("a.log", "a.log.1")
            write_log("a.log", 0, 0, "a")
        if rotation > 2:
            wait_for(partial(_has_read_some, process, count_stored()))
        process.kill()
        process.communicate()
    process = start(arguments)
    wait_for(lambda: count_stored() >= written)
    process.terminate()
    _, printed = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, printed
    assert sorted(read_numbers()) == expect(0, written)
    total, errors = f"{written:,} lines read, {written:,} parsed", read_errors()
    assert total in printed.decode()
    assert len(errors) == written // 10
    assert {stage for stage, _ in errors} == {"parse"}


def _has_read_some(process: subprocess.Popen[bytes], before: int) -> bool:
    return count_stored() > before or process.poll() is not None


@pytest.mark.parametrize("resume", [True, False], ids=["resume", "no resume"])
def test_a_follower_writes_each_record_at_once_and_ends_by_a_signal(resume: bool, config: list[str]) -> None:
    arguments = [each for each in config if resume or each != "--resume"]
    process = start([*arguments, "--follow", "--output", "out.jsonl", "a.log"])
    try:
        for n in range(0, 30, 10):
            write_log("a.log", n, n + 1, "a")
            wait_for(lambda n=n: Path("out.jsonl").exists() and read_numbers() == list(range(0, n + 1, 10)))
            wait_for(lambda n=n: not resume or count_stored() == n // 10 + 1)
    finally:
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, printed
    assert read_numbers() == [0, 10, 20]


# -- Rotation between runs --------------------------------------------------------------------------------------------


def rename(name: str, to: str) -> None:
    Path(name).rename(to)


def compress(name: str, to: str) -> None:
    Path(to).write_bytes(gzip.compress(Path(name).read_bytes()))
    Path(name).unlink()


def copy_and_truncate(name: str, to: str) -> None:
    Path(to).write_bytes(Path(name).read_bytes())
    os.truncate(name, 0)


ROTATIONS = {
    "rename": lambda: rename("a.log", "a.log.1"),
    "rename with a date": lambda: rename("a.log", "a-20261130.log"),
    "compress": lambda: compress("a.log", "a.log.1.gz"),
    "copy and truncate": lambda: copy_and_truncate("a.log", "a.log.1"),
    "copy, truncate and compress": lambda: (copy_and_truncate("a.log", "a.log.1"), compress("a.log.1", "a.log.2.gz")),
    "rename and compress": lambda: (rename("a.log", "a.log.1"), compress("a.log.1", "a.log.2.gz")),
}


@pytest.mark.parametrize("names", [("a.log",), ("a[.-]*",)], ids=["named", "glob"])
@pytest.mark.parametrize("added", [0, 30], ids=["nothing added", "added"])
@pytest.mark.parametrize("size", [20, 600], ids=["small", "large"])
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_file_that_was_rotated_between_runs_is_read_on(
    rotation: str, size: int, added: int, names: tuple[str, ...], config: list[str]
) -> None:
    write_log("a.log", 0, size)
    run(config, *names)
    write_log("a.log", size, size + added, "a")
    ROTATIONS[rotation]()
    write_log("a.log", size + added, size + added + 50, "a")
    run(config, *names)
    assert sorted(read_numbers()) == expect(0, size + added + 50)
    if names == ("a.log",) or not added:
        assert read_numbers() == expect(0, size + added + 50)
    run(config, *names)
    assert sorted(read_numbers()) == expect(0, size + added + 50)
    assert {stage for stage, _ in read_errors()} == {"parse"}


def test_a_rotated_file_that_was_removed_before_it_was_read_is_reported(
    config: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log("a.log", 0, 100)
    monkeypatch.setattr("stellar.pipeline.connectors.sinks.SECONDS_BETWEEN_SAVES", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr("stellar.pipeline.connectors.lines.READ_BYTES", 100)
        patched.setattr("stellar.pipeline.cli.run.read_resumed", interrupt_after(3))
        assert main([*config, "--output", "out.jsonl", "--errors", "errors.jsonl", "a.log"]) == 130
    before = read_numbers()
    assert before == expect(0, len(before) + len(before) // 4)[: len(before)]
    os.remove("a.log")
    write_log("a.log", 100, 150)
    run(config, "a.log")
    assert read_numbers() == [*before, *expect(100, 150)]
    (lost,) = [line for stage, line in read_errors() if stage == "read"]
    assert lost == stored_state()["counts"]["read"] - 50
    assert stored_state()["files"][0]["is_done"]


def test_a_file_that_is_replaced_by_a_longer_version_is_read_on(config: list[str]) -> None:
    write_log("a.log", 0, 100)
    run(config, "a.log")
    write_log("a.new", 0, 120)
    os.replace("a.new", "a.log")  # as rsync does
    run(config, "a.log")
    assert read_numbers() == expect(0, 120)


def test_files_with_an_equal_header_are_different_files(config: list[str]) -> None:
    write_log("a-1.log", 0, 1)
    write_log("a-2.log", 0, 1)
    run(config, "a-*.log")
    write_log("a-2.log", 10, 20, "a")
    write_log("a-3.log", 0, 2)
    run(config, "a-*.log")
    assert read_numbers() == [0, 0, *expect(10, 20), 0, 1]
