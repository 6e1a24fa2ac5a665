"""`stellar check` finds the statements of a file, and reports lines and columns as editors count them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stellar.cli import main
from stellar.tooling.statements import read_statements

# A file, and the lines and expressions of its statements
FILES = [
    ("", []),
    ("\n\n# only\n   // comments\n", []),
    ("a == 1", [(1, "a == 1")]),
    ("a == 1\nb", [(1, "a == 1"), (2, "b")]),
    ("x := 1\n\ny:=2\n", [(1, "1"), (3, "2")]),
    ("a.b:c_1\t:=  'x'", [(1, "'x'")]),
    ("$x := a :=", [(1, "a :=")]),
    ("'x := y'", [(1, "'x := y'")]),
    ("f(x := y)", [(1, "f(x := y)")]),
    ("a-b := 1", [(1, "a-b := 1")]),
    (":= 1", [(1, ":= 1")]),
    ("  a == 1\nb", [(1, "a == 1"), (2, "b")]),
    ("a and\n  b or\n\tc\nd", [(1, "a and\n  b or\n\tc"), (4, "d")]),
    ("a and\n\n  b", [(1, "a and\n\n  b")]),
    ("a and\n# it's (\n  // it's\n  b\n# end\n\n", [(1, f"a and\n{' ' * 8}\n{' ' * 9}\n  b")]),
    ("x :=\n  1\n", [(1, "1")]),
    ("x :=\ny := 1", [(1, ""), (2, "1")]),
    ("a // it's\n  + b", [(1, "a // it's\n  + b")]),
]


@pytest.mark.parametrize(("file", "expected"), FILES)
def test_statements_are_found(file, expected):
    statements = read_statements(file.split("\n"))
    assert [(each.line, each.expression.strip()) for each in statements] == expected


@pytest.mark.parametrize("file", [file for file, _ in FILES])
def test_other_characters_are_replaced_with_spaces(file):
    for statement in read_statements(file.split("\n")):
        for text in (statement.expression, statement.code):
            assert len(text) == len(statement.text)
            assert all(now in (" ", before) for now, before in zip(text, statement.text, strict=True))


def test_commands_of_the_shell_are_recognized():
    statements = read_statements(["%define a := 1", "  + 1", "?TRIM", "quit", "x := 1", "quit(1)"])
    assert [(statement.is_command, statement.name) for statement in statements] == [
        *[(True, None)] * 3,
        (False, "x"),
        (False, None),
    ]


@pytest.mark.parametrize(
    "file",
    [
        "8 / 4 * 2",
        "x := 8 / 4 * 2",
        "\tx\t:=\t8 / 4 * 2",
        "a == 1\n\n# more\nlong.name := b and\n  c(\n    8 / 4 * 2,\n  1)",
        "'é' == a and 8 / 4 * 2 == 1",
        "'😀' == a and 8 / 4 * 2 == 1",
        "a and\n// 8 / 4 * 2\n  8 / 4 * 2 == 1",
    ],
)
def test_a_report_gives_the_line_and_column_in_the_file(file, tmp_path, capsys):
    path = tmp_path / "rules.stellar"
    path.write_text(file, encoding="utf-8")
    offset = file.rindex("8 / 4 * 2")
    line, column = file.count("\n", 0, offset) + 1, offset - (file.rfind("\n", 0, offset) + 1) + 1
    assert main(["check", "--strict", str(path)]) == 1
    locations = re.findall(r":(\d+):(\d+): warning: product-in-divisor", capsys.readouterr().out)
    assert locations == [(str(line), str(column))]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-e", "a"], 0),
        (["-e", ""], 0),
        (["-e", "a", "-e", "1 +"], 1),
        (["-e", "8 / 4 * 2"], 0),
        (["--strict", "-e", "8 / 4 * 2"], 1),
        (["--strict", "-e", "a"], 0),
        (["--strict", "--ignore", "product-in-divisor", "-e", "8 / 4 * 2"], 0),
        (["--strict", "--select", "mixed-and-or,always-exists", "-e", "8 / 4 * 2"], 0),
        (["--strict", "--select", "always-exists", "--select", "product-in-divisor", "-e", "8 / 4 * 2"], 1),
        (["-e", "REGEXP_MATCH(a, '(')"], 1),
        (["--ignore", "invalid-literal", "-e", "REGEXP_MATCH(a, '(')"], 0),
        (["--select", "always-exists", "-e", "1 +"], 1),
        (["--strict", "-e", "8 / 4 * 2 // noqa: product-in-divisor"], 0),
        (["-e", "NOPE()"], 1),
        (["-e", "1 +", "nowhere.stellar"], 2),
        (["nowhere.stellar", "-e", "a"], 2),
        ([], 2),
    ],
)
def test_the_status_is_that_of_the_worst_result(arguments, status, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *arguments]) == status


def test_debug_shows_why_a_file_cannot_be_read(capsys):
    assert main(["check", "--debug", "nowhere.stellar"]) == 2
    assert "FileNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"), [("mixed-or-and", "did you mean mixed-and-or?"), ("x", "docs/lints.md lists all lints")]
)
def test_an_unknown_lint_is_a_usage_error(name, hint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", "--ignore", f"configuration,{name}", "-e", "a"])
    assert ended.value.code == 2
    assert f"unknown lint '{name}'; {hint}" in capsys.readouterr().err


def test_json_describes_findings_and_their_fixes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rules.stellar").write_text("a or\n  b and c\n", encoding="utf-8")
    Path("broken.json").write_text("{", encoding="utf-8")
    assert main(["check", "--output", "json", "rules.stellar", "broken.json"]) == 1
    finding, error = json.loads(capsys.readouterr().out)
    where = ("file", "line", "column", "severity", "name")
    assert [finding[key] for key in where] == ["rules.stellar", 1, 1, "warning", "mixed-and-or"]
    assert finding["edits"] == [
        {"line": 2, "column": 3, "end_line": 2, "end_column": 3, "replacement": "("},
        {"line": 2, "column": 10, "end_line": 2, "end_column": 10, "replacement": ")"},
    ]
    assert [error[key] for key in where] == ["broken.json", 1, 2, "error", "configuration"]


def test_a_file_that_cannot_be_changed_is_named(tmp_path, monkeypatch, capsys):
    file = tmp_path / "rules.stellar"
    file.write_text("a and b or c")

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("stellar.tooling.fixes.replace_content", refuse)
    monkeypatch.setattr("stellar.cli._drop_output", lambda: None)
    assert main(["check", "--fix", str(file)]) == 2
    assert capsys.readouterr().err == f"stellar: can't write {file}: Permission denied\n"
