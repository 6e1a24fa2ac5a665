"""Values in columns are those of the compiled expression, for generated expressions over generated columns."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from stellar.columns import RecordColumns, evaluate_all
from stellar.columns.evaluation import are_same
from stellar.language.errors import EvaluationError, StellarError
from stellar.language.expression import compile as compile_expression

SEEDS, TABLES, EXPRESSIONS, ROWS = 4, 12, 60, 40

VALUES: dict[str, tuple[Any, ...]] = {
    "i": (0, 1, -1, 2, 7, -7, 22, 1024),
    "big": (0, 2**63 - 1, -(2**63), 2**62, -(2**53) - 1, 2**53 + 1, -1, 3),
    "f": (0.0, -0.0, 1.0, 2.5, -7.25, 0.1, 5.3, 1e308, 5e-324, math.inf, -math.inf, math.nan, float(2**53)),
    "s": ("", "a", "A", "ab", "abc", "true", "no", "é", "ß", "İ", " x ", "\x00y\x1f", "1", "😀", "\u00a0z", "ǆ"),
    "t": ("", "b", "bc", "a", "x", "yes"),
    "u": (True, False),
    "mixed": (1, 1.0, True, "1", None, [1], {"k": 1}, 2**80),
    "list": ([], [1], ["a", None]),
    "empty": (None,),
}
LITERALS = (
    "0", "1", "-1", "2", "22", "1024", "9223372036854775807", "9223372036854775808",
    "0.0", "2.5", "3.0", "0.1", "49.0", "1e300", "NaN",
    "''", "'a'", "'ab'", "'é'", "true", "false", "null",
)  # fmt: skip
NAMES = (*VALUES, "missing")


def make_expression(rnd: random.Random, depth: int) -> str:
    if depth == 0 or rnd.random() < 0.15:
        return rnd.choice(NAMES) if rnd.random() < 0.7 else rnd.choice(LITERALS)
    make = lambda: make_expression(rnd, depth - 1)  # noqa: E731
    match rnd.randrange(13):
        case 0 | 1:
            return f"({make()} {rnd.choice('+-*/')} {make()})"
        case 2 | 3:
            return f"({make()} {rnd.choice(('==', '!=', '<', '<=', '>', '>='))} {make()})"
        case 4:
            operator = rnd.choice((" and ", " or "))
            return f"({operator.join(make() for _ in range(rnd.randint(2, 4)))})"
        case 5:
            return f"(not({make()}))"
        case 6:
            return f"(if {make()} then {make()} else {make()})"
        case 7:
            return f"exists({rnd.choice(NAMES)})"
        case 8:
            items = ", ".join(rnd.choice(LITERALS) for _ in range(rnd.randint(0, 4)))
            return f"({make()} {rnd.choice(('in', 'not in'))} [{items}])"
        case 9:
            return f"({make()} {rnd.choice(('in', 'not in'))} {make()})"
        case 10:
            return f"(-{make()})"
        case 11:
            return f"match {{ {make()} => {make()}, {make()} => {make()}, default => {make()} }}"
    if rnd.random() < 0.4:
        field = rnd.choice(NAMES)
        return rnd.choice(
            (
                f"REGEXP_MATCH({field}, '[a-c]+')",
                f"TO_INTEGER({field})",
                f"SUBSTRING({field}, 0, 2)",
                f"IS_IP({field})",
                f"SPLIT({field}, 'b')",
                f"ABS({field} / 2)",
                f"GET_FIRST(MAP([1, 2], x -> x + {field}))",
                f"TO_UPPER(JOIN([{field}, 'x'], '-'))",
            )
        )
    name = rnd.choice(
        ("TO_UPPER", "TO_LOWER", "TRIM", "LENGTH", "IS_EMPTY", "TO_STRING", "STARTS_WITH", "ENDS_WITH", "ABS")
    )
    return f"{name}({make()}, {make()})" if name.endswith("WITH") else f"{name}({make()})"


def make_table(rnd: random.Random) -> list[dict[str, Any]]:
    """Return records; of some columns, a part of the values, and without nulls."""
    columns = {}
    for name, values in VALUES.items():
        chosen = rnd.sample(values, rnd.randint(1, len(values)))
        nulls = rnd.choice((0, 0, 0.3))
        columns[name] = [None if rnd.random() < nulls else rnd.choice(chosen) for _ in range(ROWS)]
    return [{name: values[row] for name, values in columns.items()} for row in range(ROWS)]


def evaluate_record(source: str, record: dict[str, Any]) -> tuple[Any, str | None]:
    expression = compile_expression(source)
    try:
        return expression.evaluate({name: value for name, value in record.items() if value is not None}), None
    except EvaluationError as error:
        return None, str(error)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_columns_have_the_values_and_the_errors_of_records(seed: int) -> None:
    rnd = random.Random(seed)
    in_columns = evaluated = 0
    for _ in range(TABLES):
        records = make_table(rnd)
        table = RecordColumns.from_records(records)
        sources = [source for _ in range(EXPRESSIONS) if is_valid(source := make_expression(rnd, rnd.randint(1, 4)))]
        results = evaluate_all(table, dict(zip(sources, sources, strict=True)), sample=0)
        for source, result in results.items():
            evaluated += result.evaluated
            in_columns += ROWS - result.evaluated
            for row, record in enumerate(records):
                expected, error = evaluate_record(source, record)
                failure = result.failures.get(row)
                assert error == (None if failure is None else str(failure)), (source, record)
                assert are_same(result.values[row], expected), (source, record, result.values[row], expected)
    assert in_columns > evaluated / 3  # else the comparison proves nothing


def is_valid(source: str) -> bool:
    try:
        compile_expression(source)
    except StellarError:  # such as a name where a value must be
        return False
    return True
