"""Fixes of files: which are applied, and what of a file stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from stellar.cli import main
from stellar.tooling.diagnostics import Diagnostic, DiagnosticReport, FileEdit
from stellar.tooling.fixes import apply_fixes, fix_files

CONFIGURATION = '{"enrichment": {"fieldMap": {"stellar": {"config": [%s]}}}}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a and b or c\n", b"a and (b or c)\n"),
        (b"a and b or c and d or e", b"a and (b or (c and (d or e)))"),
        (b"x := 8 / 4 * 2\r\ny := a\r\n", b"x := 8 / (4 * 2)\r\ny := a\r\n"),
        (b"\xef\xbb\xbfa and b or c\n", b"\xef\xbb\xbfa and (b or c)\n"),
        (
            "'é😀' == a and\n  # why (\n  b or f(8 / 4 * 2)".encode(),
            "'é😀' == a and\n  # why (\n  (b or f(8 / (4 * 2)))".encode(),
        ),
        (b"%define a := b and c or d\n1 + \nx and y or z\n", b"%define a := b and c or d\n1 + \nx and (y or z)\n"),
        (b"a // noqa: always-exists\n", b"a\n"),
    ],
)
def test_fixes_change_only_what_they_fix(before: bytes, after: bytes, tmp_path: Path) -> None:
    file = tmp_path / "rules.stellar"
    file.write_bytes(before)
    main(["check", "--fix", str(file)])
    assert file.read_bytes() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"x := a and b or c"', '"x := a and (b or c)"'),
        (r'"x := \"\t\u00e9\" == a and b or c", "y := z"', r'"x := \"\t\u00e9\" == a and (b or c)", "y := z"'),
        (r'"x := a and // (\n b or c"', r'"x := a and // (\n (b or c)"'),
        ('"x := a and b or c // noqa: mixed-and-or"', '"x := a and b or c // noqa: mixed-and-or"'),
    ],
)
def test_expressions_in_a_configuration_are_fixed(before: str, after: str, tmp_path: Path) -> None:
    file = tmp_path / "enrichments" / "x.json"
    file.parent.mkdir()
    file.write_text(CONFIGURATION % before)
    main(["check", "--fix", str(file)])
    assert file.read_text() == CONFIGURATION % after


def test_only_selected_lints_are_fixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rules.stellar"
    file.write_text("a and b or f(8 / 4 * 2)\n")
    main(["check", "--fix", "--select", "product-in-divisor", str(file)])
    assert file.read_text() == "a and b or f(8 / (4 * 2))\n"
    assert capsys.readouterr().err == f"{file}: 1 fixed\n"
    main(["check", "--fix", "--ignore", "mixed-and-or", str(file)])
    assert capsys.readouterr().err == ""


def test_a_file_that_needs_no_fix_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "rules.stellar"
    file.write_text("{ip : 1}\n")
    before = file.stat()
    assert main(["check", "--fix", str(file)]) == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_overlapping_fix_waits_for_the_next_round() -> None:
    outer = (FileEdit(1, 1, 1, 1, "("), FileEdit(1, 4, 1, 4, ")"))
    inner = (FileEdit(1, 2, 1, 3, "B"),)
    after = (FileEdit(1, 5, 1, 5, "!"),)
    assert apply_fixes("abc d", [inner, after, outer]) == ("(abc) !d", 2)


def test_fixes_end_even_if_findings_remain(tmp_path: Path) -> None:
    file = tmp_path / "rules.stellar"
    file.write_text("a")
    report = DiagnosticReport()
    report.add([Diagnostic(str(file), 1, 1, "warning", "x", "", "x", "", (FileEdit(1, 1, 1, 1, "a"),))])
    fix_files(report, lambda: report, lambda each: True)
    assert set(file.read_text()) == {"a"}


@pytest.mark.parametrize("arguments", [["-e", "a"], ["-"]])
def test_only_files_can_be_fixed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--fix", *arguments]) == 2
    assert capsys.readouterr().err == "stellar: --fix changes files, not expressions of -e or standard input\n"
