"""Golden output of the command, one case per file, run with `main` and with the installed program.

A case has its input files, each after a line `=== name` (`=== -` is standard input, and <FF> is a byte), the command
line, standard output, standard error after `--- errors`, and the status.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stellar.cli import main

HERE = Path(__file__).parent / "golden"
GOLDEN = sorted(HERE.glob("*.txt"))
PROGRAM = Path(sys.executable).with_name("stellar")
# Cases that cover all kinds of input and output; processes for all cases would take too long
BY_THE_PROGRAM = (
    "a_record_that_fails",
    "cases",
    "check_a_file",
    "check_unreadable_files",
    "half_a_surrogate_pair",
    "records_from_standard_input",
    "shell_lines",
    "shell_lines_that_are_not_utf_8",
)


@dataclass(frozen=True)
class Case:
    files: dict[str, bytes]
    arguments: list[str]
    outcome: tuple[str, str, int]


def read(file: Path) -> Case:
    parts = re.split(
        r"^(?:\$ stellar|--- errors|--- status) ?(.*)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    files, arguments, output, _, errors, status, _ = parts
    contents = re.findall(r"^=== (\S+)\n(.*?)(?=^===|\Z)", files, flags=re.MULTILINE | re.DOTALL)
    return Case(
        {name: re.sub(rb"<([0-9A-F]{2})>", byte, content.encode()) for name, content in contents},
        shlex.split(arguments),
        (output, errors, int(status)),
    )


def byte(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode())


def prepare(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Read a case, and write its files to a directory, which becomes the current one."""
    case = read(HERE / f"{name}.txt")
    monkeypatch.chdir(directory)
    for file, content in case.files.items():
        if file != "-":
            Path(file).write_bytes(content)
    return case


@pytest.mark.parametrize("name", [file.stem for file in GOLDEN])
def test_main_prints_the_golden_output(name, tmp_path, monkeypatch, capsys):
    case = prepare(name, tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case.files.get("-", b""))))
    status = main(case.arguments)
    printed = capsys.readouterr()
    assert (printed.out, printed.err, status) == case.outcome


@pytest.mark.parametrize("name", BY_THE_PROGRAM)
def test_the_program_prints_the_golden_output(name, tmp_path, monkeypatch):
    case = prepare(name, tmp_path, monkeypatch)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [PROGRAM, *case.arguments],
        input=case.files.get("-", b""),
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert (done.stdout.decode(), done.stderr.decode(), done.returncode) == case.outcome
