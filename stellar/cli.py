"""The `stellar` command: evaluate expressions over records, check them, or open the shell."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from stellar.context import NOTHING, Context
from stellar.errors import StellarError
from stellar.expression import Expression, default_library
from stellar.source import Span, position, snippet
from stellar.tagged import decode, encode

DESCRIPTION = """\
Stellar, the expression language of Apache Metron. Without a command, opens the shell.
"""

EVAL = """\
Evaluates an expression and prints its value as a line of JSON.

With -f, evaluates it for each record of a file of JSON lines and prints a line for each. A record that fails prints
null; the error goes to standard error with the record's number, and the exit status is 1. Values that JSON lacks are
written as {"$nan": true}, {"$inf": 1}, {"$set": [...]}, {"$bytes": "..."}, {"$map": [[key, value], ...]} or
{"$object": "..."}.

With --cases, reads lines {"id": ..., "expr": ..., "vars": {...}} and prints {"id": ..., "ok": true, "value": ...} or
{"id": ..., "ok": false, "error": ...} for each. As in Metron, an unknown function is then an error only when it is
reached.
"""

CHECK = """\
Reads expressions and reports errors, and what is allowed but seldom meant, each with its place.

In a file each line is an expression or `name := expression`; an indented line goes on with the one before it; blank
lines and lines that begin with # or // are skipped. The exit status is 0 if there was nothing to report, 1 if there
was, 2 if a file could not be read.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except _Usage as error:
        parser.exit(2, f"stellar: {error}\n")
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stellar", description=DESCRIPTION)
    parser.set_defaults(run=_shell)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    evaluate = _command(commands, "eval", "evaluate an expression, for one record or for many", EVAL)
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("-e", "--expression", metavar="EXPR", help="the expression")
    what.add_argument("--cases", metavar="FILE", help="a file of cases, one a line; - is standard input")
    evaluate.add_argument("-f", "--file", metavar="FILE", help="records, one JSON object a line; - is standard input")
    evaluate.add_argument(
        "--registry", metavar="DIR", help="where the MAAS functions find models: a registry directory"
    )
    evaluate.set_defaults(run=_eval)

    check = _command(commands, "check", "report errors and surprises in expressions", CHECK)
    check.add_argument("files", nargs="*", metavar="FILE", help="a file of expressions; - is standard input")
    check.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="an expression")
    check.set_defaults(run=_check)
    return parser


def _command(commands: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


class _Usage(Exception):
    """The command can't do what it was told to."""


def _shell(options: argparse.Namespace) -> int:
    from stellar.shell import run

    return run()


# -- eval -------------------------------------------------------------------------------------------------------------


def _eval(options: argparse.Namespace) -> int:
    with _context(options.registry) as context:
        return _eval_in(context, options)


def _eval_in(context: Context, options: argparse.Namespace) -> int:
    if options.cases is not None:
        if options.file is not None:
            raise _Usage("-f goes with -e; cases bring their own variables")
        with _opened(options.cases) as lines:
            return _eval_cases(lines, context)
    try:
        expression = Expression(options.expression, default_library())
    except StellarError as error:
        print(error, file=sys.stderr)
        return 1
    if options.file is None:
        return _eval_record(expression, {}, context, "")
    with _opened(options.file) as lines:
        failed = 0
        for number, line in _numbered(lines):
            failed |= _eval_line(expression, line, context, f"record {number}: ")
        return failed


def _eval_line(expression: Expression, line: str, context: Context, place: str) -> int:
    try:
        record = _record(line)
    except ValueError as error:
        print("null")
        print(f"{place}{error}", file=sys.stderr)
        return 1
    return _eval_record(expression, record, context, place)


def _eval_record(expression: Expression, record: dict[str, Any], context: Context, place: str) -> int:
    try:
        value = expression(record, context)
    except StellarError as error:
        print("null")
        print(f"{place}{error}", file=sys.stderr)
        return 1
    print(_json(value))
    return 0


def _eval_cases(lines: Iterable[str], context: Context) -> int:
    failed = 0
    for number, line in _numbered(lines):
        try:
            case = _record(line)
            source, variables = case["expr"], decode(case.get("vars") or {})
            if not isinstance(source, str) or not isinstance(variables, dict):
                raise ValueError("expr is a text and vars an object")
        except (ValueError, KeyError) as error:
            problem = f"the case has no {error}" if isinstance(error, KeyError) else str(error)
            print(f"case {number}: {problem}", file=sys.stderr)
            failed = 1
            continue
        print(_json_line({"id": case.get("id"), **_outcome(source, variables, context)}))
    return failed


def _outcome(source: str, variables: dict[str, Any], context: Context) -> dict[str, Any]:
    try:
        expression = Expression(source, default_library(), unknown_functions="when_reached")
        return {"ok": True, "value": encode(expression(variables, context))}
    except StellarError as error:
        return {"ok": False, "error": str(error)}


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from error
    except RecursionError:
        raise ValueError("this JSON nests too deep") from None
    if not isinstance(record, dict):
        raise ValueError(f"a record is a JSON object, not {line.strip()[:40]}")
    return record


def _json(value: Any) -> str:
    return _json_line(encode(value))


def _json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _context(directory: str | None) -> Iterator[Context]:
    if directory is None:
        yield NOTHING
        return
    from stellar.maas import FileRegistry, ModelClient, Registry

    if not os.path.isdir(directory):
        raise _Usage(f"there is no registry directory {directory}; `maas serve --registry {directory}` makes one")
    with FileRegistry(directory) as registry, ModelClient(registry) as client:
        yield Context({Registry: registry, ModelClient: client})


# -- check ------------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    if not options.files and not options.expression:
        raise _Usage("name a file to check, or give an expression with -e")
    found = 0
    for source in options.expression:
        found += _check_source(source, "-e", 1)
    for file in options.files:
        with _opened(file) as lines:
            for number, source in _statements(lines):
                found += _check_source(source, file, number)
    return 1 if found else 0


def _statements(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The expressions of a file, with the number of the line on which each begins.

    What stands before the expression on its line, such as `name :=`, becomes blanks, so that columns stay true.
    """
    started, statement = 0, ""
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if statement and line[:1] in (" ", "\t") and line.strip():
            statement += f"\n{line}"
            continue
        if statement:
            yield started, statement
        statement = ""
        if line.strip() and not line.lstrip().startswith(("#", "//")):
            name, assigned, expression = line.partition(":=")
            started, statement = number, " " * (len(name) + 2) + expression if assigned else line
    if statement:
        yield started, statement


def _check_source(source: str, file: str, first_line: int) -> int:
    """Report on one expression; returns the number of findings."""
    from stellar.lints import lint

    try:
        expression = Expression(source, default_library())
    except StellarError as error:
        _report(file, first_line, source, error.span, f"error: {error.message}", error.hint)
        return 1
    findings = lint(expression.tree, source, expression.library)
    for finding in findings:
        _report(file, first_line, source, finding.span, f"{finding.name}: {finding.message}", finding.hint)
    return len(findings)


def _report(file: str, first_line: int, source: str, span: Span, message: str, hint: str | None) -> None:
    line, column = position(source, span.start)
    print(f"{file}:{first_line + line - 1}:{column}: {message}")
    shown = snippet(source, span, first_line)
    print(shown + (f"\nhint: {hint}" if hint else ""))


# -- Files ------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(file: str) -> Iterator[IO[str]]:
    if file == "-":
        yield sys.stdin
        return
    try:
        opened = open(file, encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise _Usage(f"can't read {file}: {error.strerror}") from error
    with opened:
        try:
            yield opened
        except UnicodeDecodeError as error:
            raise _Usage(f"{file} is not UTF-8: {error}") from error


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())
