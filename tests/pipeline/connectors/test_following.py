"""Following of files: what is added is read once, through rotations, restarts and removals."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.pipeline.connectors import tracking
from stellar.pipeline.connectors.following import QUIET_SECONDS, FileFollower
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.positions import FileRecord, RunState
from stellar.pipeline.connectors.resuming import read_resumed
from stellar.pipeline.connectors.tracking import OpenFile, open_file

Step = Callable[[], object]


class Ended(Exception):
    """All steps were executed."""


class Session:
    """A follower that executes a step each time it has read everything, and stores positions after each batch."""

    def __init__(self, *patterns: str, records: list[FileRecord] | None = None, excluded: tuple[str, ...] = ()) -> None:
        self.records = [] if records is None else records
        self.now = 0.0
        self.steps: list[Step] = []
        self.follower = FileFollower(
            patterns, self.records, excluded, wait=self.wait, clock=lambda: self.now, settle_seconds=1e-9
        )
        self.lines: list[str] = []
        self.errors: list[str] = []

    def wait(self, seconds: float) -> None:
        if not self.steps:
            raise Ended
        self.now += 1.0
        self.steps.pop(0)()

    def pass_time(self) -> None:
        self.now += QUIET_SECONDS + 1.0

    def run(self, *steps: Step) -> list[str]:
        """Execute the steps, with all lines of a step read before the next one; return all lines."""
        nothing = [lambda: None] * 2
        self.steps = [each for step in steps for each in (step, *nothing)] + nothing
        with suppress(Ended):
            for batch in self.follower.read():
                self.add(batch)
        assert not self.steps
        return self.lines

    def add(self, batch: LineBatch) -> None:
        self.lines += [line.decode() for line in batch.lines]
        if batch.failure is not None:
            self.errors.append(str(batch.failure))
        if batch.source is not None:
            batch.source.commit(batch.position, batch.is_last)

    def restart(self, *patterns: str) -> Session:
        """Return another follower that continues from the stored positions."""
        state = RunState.from_json(RunState("s", self.records).to_json())
        return Session(*patterns, records=state.files)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def append(name: str, text: str) -> Step:
    def step() -> None:
        with open(name, "a", encoding="utf-8") as file:
            file.write(text)

    return step


def move(name: str, to: str) -> Step:
    return lambda: os.rename(name, to)


def copy_and_truncate(name: str, to: str) -> Step:
    def step() -> None:
        shutil.copyfile(name, to)
        os.truncate(name, 0)

    return step


def compress(name: str) -> Step:
    def step() -> None:
        Path(f"{name}.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
        os.remove(name)

    return step


def remove(name: str) -> Step:
    return lambda: os.remove(name)


def test_lines_are_read_when_they_are_complete() -> None:
    append("a.log", "one\ntw")()
    session = Session("a.log")
    seen: list[list[str]] = []
    session.run(
        lambda: seen.append(list(session.lines)),
        append("a.log", "o"),
        append("a.log", "\nthr"),
        append("a.log", "ee\n"),
    )
    assert seen == [["one"]]
    assert session.lines == ["one", "two", "three"]


def test_files_that_appear_are_read_and_outputs_are_not(caplog: pytest.LogCaptureFixture) -> None:
    session = Session("*.log", "b/*", excluded=("out.log",))
    lines = session.run(
        append("out.log", "x\n"), append("a.log", "one\n"), lambda: os.mkdir("b"), append("b/x", "two\n")
    )
    assert lines == ["one", "two"]
    assert caplog.messages == ["*.log: no such file yet; waiting for it", "b/*: no such file yet; waiting for it"]


@pytest.mark.parametrize("pattern", ["a.log", "a.log*"])
def test_a_renamed_file_is_read_until_it_is_quiet(pattern: str) -> None:
    append("a.log", "one\n")()
    session = Session(pattern)
    lines = session.run(
        append("a.log", "two\n"),
        move("a.log", "a.log.1"),
        append("a.log.1", "three\nfou"),  # the writer has not opened the new file yet
        append("a.log", "five\n"),
        append("a.log.1", "r\nincomplete"),
        session.pass_time,
    )
    assert lines == ["one", "two", "three", "five", "four", "incomplete"]
    assert sorted(record.is_done for record in session.records) == [False, True]


@pytest.mark.parametrize("pattern", ["a.log", "a.log*"])
def test_a_copied_and_truncated_file_is_read_once(pattern: str) -> None:
    append("a.log", "one\n")()
    session = Session(pattern)

    def rotate() -> None:
        append("a.log", "two\n")()  # is read from the copy
        copy_and_truncate("a.log", "a.log.1")()
        append("a.log", "three, which is longer than the lines before\n")()

    assert session.run(rotate, append("a.log", "four\n"), session.pass_time) == [
        "one",
        "two",
        "three, which is longer than the lines before",
        "four",
    ]


def test_a_copy_that_was_made_before_the_last_lines_is_not_read() -> None:
    append("a.log", "one\n")()
    session = Session("a.log*")
    lines = session.run(
        lambda: shutil.copyfile("a.log", "a.log.1"),
        append("a.log", "two\n"),
        lambda: os.truncate("a.log", 0),
        append("a.log", "three\n"),
        compress("a.log.1"),
        session.pass_time,
    )
    assert lines == ["one", "two", "three"]
    assert session.restart("a.log*").run() == []


def test_a_truncated_file_without_a_copy_is_read_from_its_start(caplog: pytest.LogCaptureFixture) -> None:
    append("a.log", "one\ntwo\n")()
    session = Session("a.log")
    assert session.run(lambda: os.truncate("a.log", 0), append("a.log", "three\n")) == ["one", "two", "three"]
    assert "a.log was truncated after line 2; it is read from its start" in caplog.text


def test_a_removed_file_is_read_to_its_end_and_its_successor_from_the_start() -> None:
    append("a.log", "one\n")()
    session = Session("a.log")
    lines = session.run(
        append("a.log", "two"),
        remove("a.log"),
        session.pass_time,
        append("a.log", "three\n"),
        append("a.log", "four\n"),
    )
    assert lines == ["one", "two", "three", "four"]


def test_compressed_files_are_read_once() -> None:
    append("a.log", "one\n")()
    Path("a.log.2.gz").write_bytes(gzip.compress(b"zero\n"))
    session = Session("a.log*")
    lines = session.run(move("a.log", "a.log.1"), append("a.log", "two\n"), compress("a.log.1"), session.pass_time)
    assert sorted(lines) == ["one", "two", "zero"]
    assert session.restart("a.log*").run(append("a.log", "three\n")) == ["three"]


def test_a_compressed_file_that_is_being_written_is_read_when_it_is_complete() -> None:
    content = gzip.compress(b"".join(b"%d\n" % number for number in range(10_000)))
    session = Session("a.gz")
    session.follower._tracker._settle_seconds = 3600.0
    old = (0, 0)
    lines = session.run(
        lambda: Path("a.gz").write_bytes(b""),
        lambda: Path("a.gz").write_bytes(content[:1000]),
        lambda: (Path("a.gz").write_bytes(content), os.utime("a.gz", old)),
    )
    assert lines == [str(number) for number in range(10_000)]
    assert session.errors == []


def test_a_file_that_cannot_be_read_is_reported_once_and_read_later() -> None:
    Path("a.log.gz").write_bytes(b"not compressed\n")
    session = Session("*")
    session.run(
        append("b.log", "one\n"),
        lambda: (Path("a.log.gz").write_bytes(gzip.compress(b"two\n")), os.utime("a.log.gz", (0, 0))),
    )
    (error,) = session.errors
    assert "expected compressed data by the name" in error
    assert session.lines == ["one", "two"]


def test_a_restart_continues_and_reports_what_was_removed() -> None:
    append("a.log", "one\n")()
    session = Session("a.log")
    session.run(append("a.log", "two\n"))
    append("a.log", "three\n")()
    again = session.restart("a.log")
    assert again.run(append("a.log", "four\n")) == ["three", "four"]
    remove("a.log")()
    append("a.log", "five\n")()
    last = again.restart("a.log")
    assert last.run() == ["five"]
    (error,) = last.errors
    assert "a.log after line 4: it was removed, or replaced by another file" in error


def test_a_run_to_the_end_continues_where_a_follower_stopped() -> None:
    append("a.log", "one\n")()
    session = Session("a.log")
    session.run(append("a.log", "two\n"))
    move("a.log", "a.log.1")()
    append("a.log.1", "three\n")()
    append("a.log", "four\n")()
    assert [line for batch in read_resumed(["a.log"], session.records) for line in batch.lines] == [b"three", b"four"]


def test_a_renamed_successor_with_equal_lines_is_not_taken_for_a_copy() -> None:
    append("a.log", "same\n" * 3)()
    session = Session("a.log*")
    assert session.run(move("a.log", "a.log.1"), append("a.log", "same\n" * 2)) == ["same"] * 5


def test_a_new_file_beside_a_known_one_is_opened_once_to_compare_and_once_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []

    def record(path: str) -> OpenFile:
        opened.append(os.path.basename(path))
        return open_file(path)

    steps = append("app.log", "1\n"), lambda: monkeypatch.setattr(tracking, "open_file", record)
    assert Session("app.log*").run(*steps, append("app.log.2", "other\n")) == ["1", "other"]
    assert opened == ["app.log.2"] * 2


def test_many_files_are_followed() -> None:
    for number in range(1200):
        append(f"{number:04}.log", f"{number}\n")()
    session = Session("*.log")
    lines = session.run(*(append(f"{number:04}.log", "more\n") for number in (3, 1100)))
    assert lines == [*map(str, range(1200)), "more", "more"]


# -- Any sequence of rotations and restarts ---------------------------------------------------------------------------


class Log:
    """A log that is written and rotated, with numbered files."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.partial = ""

    def append(self) -> None:
        self.write("".join(f"line {len(self.written) + n} of the log\n" for n in range(3)))

    def append_a_lot(self) -> None:
        self.write("".join(f"line {len(self.written) + n} of the log\n" for n in range(100)))

    def append_partly(self) -> None:
        if not self.partial:
            line = f"line {len(self.written)} of the log\n"
            append("a.log", line[:6])()
            self.partial = line[6:]

    def write(self, text: str) -> None:
        if self.partial:
            append("a.log", self.partial)()
            self.written.append(f"line {len(self.written)} of the log")
            self.partial = ""
            text = "".join(f"line {len(self.written) + n} of the log\n" for n in range(text.count("\n")))
        append("a.log", text)()
        self.written += text.splitlines()

    def rename(self) -> None:
        self.shift()
        os.rename("a.log", "a.log.1")
        append("a.log", "")()

    def copy_and_truncate(self) -> None:
        self.shift()
        copy_and_truncate("a.log", "a.log.1")()

    def compress(self) -> None:
        plain = [name for name in self.rotated() if not name.endswith(".gz")]
        if plain:
            compress(plain[-1])()

    def shift(self) -> None:
        if self.partial:  # a writer completes its line before its file is rotated
            self.write("")
        for name in reversed(self.rotated()):
            number, *suffix = name.removeprefix("a.log.").split(".")
            os.rename(name, ".".join(["a.log", str(int(number) + 1), *suffix]))

    def rotated(self) -> list[str]:
        return sorted((name for name in os.listdir() if name != "a.log"), key=lambda name: int(name.split(".")[2]))


OPERATIONS = st.lists(
    st.sampled_from(["append", "append_a_lot", "append_partly", "rename", "copy_and_truncate", "compress"]), max_size=5
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(OPERATIONS, OPERATIONS), max_size=4))
def test_each_line_is_read_once_through_rotations_and_restarts(rounds: list[tuple[list[str], list[str]]]) -> None:
    with temporary_folder():
        log, session = Log(), Session("a.log*")
        append("a.log", "")()
        lines: list[str] = []
        for followed, missed in rounds:
            session = session.restart("a.log*")
            lines += session.run(*(getattr(log, name) for name in followed))
            assert session.errors == []
            for name in missed:
                getattr(log, name)()
        log.write("")
        session = session.restart("a.log*")
        lines += session.run(session.pass_time)
        assert session.errors == []
        assert sorted(lines) == sorted(log.written)


class temporary_folder:
    """A working directory for one example."""

    def __enter__(self) -> None:
        self.before, self.folder = os.getcwd(), tempfile.mkdtemp()
        os.chdir(self.folder)

    def __exit__(self, *exception: object) -> None:
        os.chdir(self.before)
        shutil.rmtree(self.folder)
