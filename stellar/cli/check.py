"""`stellar check`: errors and surprises in expressions."""

from __future__ import annotations

import argparse

from stellar.cli.reading import FAILED, FINE, UNUSABLE, Unusable, argument, complain, texts_of
from stellar.language.errors import ConfigError
from stellar.language.expression import default_library
from stellar.language.source import Span, position, snippet
from stellar.tooling.checks import Problem, problems
from stellar.tooling.statements import statements

DESCRIPTION = """\
Report errors in expressions, and what is allowed but seldom meant, each with
its place. docs/lints.md describes the reports.

In a file, a line is an expression or `name := expression`. Indented lines go
on with it. Lines that begin with # or // are comments; those that begin with %
or ? are for the shell. A file whose name ends in .json is a configuration of
Metron's, and the expressions in it are looked at.
"""

END = """\
examples:
  stellar check rules.stellar
  stellar check -e "a and b or c"

exit status: 0 if there is nothing to report, 1 if there is, 2 if a file could
not be read
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said behind `stellar check`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="a file of expressions; - is standard input")
    parser.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="an expression")


def run(options: argparse.Namespace) -> int:
    """Print what there is to report; returns the exit status."""
    if not options.files and not options.expression:
        raise Unusable("name a file to check, or give an expression with -e")
    status = FINE
    for given in options.expression:
        source = argument(given)
        status = max(status, _check_source("-e", 1, source, source))
    for file in options.files:
        try:
            status = max(status, (_check_configuration if file.endswith(".json") else _check_statements)(file))
        except ConfigError as error:
            complain(str(error), error, options)
            status = max(status, FAILED)
        except Unusable as error:
            complain(f"stellar: {error}", error, options)
            status = UNUSABLE
    return status


def _check_statements(file: str) -> int:
    status = FINE
    for each in statements(texts_of(file)):
        if not each.is_command:
            status = max(status, _check_source(file, each.line, each.text, each.expression))
    return status


def _check_configuration(file: str) -> int:
    """Report on the Stellar texts of a configuration file; returns the exit status."""
    from stellar.pipeline.config.embedded_expressions import read_texts  # loads the pipeline's configuration

    source = "\n".join(texts_of(file))
    status = FINE
    for text in read_texts(file, source):
        for problem in problems(text.source, default_library()) if text.source.strip() else ():
            line, column = position(source, text.in_file(problem.span).start)
            _report(f"{file}:{line}:{column}", problem, text.text, 1)
            status = FAILED
    return status


def _check_source(file: str, first_line: int, statement: str, source: str) -> int:
    """Report on one expression; returns the exit status.

    statement: what to show, which has the expression at the same places
    """
    found = _problems(statement, source)
    for problem in found:
        line, column = position(statement, problem.span.start)
        _report(f"{file}:{first_line + line - 1}:{column}", problem, statement, first_line)
    return FAILED if found else FINE


def _report(place: str, problem: Problem, text: str, first_line: int) -> None:
    print(f"{place}: {problem.name}: {problem.message}")
    print(snippet(text, problem.span, first_line))
    print(f"hint: {problem.hint}\n" if problem.hint else "")


def _problems(statement: str, source: str) -> list[Problem]:
    if statement != source and not source.strip():
        name = Span(0, len(statement.rstrip()))
        return [Problem("error", "behind the name stands no expression", name, "write null if that is meant")]
    return problems(source, default_library())
