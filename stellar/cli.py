"""The `stellar` command: evaluate expressions over records, check them, or open the shell."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from stellar.commands import add_version
from stellar.context import NOTHING, Context
from stellar.errors import StellarError
from stellar.expression import Expression, default_library, shell_library
from stellar.source import Span, position, snippet
from stellar.tagged import decode, to_json

if TYPE_CHECKING:
    from stellar.checks import Problem

DESCRIPTION = """\
Stellar, the expression language of Apache Metron.

Without a command it opens the shell; what is piped into that is executed line
by line.
"""

EVAL = """\
Evaluate an expression and print its value as a line of JSON.

With -f, evaluate it for each record of a file of JSON lines and print a line
for each. For a record that fails that line is null, and what went wrong stands
on standard error with the record's number.

With --cases, read lines
    {"id": ..., "expr": ..., "vars": {...}}
and print for each
    {"id": ..., "ok": true, "value": ...} or
    {"id": ..., "ok": false, "error": ...}
As in Metron, a case that calls an unknown function fails only when the call is
reached.

What JSON lacks is written so, and so it can be read in the vars of cases:
    {"$nan": true}  {"$inf": 1}  {"$inf": -1}  {"$bytes": "<base64>"}
    {"$set": [...]}  {"$map": [[key, value], ...]}  {"$object": "<class>"}
"""

EVAL_END = """\
examples:
  stellar eval -e "TO_UPPER('a')"
  stellar eval -e "bytes > 1000 and method == 'POST'" -f records.jsonl
  tail -f records.jsonl | stellar eval -e "URL_TO_HOST(url)" -f -

exit status: 0 if all went well; 1 if an expression or a record failed, or a
case could not be read; 2 if a file could not be read or the command makes no
sense
"""

CHECK = """\
Report errors in expressions, and what is allowed but seldom meant, each with
its place. docs/lints.md describes the reports.

In a file, a line is an expression or `name := expression`. Indented lines go
on with it. Lines that begin with # or // are comments.
"""

CHECK_END = """\
examples:
  stellar check rules.stellar
  stellar check -e "a and b or c"

exit status: 0 if there is nothing to report, 1 if there is, 2 if a file could
not be read
"""

FINE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
STANDARD_INPUT = "-"


class _Unusable(Exception):
    """The command can't do what it was told to."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status. A traceback is shown only with --debug."""
    options = _parser().parse_args(arguments)
    try:
        with _plain_output():
            status: int = options.run(options)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        _drop_output()
        return FAILED
    except _Unusable as error:
        _complain(f"stellar: {error}", error, options)
        return UNUSABLE
    except OSError as error:  # all that is read is read in _lines: this is the output
        _drop_output()
        _complain(f"stellar: can't write: {error.strerror}", error, options)
        return UNUSABLE
    except Exception as error:  # noqa: BLE001 - the edge of the program: users see a traceback only if they ask for it
        from stellar.shell import unforeseen

        _complain(f"stellar: {unforeseen(error)}", error, options)
        return UNUSABLE
    return status


def _complain(message: str, error: BaseException, options: argparse.Namespace) -> None:
    print(message, file=sys.stderr)
    if options.debug:
        traceback.print_exception(error)


@contextmanager
def _plain_output() -> Iterator[None]:
    """Results in UTF-8, as JSON is, and warnings as plain sentences."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed before we began
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"stellar: {message}", file=sys.stderr)
        yield


def _drop_output() -> None:
    """Let what is still to be written go nowhere, so that the interpreter does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stellar", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--debug", action="store_true", help=_DEBUG)
    add_version(parser)
    parser.set_defaults(run=_shell)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    evaluate = _command(commands, "eval", "evaluate an expression, for one record or for many", EVAL, EVAL_END)
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("-e", "--expression", metavar="EXPR", help="the expression")
    what.add_argument("--cases", metavar="FILE", help="a file of cases; - is standard input")
    evaluate.add_argument("-f", "--file", metavar="FILE", help="a file of records; - is standard input")
    models = evaluate.add_mutually_exclusive_group()
    models.add_argument("--registry", metavar="DIR", help="the directory where the MAAS functions find models")
    models.add_argument("-z", "--zookeeper", metavar="HOST:PORT,...", help="the ZooKeeper where they find models")
    evaluate.set_defaults(run=_eval)

    check = _command(commands, "check", "report errors and surprises in expressions", CHECK, CHECK_END)
    check.add_argument("files", nargs="*", metavar="FILE", help="a file of expressions; - is standard input")
    check.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="an expression")
    check.set_defaults(run=_check)
    return parser


_DEBUG = "show Python's traceback of each error"


def _command(commands: Any, name: str, summary: str, description: str, end: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=end,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Without a default of its own, so that it does not undo the one before the command
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=_DEBUG)
    return parser


def _shell(options: argparse.Namespace) -> int:
    from stellar import shell

    if sys.stdin.isatty() and sys.stdout.isatty():
        shell.from_terminal(debug=options.debug)
        return FINE
    return FINE if shell.from_lines(_texts(STANDARD_INPUT), debug=options.debug) else FAILED


# -- eval -------------------------------------------------------------------------------------------------------------


def _eval(options: argparse.Namespace) -> int:
    with _context(options.registry, options.zookeeper) as context:
        if options.cases is not None:
            if options.file is not None:
                raise _Unusable("-f goes with -e; cases bring their own variables")
            return _eval_each("case", options.cases, partial(_case, context, options), _failed_case, options)
        try:
            expression = Expression(_argument(options.expression), shell_library())
            if options.file is None:
                print(_value(expression, context, {}))
                return FINE
        except (StellarError, ValueError) as error:
            _complain(str(error), error, options)
            return FAILED
        return _eval_each("record", options.file, partial(_value, expression, context), _null, options)


def _eval_each(
    noun: str,
    file: str,
    answer: Callable[[dict[str, Any]], str],
    failed: Callable[[dict[str, Any], Exception], str],
    options: argparse.Namespace,
) -> int:
    """Print an answer for each object of a file of JSON lines, and complain of each that has none."""
    status, count = FINE, 0
    for number, line in _lines(file):
        if not line.strip():
            continue
        count += 1
        given: dict[str, Any] = {}
        try:
            given = _object(line)
            text = answer(given)
        except (StellarError, ValueError) as error:
            place = f"{noun} {count}" if count == number else f"{noun} {count}, on line {number}"
            _complain(f"{place}: {error}", error, options)
            text, status = failed(given, error), FAILED
        # Who waits for standard input waits for the answer, too
        print(text, flush=file == STANDARD_INPUT)
    return status


def _value(expression: Expression, context: Context, record: dict[str, Any]) -> str:
    return to_json(expression(record, context))


def _case(context: Context, options: argparse.Namespace, case: dict[str, Any]) -> str:
    if not isinstance(source := case.get("expr"), str):
        raise ValueError(f"the expr of a case is a text, not {json.dumps(source)}")
    if not isinstance(variables := decode(case.get("vars") or {}), dict):
        raise ValueError(f"the vars of a case are an object, not {json.dumps(case['vars'])}")
    try:
        expression = Expression(source, shell_library(), unknown_functions="when_reached")
        return to_json({"id": case.get("id"), "ok": True, "value": expression(variables, context)})
    except (StellarError, ValueError) as error:
        if options.debug:
            traceback.print_exception(error)
        return _failed_case(case, error)


def _null(_record: dict[str, Any], _error: Exception) -> str:
    return "null"


def _failed_case(case: dict[str, Any], error: Exception) -> str:
    return to_json({"id": case.get("id"), "ok": False, "error": str(error)})


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object on a line.

    Raises ValueError, with what is wrong with the line.
    """
    text = _text(line).rstrip()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise ValueError(f"this is not JSON: {problem} at column {error.colno}") from error
    except ValueError as error:
        raise ValueError(f"a number here has more than {sys.get_int_max_str_digits()} digits") from error
    except RecursionError:
        raise ValueError("this JSON nests too deep to be read") from None
    if not isinstance(value, dict):
        raise ValueError('this is not a JSON object; each line is one, such as {"bytes": 1}')
    return value


@contextmanager
def _context(directory: str | None, zookeeper: str | None) -> Iterator[Context]:
    if directory is None and zookeeper is None:
        yield NOTHING
        return
    from stellar.maas import ModelClient, Registry
    from stellar.maas.opening import open_registry

    try:
        registry = open_registry(directory, zookeeper)
    except ValueError as error:
        raise _Unusable(str(error)) from error
    with registry, ModelClient(registry) as client:
        yield Context({Registry: registry, ModelClient: client})


# -- check ------------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    if not options.files and not options.expression:
        raise _Unusable("name a file to check, or give an expression with -e")
    status = FINE
    for argument in options.expression:
        source = _argument(argument)
        status = max(status, _check_source("-e", 1, source, source))
    for file in options.files:
        try:
            for number, statement in _statements(_texts(file)):
                status = max(status, _check_source(file, number, statement, _expression_in(statement)))
        except _Unusable as error:
            _complain(f"stellar: {error}", error, options)
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
    from stellar.checks import Problem, problems

    if statement != source and not source.strip():
        name = Span(0, len(statement.rstrip()))
        return [Problem("error", "behind the name stands no expression", name, "write null if that is meant")]
    return problems(source, default_library())


# -- What is read -----------------------------------------------------------------------------------------------------


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, with their numbers."""
    try:
        with sys.stdin.buffer if file == STANDARD_INPUT else open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except OSError as error:
        raise _Unusable(f"can't read {_named(file)}: {error.strerror}") from error


def _texts(file: str) -> Iterator[str]:
    """The lines of a file as text, without their ends."""
    for number, line in _lines(file):
        try:
            yield _text(line).rstrip("\r\n")
        except ValueError as error:
            raise _Unusable(f"can't read line {number} of {_named(file)}: {error}") from error


def _named(file: str) -> str:
    return "standard input" if file == STANDARD_INPUT else file


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of this line is not UTF-8") from error


def _argument(text: str) -> str:
    """An expression of the command line, also where the locale knows nothing of UTF-8."""
    try:
        return text if text.isprintable() else os.fsencode(text).decode()
    except UnicodeError as error:
        raise _Unusable("the expression is not UTF-8") from error
