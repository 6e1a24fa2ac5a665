"""`stellar check`: report errors and lint findings in expressions."""

from __future__ import annotations

import argparse

from stellar.cli.reading import FAILED, OK, UNUSABLE, UsageError, decode_argument, print_error, read_text_lines
from stellar.language.errors import ConfigError
from stellar.language.expression import default_library
from stellar.language.source import Span, position, snippet
from stellar.tooling.checks import ERROR, find_problems
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


def run(options: argparse.Namespace) -> int:
    """Print the findings and return the exit status."""
    if not options.files and not options.expression:
        raise UsageError("nothing to check; pass a file, or an expression with -e")
    status = OK
    for given in options.expression:
        source = decode_argument(given)
        status = max(status, _check_source("-e", 1, source, source))
    for file in options.files:
        try:
            status = max(status, (_check_configuration if file.endswith(".json") else _check_statements)(file))
        except ConfigError as error:
            print_error(str(error), error, options)
            status = max(status, FAILED)
        except UsageError as error:
            print_error(f"stellar: {error}", error, options)
            status = UNUSABLE
    return status


def _check_statements(file: str) -> int:
    status = OK
    for each in read_statements(read_text_lines(file)):
        if not each.is_command:
            status = max(status, _check_source(file, each.line, each.text, each.expression))
    return status


def _check_configuration(file: str) -> int:
    """Report on the expressions in a configuration file; return the exit status."""
    from stellar.pipeline.config.embedded_expressions import read_texts  # loads the pipeline's configuration

    source = "\n".join(read_text_lines(file))
    status = OK
    for text in read_texts(file, source):
        for problem in find_problems(text.source, default_library()) if text.source.strip() else ():
            line, column = position(source, text.in_file(problem.span).start)
            _report(f"{file}:{line}:{column}", problem, text.text, 1)
            status = FAILED
    return status


def _check_source(file: str, first_line: int, statement: str, source: str) -> int:
    """Report on one expression; return the exit status.

    statement: the source to show, which has the expression at the same offsets
    """
    problems = _find_problems(statement, source)
    for problem in problems:
        line, column = position(statement, problem.span.start)
        _report(f"{file}:{first_line + line - 1}:{column}", problem, statement, first_line)
    return FAILED if problems else OK


def _report(location: str, problem: Finding, text: str, first_line: int) -> None:
    print(f"{location}: {problem.name}: {problem.message}")
    print(snippet(text, problem.span, first_line))
    print(f"hint: {problem.hint}\n" if problem.hint else "")


def _find_problems(statement: str, source: str) -> list[Finding]:
    if statement != source and not source.strip():
        name = Span(0, len(statement.rstrip()))
        return [Finding(ERROR, "missing expression after :=", name, "write null to set it to null")]
    return find_problems(source, default_library())
