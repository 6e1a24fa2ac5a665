"""Evaluation of expressions for the rows of a Parquet file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stellar.cli.reading import FAILED, OK, STANDARD_INPUT, UsageError, print_error
from stellar.language.context import Context
from stellar.language.expression import Expression
from stellar.language.tagged_json import to_json

_MAGIC = b"PAR1"


def is_parquet(name: str) -> bool:
    """Return True for a Parquet file by its first bytes; False for a file that cannot be read."""
    if name == STANDARD_INPUT:
        return False
    try:
        with open(name, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:  # reported where the lines are read
        return False


def print_rows(name: str, expressions: Sequence[Expression], context: Context, options: argparse.Namespace) -> int:
    """Print the value of each expression for each row, and report the errors; return the exit status.

    Raises UsageError if the file cannot be read.
    """
    try:
        from stellar.columns import evaluate_all, read_records  # loads Polars, which is slow

        records = read_records(name)
    except (OSError, LookupError, ValueError) as error:
        raise UsageError(str(error)) from error
    results = evaluate_all(records, {str(index): each for index, each in enumerate(expressions)}, context).values()
    status = OK
    for row, values in enumerate(zip(*(result.values.to_list() for result in results), strict=True)):
        for value, result in zip(values, results, strict=True):
            if (failure := result.failures.get(row)) is not None:
                print_error(f"record {row + 1}: {failure}", failure, options)
                status = FAILED
            print(to_json(value))
    return status
