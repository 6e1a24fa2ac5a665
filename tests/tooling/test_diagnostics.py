"""The formats of diagnostics."""

from __future__ import annotations

import json

from stellar.tooling.diagnostics import FORMATS, Diagnostic, DiagnosticReport

LINT = Diagnostic("rules.stellar", 3, 7, "warning", "mixed-and-or", "", "add parentheses", "a and b or c\n^")
CONFIGURATION = Diagnostic("x.json", 1, 2, "error", "configuration", "parserConfig.columns", "missing key")
FILE = Diagnostic("a,b:c.json", 0, 0, "error", "error", "", "100 % wrong\r\nreally")


def test_text_has_a_paragraph_for_each_diagnostic():
    assert FORMATS["text"]([LINT, CONFIGURATION, FILE]) == (
        "rules.stellar:3:7: warning: mixed-and-or: add parentheses\na and b or c\n^\n"
        "x.json:1:2: error: parserConfig.columns: missing key\n"
        "a,b:c.json: error: 100 % wrong\r\nreally\n"
    )


def test_json_has_an_object_for_each_diagnostic():
    first, second = json.loads(FORMATS["json"]([LINT, FILE]))
    assert (first["file"], first["line"], first["column"], first["name"]) == ("rules.stellar", 3, 7, "mixed-and-or")
    assert second["message"] == "100 % wrong\r\nreally"
    assert FORMATS["json"]([]) == "[]\n"


def test_commands_for_github_are_escaped():
    assert FORMATS["github"]([LINT, CONFIGURATION, FILE]) == (
        "::warning file=rules.stellar,line=3,col=7,title=mixed-and-or::add parentheses%0Aa and b or c%0A^\n"
        "::error file=x.json,line=1,col=2,title=configuration::parserConfig.columns: missing key\n"
        "::error file=a%2Cb%3Ac.json,title=error::100 %25 wrong%0D%0Areally\n"
    )


def test_a_report_has_each_diagnostic_once():
    report = DiagnosticReport()
    report.add([LINT, CONFIGURATION, LINT])
    report.add([FILE, CONFIGURATION])
    assert report.diagnostics == (LINT, CONFIGURATION, FILE)
    assert [report.has_error_in(file) for file in ("rules.stellar", "x.json", "y.json")] == [False, True, False]
