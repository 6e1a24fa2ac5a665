"""LOCAL_* and HDFS_* behave alike: one contract, run on local files and on HDFS."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import stellar
from stellar.functions import SHELL_LIBRARY
from stellar.functions.hdfs import Hdfs
from stellar.language.context import Context, GlobalSettings
from stellar.net.hadoop.webhdfs import Status
from stellar.util.filesystems import FileTooLarge

Evaluate = Callable[..., Any]


class FakeWebHdfs:
    """A WebHdfs client of files in memory. Directories exist while they contain files."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, float]] = {}

    def home(self) -> str:
        return "/user/me"

    def list(self, path: str) -> list[Status]:
        if path in self.files:
            return [self._status("", path)]
        inside = [file for file in self.files if str(PurePosixPath(file).parent) == path]
        if not inside:
            raise FileNotFoundError(path)
        return [self._status(PurePosixPath(file).name, file) for file in inside]

    def read(self, path: str, most: int | None = None) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        if most is not None and len(self.files[path][0]) > most:
            raise FileTooLarge(path, most)
        return self.files[path][0]

    def write(self, path: str, content: bytes) -> None:
        self.files[path] = content, 0.0

    def delete(self, path: str, *, recursive: bool) -> None:
        inside = [file for file in self.files if file.startswith(f"{path}/")]
        if inside and not recursive:
            raise OSError("Directory is not empty")
        for file in [path, *inside]:
            self.files.pop(file, None)

    def _status(self, name: str, file: str) -> Status:
        content, modified = self.files[file]
        return Status(name, False, len(content), modified, 0o644, "me", "staff")


@pytest.fixture
def client() -> FakeWebHdfs:
    return FakeWebHdfs()


@pytest.fixture(params=["LOCAL", "HDFS"])
def evaluate(
    request: pytest.FixtureRequest, client: FakeWebHdfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Evaluate:
    """Return a function that evaluates an expression, with the prefix `F_` replaced by `LOCAL_` or `HDFS_`."""
    monkeypatch.chdir(tmp_path)
    services: dict[type[Any], Any] = {}
    if request.param == "HDFS":
        services[Hdfs] = Hdfs(lambda: client)  # type: ignore[arg-type, return-value]

    def evaluate(expression: str, settings: dict[str, Any] | None = None, **record: Any) -> Any:
        context = Context({**services, GlobalSettings: GlobalSettings(settings or {})})
        return stellar.evaluate(expression.replace("F_", f"{request.param}_"), record, context, library=SHELL_LIBRARY)

    return evaluate


def test_a_written_file_can_be_read(evaluate: Evaluate) -> None:
    assert evaluate("F_WRITE('é\\r\\nb', 'new/folder/file')") is True
    assert evaluate("F_READ('new/folder/file')") == "é\r\nb"
    assert evaluate("F_WRITE('shorter', 'new/folder/file')") is True
    assert evaluate("F_READ('new/folder/file')") == "shorter"


@pytest.mark.parametrize(
    ("content", "lines"),
    [("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\n\n", ["a", ""]), ("a\r\nb\rc\x0bd", ["a", "b", "c\x0bd"])],
)
def test_lines_are_read_without_line_ends(evaluate: Evaluate, content: str, lines: list[str]) -> None:
    assert evaluate("F_WRITE(content, 'file')", content=content) is True
    assert evaluate("F_READ_LINES('file')") == lines


@pytest.mark.parametrize("function", ["F_READ", "F_READ_LINES"])
def test_a_file_above_the_limit_is_an_error_that_names_the_setting(evaluate: Evaluate, function: str) -> None:
    assert evaluate("F_WRITE('abcd', 'file')") is True
    with pytest.raises(stellar.EvaluationError, match=r"file has more than 3 bytes, the limit that files\.max\.bytes"):
        evaluate(f"{function}('file')", {"files.max.bytes": 3})
    assert evaluate(f"{function}('file')", {"files.max.bytes": "4"}) in ("abcd", ["abcd"])
    with pytest.raises(stellar.EvaluationError, match=r"invalid files\.max\.bytes: expected an integer from 0"):
        evaluate(f"{function}('file')", {"files.max.bytes": -1})


def test_a_directory_with_content_is_removed_only_recursively(evaluate: Evaluate) -> None:
    evaluate("F_WRITE('a', 'folder/deep/file')")
    assert evaluate("F_RM('folder')") is False
    assert evaluate("F_READ('folder/deep/file')") == "a"
    assert evaluate("F_RM('folder', true)") is True
    assert evaluate("F_READ('folder/deep/file')") is None
    assert evaluate("F_RM('folder', true)") is True


def test_the_content_of_a_directory_and_a_single_file_are_listed(evaluate: Evaluate) -> None:
    evaluate("F_WRITE('abc', 'folder/file')")
    for path in ("folder", "folder/file"):
        row = evaluate("F_LS(path)", path=path).splitlines()[3]
        cells = [cell.strip() for cell in row[1:-1].split("│")]
        assert (cells[3], cells[5]) == ("3", "file")


@pytest.mark.parametrize(
    ("expression", "result"),
    [("F_READ(path)", None), ("F_READ_LINES(path)", None), ("F_WRITE('a', path)", False), ("F_RM(path)", False)],
)
def test_an_empty_path_is_logged_and_a_null_path_is_not(
    evaluate: Evaluate, expression: str, result: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert evaluate(expression, path="") is result
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("(''): the path is empty")
    caplog.clear()
    assert evaluate(expression, path=None) is result
    assert not caplog.records


def test_a_string_that_cannot_be_encoded_leaves_the_file_unchanged(evaluate: Evaluate) -> None:
    evaluate("F_WRITE('before', 'file')")
    assert evaluate("F_WRITE(content, 'file')", content="\ud800") is False
    assert evaluate("F_READ('file')") == "before"


def test_the_flag_of_recursion_must_be_a_boolean(evaluate: Evaluate) -> None:
    with pytest.raises(stellar.EvaluationError, match="_RM expected a boolean as recursive, got null"):
        evaluate("F_RM('file', null)")


def test_paths_in_hdfs_are_relative_to_the_home_directory(client: FakeWebHdfs) -> None:
    context = Context({Hdfs: Hdfs(lambda: client)})  # type: ignore[arg-type, return-value]
    client.files = {"/user/me/new": (b"ab", 1_500_000_000.9), "/user/me/old": (b"", 10.0), "/etc/file": (b"c", 0.0)}
    rows = stellar.evaluate("HDFS_LS()", {}, context, library=SHELL_LIBRARY).splitlines()
    assert [row.split("│")[-1].strip(" ║") for row in rows if row.startswith("║")] == ["NAME", "old", "new"]
    assert "rw-r--r--  │ me    │ staff │ 2    │ Jul 14, 2017, 2:40:00 AM" in rows[5]
    assert stellar.evaluate("HDFS_READ('new')", {}, context, library=SHELL_LIBRARY) == "ab"
    assert stellar.evaluate("HDFS_READ('/etc/file')", {}, context, library=SHELL_LIBRARY) == "c"


def test_a_local_name_that_is_not_utf8_is_listed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    assert "│ \ufffd " in stellar.evaluate("LOCAL_LS(path)", {"path": str(tmp_path)}, library=SHELL_LIBRARY)
