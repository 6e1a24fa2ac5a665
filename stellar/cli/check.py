"""`stellar check`: report errors and lint findings in expressions."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from stellar.cli.reading import FAILED, OK, UNUSABLE, UsageError, decode_argument, print_error, read_text_lines
from stellar.language.errors import ConfigError
from stellar.language.expression import default_library
from stellar.language.source import Span, position, snippet
from stellar.tooling.checks import ERROR, find_problems
from stellar.tooling.diagnostics import ERROR as SEVERE
from stellar.tooling.diagnostics import FORMATS, WARNING, Diagnostic
from stellar.tooling.lints import Finding
from stellar.tooling.statements import read_statements

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

exit status: 0 if there are no findings, 1 if there are, 2 if a file could not
be read
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stellar check`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="file of expressions; - is standard input")
    parser.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="expression")
    parser.add_argument("--format", choices=FORMATS, default="text", metavar="FORMAT", help="text, json or github")


def run(options: argparse.Namespace) -> int:
    """Print the findings and return the exit status."""
    if not options.files and not options.expression:
        raise UsageError("nothing to check; pass a file, or an expression with -e")
    status = OK
    reports: list[Diagnostic] = []
    for given in options.expression:
        source = decode_argument(given)
        reports += _check_source("-e", 1, source, source)
    for file in options.files:
        try:
            reports += (_check_configuration if file.endswith(".json") else _check_statements)(file)
        except ConfigError as error:
            print_error(str(error), error, options)
            status = max(status, FAILED)
        except UsageError as error:
            print_error(f"stellar: {error}", error, options)
            status = UNUSABLE
    print(_format_text(reports) if options.format == "text" else FORMATS[options.format](reports), end="")
    return max(status, FAILED) if reports else status


def _format_text(reports: Iterable[Diagnostic]) -> str:
    return "".join(f"{each.location}: {each.name}: {each.message}\n{each.detail}\n\n" for each in reports)


def _check_statements(file: str) -> Iterator[Diagnostic]:
    for each in read_statements(read_text_lines(file)):
        if not each.is_command:
            yield from _check_source(file, each.line, each.text, each.expression)


def _check_configuration(file: str) -> Iterator[Diagnostic]:
    """Yield the findings about the expressions in a configuration file."""
    from stellar.pipeline.config.embedded_expressions import read_texts  # loads the pipeline's configuration

    source = "\n".join(read_text_lines(file))
    for text in read_texts(file, source):
        for problem in find_problems(text.source, default_library()) if text.source.strip() else ():
            line, column = position(source, text.in_file(problem.span).start)
            yield _create_report(file, line, column, text.path, problem, snippet(text.text, problem.span))


def _check_source(file: str, first_line: int, statement: str, source: str) -> Iterator[Diagnostic]:
    """Yield the findings about one expression.

    statement: the source to show, which has the expression at the same offsets
    """
    for problem in _find_problems(statement, source):
        line, column = position(statement, problem.span.start)
        excerpt = snippet(statement, problem.span, first_line)
        yield _create_report(file, first_line + line - 1, column, "", problem, excerpt)


def _create_report(file: str, line: int, column: int, path: str, problem: Finding, excerpt: str) -> Diagnostic:
    severity = SEVERE if problem.name == ERROR else WARNING
    detail = f"{excerpt}\nhint: {problem.hint}" if problem.hint else excerpt
    return Diagnostic(file, line, column, severity, problem.name, path, problem.message, detail)


def _find_problems(statement: str, source: str) -> list[Finding]:
    if statement != source and not source.strip():
        name = Span(0, len(statement.rstrip()))
        return [Finding(ERROR, "missing expression after :=", name, "write null to set it to null")]
    return find_problems(source, default_library())
