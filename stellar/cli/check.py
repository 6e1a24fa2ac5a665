"""`stellar check`: report errors and lint findings in expressions."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from stellar.cli.reading import STANDARD_INPUT, UNUSABLE, UsageError, decode_argument, print_error, read_text_lines
from stellar.language.errors import ConfigError
from stellar.language.expression import default_library
from stellar.language.source import Span, position
from stellar.tooling.check_command import add_report_options, run_check
from stellar.tooling.checks import find_problems
from stellar.tooling.diagnostics import Diagnostic, DiagnosticReport, describe_finding
from stellar.tooling.findings import ERROR, Finding
from stellar.tooling.statements import read_statements

if TYPE_CHECKING:
    from stellar.pipeline.config.embedded_expressions import EmbeddedText

DESCRIPTION = """\
Report errors in expressions, and valid but misleading constructs, with their
line and column. docs/lints.md describes the reports.

In a file, a line is an expression or `name := expression`. Indented lines
continue it. Lines that start with # or // are comments; those that start with
% or ? are for the shell. A .json file is a configuration of Metron, and the
expressions in it are checked.
"""

END = """\
examples:
  stellar check rules.stellar
  stellar check -e "a and b or c"

exit status: 0 if there are no errors, 1 if there are, with --strict also for
warnings; 2 if a file could not be read or the options are invalid
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stellar check`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="file of expressions; - is standard input")
    parser.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="expression")
    add_report_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings and return the exit status."""
    if not options.files and not options.expression:
        raise UsageError("nothing to check; pass a file, or an expression with -e")
    if options.fix and (options.expression or STANDARD_INPUT in options.files):
        raise UsageError("--fix changes files, not expressions of -e or standard input")
    report, unread = DiagnosticReport(), list[UsageError]()
    for given in options.expression:
        source = decode_argument(given)
        report.add(_check_source("-e", 1, source, source))
    status = run_check(partial(_check_files, options.files, report, unread), options)
    for error in unread:
        print_error(f"stellar: {error}", error, options)
    return UNUSABLE if unread else status


def _check_files(files: list[str], before: DiagnosticReport, unread: list[UsageError]) -> DiagnosticReport:
    """Return the findings in files after those of `before`; `unread` becomes the errors of reading."""
    report = DiagnosticReport()
    report.add(before.diagnostics)
    unread.clear()
    for file in files:
        try:
            report.add((_check_configuration if file.endswith(".json") else _check_statements)(file))
        except UsageError as error:
            unread.append(error)
    return report


def _check_statements(file: str) -> Iterator[Diagnostic]:
    for each in read_statements(read_text_lines(file)):
        if not each.is_command:
            yield from _check_source(file, each.line, each.text, each.expression)


def _check_configuration(file: str) -> Iterator[Diagnostic]:
    """Yield the findings about the expressions in a configuration file."""
    # These load the pipeline's configuration
    from stellar.pipeline.config.diagnostics import ConfigDescriber
    from stellar.pipeline.config.embedded_expressions import read_texts

    source = "".join(f"{line}\n" for line in read_text_lines(file))
    try:
        texts = read_texts(file, source)
    except ConfigError as error:
        yield ConfigDescriber().describe_error(error)
        return
    for text in texts:
        for problem in find_problems(text.source, default_library()) if text.source.strip() else ():
            locate = partial(_locate_in_json, source, text)
            yield describe_finding(problem, text.text, file, locate, path=text.path)


def _locate_in_json(source: str, text: EmbeddedText, offset: int) -> tuple[int, int]:
    return position(source, text.in_file(Span(offset, offset)).start)


def _check_source(file: str, first_line: int, statement: str, source: str) -> Iterator[Diagnostic]:
    """Yield the findings about one expression.

    statement: the source to show, which has the expression at the same offsets
    """
    for problem in _find_problems(statement, source):
        locate = partial(_locate_in_file, statement, first_line)
        yield describe_finding(problem, statement, file, locate, first_line=first_line)


def _locate_in_file(statement: str, first_line: int, offset: int) -> tuple[int, int]:
    line, column = position(statement, offset)
    return first_line + line - 1, column


def _find_problems(statement: str, source: str) -> list[Finding]:
    if statement != source and not source.strip():
        name = Span(0, len(statement.rstrip()))
        return [Finding(ERROR, "missing expression after :=", name, "write null to set it to null", ERROR)]
    return find_problems(source, default_library())
