"""`stellar eval`: evaluate an expression for one record or for many."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from stellar.cli.reading import (
    FAILED,
    OK,
    STANDARD_INPUT,
    UsageError,
    decode_argument,
    decode_line,
    print_error,
    read_lines,
)
from stellar.language.context import NOTHING, Context
from stellar.language.errors import StellarError
from stellar.language.expression import Expression, shell_library
from stellar.language.tagged_json import decode, to_json
from stellar.util.program_cache import command_cache

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = """\
Evaluate expressions and print the value of each as a line of JSON.

With -f, evaluate them for each record of a file of JSON lines, or of a Parquet
file, and print a line for each record and expression. For a record that fails,
that line is null, and the error is written to standard error with the record's
number.

With --cases, read lines
    {"id": ..., "expr": ..., "vars": {...}}
and print for each
    {"id": ..., "ok": true, "value": ...} or
    {"id": ..., "ok": false, "error": ...}
As in Metron, a case that calls an unknown function fails only when the call is
reached.

Values without a JSON type are written, and read in records and the vars of
cases, as:
    {"$nan": true}  {"$inf": 1}  {"$inf": -1}  {"$bytes": "<base64>"}
    {"$set": [...]}  {"$map": [[key, value], ...]}
and sketches as:
    {"$bloom": "<base64>"}  {"$hllp": ...}  {"$stats": ...}  {"$mad": ...}
    {"$sample": ...}
Other values are only written: {"$object": "<class>"}
"""

END = """\
examples:
  stellar eval "TO_UPPER('a')"
  stellar eval -e "LENGTH(url)" -e "URL_TO_HOST(url)" -f records.jsonl
  stellar eval -e "bytes > 1000 and method == 'POST'" -f records.jsonl
  tail -f records.jsonl | stellar eval -e "URL_TO_HOST(url)" -f -

exit status: 0 on success; 1 if an expression or a record failed, or a case
could not be read; 2 if a file could not be read or the options are invalid
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stellar eval`."""
    add = parser.add_argument
    add("expressions", nargs="*", metavar="EXPR", help="expression")
    add("-e", "--expression", metavar="EXPR", action="append", default=[], help="expression; repeatable")
    add("--cases", metavar="FILE", help="file of cases; - is standard input")
    add("-f", "--file", metavar="FILE", help="file of records; - is standard input")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--registry", metavar="DIR", help="directory with the registry of models")
    models.add_argument("-z", "--zookeeper", metavar="HOST:PORT,...", help="ZooKeeper with the registry of models")


def run(options: argparse.Namespace) -> int:
    """Print the values, of each expression or per record, and return the exit status."""
    sources = [decode_argument(source) for source in (*options.expressions, *options.expression)]
    if options.expressions and options.expression:
        raise UsageError("pass expressions either as arguments or with -e, so that their order is known")
    if not sources and options.cases is None:
        raise UsageError("nothing to evaluate; pass an expression, or cases with --cases")
    if options.cases is not None and (sources or options.file is not None):
        raise UsageError("--cases excludes expressions and -f; cases have their own expressions and variables")
    with command_cache("stellar eval"), _open_context(options, sources) as context:
        if options.cases is not None:
            evaluate = partial(_evaluate_case, context, options)
            return _print_each("case", options.cases, [evaluate], _format_failed_case, options)
        return _evaluate_sources(sources, context, options)


def _evaluate_sources(sources: list[str], context: Context, options: argparse.Namespace) -> int:
    try:
        expressions = [Expression(source, shell_library()) for source in sources]
    except StellarError as error:
        print_error(str(error), error, options)
        return FAILED
    if options.file is None:
        return max(_print_value(expression, context, options) for expression in expressions)
    from stellar.cli.parquet import is_parquet, print_rows  # most expressions are evaluated without a file

    if is_parquet(options.file):
        return print_rows(options.file, expressions, context, options)
    evaluations = [partial(_evaluate_record, expression, context) for expression in expressions]
    return _print_each("record", options.file, evaluations, _format_null, options)


def _print_value(expression: Expression, context: Context, options: argparse.Namespace) -> int:
    try:
        print(_evaluate(expression, context, {}))
    except (StellarError, ValueError) as error:
        print_error(str(error), error, options)
        return FAILED
    return OK


Evaluate = Callable[[dict[str, Any]], str]


def _print_each(
    noun: str,
    file: str,
    evaluations: Sequence[Evaluate],
    format_failure: Callable[[dict[str, Any], Exception], str],
    options: argparse.Namespace,
) -> int:
    """Print the results for each object of a file of JSON lines, and report the errors; return the exit status."""
    status, count = OK, 0
    for number, line in read_lines(file):
        if not line.strip():
            continue
        count += 1
        location = f"{noun} {count}" if count == number else f"{noun} {count}, on line {number}"
        for result, error in _evaluate_line(line, evaluations, format_failure):
            if error is not None:
                print_error(f"{location}: {error}", error, options)
                status = FAILED
            # A producer at standard input may wait for the result
            print(result, flush=file == STANDARD_INPUT)
    return status


def _evaluate_line(
    line: bytes, evaluations: Sequence[Evaluate], format_failure: Callable[[dict[str, Any], Exception], str]
) -> Iterator[tuple[str, Exception | None]]:
    """Yield the result of each evaluation for the JSON object on a line, and its error if it failed."""
    try:
        record = _parse_object(line)
    except ValueError as error:
        results = [format_failure({}, error) for _ in evaluations]
        yield from zip(results, [error, *[None] * len(results)], strict=False)  # the error is reported once
        return
    for evaluate in evaluations:
        try:
            yield evaluate(record), None
        except (StellarError, ValueError) as error:
            yield format_failure(record, error), error


def _evaluate_record(expression: Expression, context: Context, record: dict[str, Any]) -> str:
    return _evaluate(expression, context, {name: decode(value) for name, value in record.items()})


def _evaluate(expression: Expression, context: Context, record: dict[str, Any]) -> str:
    return to_json(expression(record, context))


def _evaluate_case(context: Context, options: argparse.Namespace, case: dict[str, Any]) -> str:
    if not isinstance(source := case.get("expr"), str):
        raise ValueError(f"expected a string as expr of a case, got {json.dumps(source)}")
    if not isinstance(variables := decode(case.get("vars") or {}), dict):
        raise ValueError(f"expected an object as vars of a case, got {json.dumps(case['vars'])}")
    try:
        expression = Expression(source, shell_library(), unknown_functions="when_reached")
        return to_json({"id": case.get("id"), "ok": True, "value": expression(variables, context)})
    except (StellarError, ValueError) as error:
        if options.debug:
            traceback.print_exception(error)
        return _format_failed_case(case, error)


def _format_null(_record: dict[str, Any], _error: Exception) -> str:
    return "null"


def _format_failed_case(case: dict[str, Any], error: Exception) -> str:
    return to_json({"id": case.get("id"), "ok": False, "error": str(error)})


def _parse_object(line: bytes) -> dict[str, Any]:
    """Parse the JSON object on a line. Raise ValueError for anything else."""
    text = decode_line(line).rstrip()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise ValueError(f"invalid JSON: {problem} at column {error.colno}") from error
    except ValueError as error:
        raise ValueError(f"invalid JSON: a number has more than {sys.get_int_max_str_digits()} digits") from error
    except RecursionError:
        raise ValueError("invalid JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError('expected a JSON object on each line, such as {"bytes": 1}')
    return value


@contextmanager
def _open_context(options: argparse.Namespace, sources: list[str]) -> Iterator[Context]:
    directory, zookeeper = options.registry, options.zookeeper
    if directory is None and zookeeper is None and (directory := _find_default_registry(sources)) is None:
        yield NOTHING
        return
    from stellar.maas import ModelClient, Registry
    from stellar.maas.registries.open import open_registry
    from stellar.util.slow_waits import announce_zookeeper

    try:
        with announce_zookeeper(zookeeper):
            registry = open_registry(directory, zookeeper)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with registry, ModelClient(registry) as client:
        yield Context({Registry: registry, ModelClient: client})


def _find_default_registry(sources: list[str]) -> Path | None:
    """Return the default registry, if it exists and expressions call models, as that loads an HTTP client.

    sources: the expressions; empty for cases, which may call models
    """
    if sources and not any("MAAS_" in source for source in sources):
        return None
    from stellar.maas.default_location import find_default_registry

    return find_default_registry()
