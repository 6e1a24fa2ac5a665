"""`stellar check`: errors and surprises in expressions."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator

from stellar.checks import Problem, problems
from stellar.cli.reading import FAILED, FINE, UNUSABLE, Unusable, argument, complain, texts_of
from stellar.expression import default_library
from stellar.source import Span, position, snippet

DESCRIPTION = """\
Report errors in expressions, and what is allowed but seldom meant, each with
its place. docs/lints.md describes the reports.

In a file, a line is an expression or `name := expression`. Indented lines go
on with it. Lines that begin with # or // are comments.
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
            for number, statement in _statements(texts_of(file)):
                status = max(status, _check_source(file, number, statement, _expression_in(statement)))
        except Unusable as error:
            complain(f"stellar: {error}", error, options)
            status = UNUSABLE
    return status


_COMMENT = re.compile(r"\s*(?:#|//)")
_NAMED = re.compile(r"\s*[a-zA-Z_$](?:[a-zA-Z_.:0-9]*[a-zA-Z_.0-9])?\s*:=")


def _statements(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The statements of a file, each with the number of the line on which it begins."""
    first, statement = 0, list[str]()
    for number, line in enumerate(lines, 1):
        skipped = not line.strip() or _COMMENT.match(line)
        if statement and not skipped and line[0] not in " \t":
            yield first, "\n".join(statement)
            statement = []
        if not statement:
            first = number
        if statement or not skipped:
            statement.append(line)
    if statement:
        yield first, "\n".join(statement)


def _expression_in(statement: str) -> str:
    """The expression of a statement; the name and the comments become blanks, so that places stay the same."""
    lines = [" " * len(line) if _COMMENT.match(line) else line for line in statement.split("\n")]
    if named := _NAMED.match(lines[0]):
        lines[0] = " " * named.end() + lines[0][named.end() :]
    return "\n".join(lines)


def _check_source(file: str, first_line: int, statement: str, source: str) -> int:
    """Report on one expression; returns the exit status.

    statement: what to show, which has the expression at the same places
    """
    found = _problems(statement, source)
    for problem in found:
        line, column = position(statement, problem.span.start)
        print(f"{file}:{first_line + line - 1}:{column}: {problem.name}: {problem.message}")
        print(snippet(statement, problem.span, first_line))
        print(f"hint: {problem.hint}\n" if problem.hint else "")
    return FAILED if found else FINE


def _problems(statement: str, source: str) -> list[Problem]:
    if statement != source and not source.strip():
        name = Span(0, len(statement.rstrip()))
        return [Problem("error", "behind the name stands no expression", name, "write null if that is meant")]
    return problems(source, default_library())
