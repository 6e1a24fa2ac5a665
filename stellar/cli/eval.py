"""`stellar eval`: the value of an expression, for one record or for many."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from stellar.cli.reading import FAILED, FINE, STANDARD_INPUT, Unusable, argument, complain, decoded, lines_of
from stellar.language.context import NOTHING, Context
from stellar.language.errors import StellarError
from stellar.language.expression import Expression, shell_library
from stellar.language.tagged_json import decode, to_json

DESCRIPTION = """\
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

END = """\
examples:
  stellar eval -e "TO_UPPER('a')"
  stellar eval -e "bytes > 1000 and method == 'POST'" -f records.jsonl
  tail -f records.jsonl | stellar eval -e "URL_TO_HOST(url)" -f -

exit status: 0 if all went well; 1 if an expression or a record failed, or a
case could not be read; 2 if a file could not be read or the command makes no
sense
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said behind `stellar eval`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-e", "--expression", metavar="EXPR", help="the expression")
    what.add_argument("--cases", metavar="FILE", help="a file of cases; - is standard input")
    parser.add_argument("-f", "--file", metavar="FILE", help="a file of records; - is standard input")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--registry", metavar="DIR", help="the directory where the MAAS functions find models")
    models.add_argument("-z", "--zookeeper", metavar="HOST:PORT,...", help="the ZooKeeper where they find models")


def run(options: argparse.Namespace) -> int:
    """Print the value, or that for each record; returns the exit status."""
    with _context(options.registry, options.zookeeper) as context:
        if options.cases is not None:
            if options.file is not None:
                raise Unusable("-f goes with -e; cases bring their own variables")
            return _each("case", options.cases, partial(_case, context, options), _failed_case, options)
        try:
            expression = Expression(argument(options.expression), shell_library())
            if options.file is None:
                print(_value(expression, context, {}))
                return FINE
        except (StellarError, ValueError) as error:
            complain(str(error), error, options)
            return FAILED
        return _each("record", options.file, partial(_value, expression, context), _null, options)


def _each(
    noun: str,
    file: str,
    answer: Callable[[dict[str, Any]], str],
    failed: Callable[[dict[str, Any], Exception], str],
    options: argparse.Namespace,
) -> int:
    """Print an answer for each object of a file of JSON lines, and complain of each that has none."""
    status, count = FINE, 0
    for number, line in lines_of(file):
        if not line.strip():
            continue
        count += 1
        given: dict[str, Any] = {}
        try:
            given = _object(line)
            text = answer(given)
        except (StellarError, ValueError) as error:
            place = f"{noun} {count}" if count == number else f"{noun} {count}, on line {number}"
            complain(f"{place}: {error}", error, options)
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
    text = decoded(line).rstrip()
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
    from stellar.maas.registries.open import open_registry

    try:
        registry = open_registry(directory, zookeeper)
    except ValueError as error:
        raise Unusable(str(error)) from error
    with registry, ModelClient(registry) as client:
        yield Context({Registry: registry, ModelClient: client})
