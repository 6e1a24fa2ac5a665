"""Inline forms of functions: compiled code has the values and the errors of the functions."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY
from stellar.functions.hashing import _is_allowed
from stellar.language.compiler.link import python_source
from stellar.language.expression import Expression
from stellar.language.inline import Inline, Prepared
from stellar.language.library import UNKNOWN, Library
from stellar.language.parser import parse


class Name(str):
    __slots__ = ()


# Of each class that a form or a guard distinguishes, with values at the edges of conditions
VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    3,
    -1,
    2**70,
    1.0,
    float("nan"),
    "",
    "a",
    " a,b\tc ",
    "é\xa0",
    "a\r",
    "\ud800",
    "k" * 1100,
    Name("ab"),
    [],
    ["a", None, 1],
    ("a",),
    {},
    {"a": 1, "k": None},
    {"ab"},
    b"ab",
    1j,
]
# Values of further arguments
FEW_VALUES: list[Any] = [None, True, 0, 1, -1, 2**70, 1.0, "", "a", ["a"], {"a": 1}, 1j]
# Literals by which calls are prepared
PREPARED = [
    *(f"SPLIT(a, {delimiter})" for delimiter in ("','", "'ab'", "''", "null", "1")),
    "SPLIT(a, ',', b)",
    *(f"REGEXP_MATCH(a, {pattern})" for pattern in ("'.*'", "'[a-z]+.*'", "'(a+)+'", "'('", "null", "['a', '']")),
    *(f"REGEXP_GROUP_VAL(a, '{pattern}', {group})" for pattern in ("(a)(.*)", "a", "(") for group in (0, 1, 2, -1)),
    *(f"HASH(a, '{name}')" for name in ("MD5", "sha-256", "MD2", "CRC")),
    "HASH(a, 'MD5', b)",
    *(f"FORMAT('{pattern}', a)" for pattern in ("%s", "%d", "%-3s|", "%.1f", "%%", "%q")),
    *(f"FORMAT('{pattern}', a, b)" for pattern in ("%s-%d", "%2$s", "%d %d", "%s")),
    "SUBSTRING(a, 1)",
    "SUBSTRING(a, 0, 1)",
    "SUBSTRING(a, 2, 1)",
    "MAP_GET('a', a, 'd')",
    "MAP_GET(a, {'a' : 1}, 'd')",
    "MAP_GET(a, {'a' : b}, 'd')",
    "MAP_GET(a, b, c)",
    "MAP_GET('a', ['a'])",
    "GET(['a', 'b'], a)",
    "GET(a, 1)",
    "GET([a], b)",
    "LENGTH('a')",
    "GET_FIRST(1 + 1)",
    "GET(1 + 1, a)",
    "LENGTH(1 + 1)",
    "GET([1, 2], 1 - 1)",
    "STARTS_WITH('ab', a)",
    "STARTS_WITH(1 + 1, a)",
    "LENGTH(SPLIT(a, ','))",
    "LENGTH({'a' : a})",
    "TO_UPPER(TRIM(TO_LOWER(a)))",
    "TO_UPPER(a) == 'A'",
    "TO_UPPER(a) != 'A'",
    "TO_UPPER(a) == null",
    "TO_UPPER(a) < 'B'",
    "TO_UPPER(a) == 1",
    "TO_LOWER(a) in ['a', 'ab']",
    "TO_LOWER(a) not in ['a', 'ab']",
    "TO_LOWER(a) in [1, 2]",
    "LENGTH(a) >= 2",
    "LENGTH(a) == 2.0",
    "LENGTH(a) != true",
    f"LENGTH(a) == {2**60}",
    "LENGTH(a) in [1, 3]",
    "LENGTH(TRIM(a)) in [1, 3]",
    "SUBSTRING(TRIM(a), 1)",
    "STARTS_WITH(TO_LOWER(a), 'a')",
    "TO_UPPER(REGEXP_GROUP_VAL(a, '(a).*', 1))",
    "GET_FIRST(SPLIT(a, ','))",
    "STARTS_WITH(TRIM(a), b)",
    "STARTS_WITH(a, TRIM(b))",
    "STARTS_WITH(a, 1 / 0)",
    "STARTS_WITH(a, null)",
    "TO_UPPER(a, b)",
    "MAP([a, b], x -> TO_UPPER(x))",
]


def outcome(expression: Expression, record: dict[str, Any], **options: Any) -> Any:
    try:
        return repr(expression.evaluate(record, **options))
    except stellar.EvaluationError as error:
        return error.message, error.span


def list_inline_functions() -> list[tuple[str, int]]:
    """Return name and number of arguments of the calls that have an inline form whatever their literals are."""
    return [(name, len(form.classes)) for name, function in LIBRARY.items() for form in function.inline]


CALLS = [f"{name}({', '.join('abc'[:count])})" for name, count in list_inline_functions()]


@pytest.mark.parametrize("source", [*CALLS, *PREPARED])
def test_inline_forms_and_functions_agree(source: str) -> None:
    fast, slow = Expression(source, LIBRARY), Expression(source, LIBRARY, fast=False)
    names = sorted(fast.variables)
    further = [FEW_VALUES if len(names) < 3 else FEW_VALUES[::2]] * (len(names) - 1)
    for chosen in product(*([VALUES, *further] if names else [])):
        record = dict(zip(names, chosen, strict=True))
        assert outcome(fast, record) == outcome(slow, record), record


@pytest.mark.parametrize("source", [*CALLS, *PREPARED])
@pytest.mark.parametrize("given", ["", "a", "b"])
def test_inline_forms_and_functions_agree_about_missing_fields(source: str, given: str) -> None:
    fast, slow = Expression(source, LIBRARY), Expression(source, LIBRARY, fast=False)
    record = dict.fromkeys(given, 1)
    assert outcome(fast, record, missing="error") == outcome(slow, record, missing="error")


@pytest.mark.parametrize("source", CALLS)
def test_calls_of_functions_with_inline_forms_are_inline(source: str) -> None:
    literals = source.replace("c)", "'c')")
    assert re.search(r" if .*\.__class__ is ", python_source(parse(literals), LIBRARY, literals))


def _repeat(string: str | None, times: int = 2) -> str | None:
    """Repeat a string."""
    return None if string is None else string * times


def library(*inline: Inline, **options: Any) -> Library:
    return Library.of(stellar.function("REPEAT", inline=inline, **options)(_repeat).__stellar__)  # type: ignore[attr-defined]


DOUBLE = Inline("string + string", {"string": str})


def test_the_form_with_the_number_of_arguments_is_used() -> None:
    functions = library(DOUBLE, Inline("f'{string * times}'", {"string": str, "times": int}))
    assert "v_s + v_s" in python_source(parse("REPEAT(s)"), functions, "REPEAT(s)")
    assert stellar.evaluate("REPEAT(s, 3)", {"s": "a"}, library=functions) == "aaa"


def test_a_form_for_literals_is_not_used_for_variables() -> None:
    functions = library(Inline("string * times", {"string": str, "times": None}))
    assert "v_s * 3" in python_source(parse("REPEAT(s, 3)"), functions, "REPEAT(s, 3)")
    assert "v_s *" not in python_source(parse("REPEAT(s, t)"), functions, "REPEAT(s, t)")


def test_an_unused_form_leaves_the_call() -> None:
    source = "REPEAT(1)"
    assert "1 + 1" not in python_source(parse(source), library(DOUBLE), source)


def test_an_error_of_an_inline_form_has_the_location_of_the_call() -> None:
    functions = library(Inline("string[times]", {"string": str, "times": int}))
    with pytest.raises(stellar.EvaluationError, match="string index out of range") as caught:
        stellar.evaluate("'x' == REPEAT(s, 7)", {"s": "a"}, library=functions)
    assert (caught.value.span.start, caught.value.span.end) == (7, 19)


def test_a_value_that_is_no_constant_is_bound_by_name() -> None:
    functions = library(Inline("table.get(string)", {"string": str}, values={"table": {"a": "b"}}))
    assert stellar.evaluate("REPEAT(s)", {"s": "a"}, library=functions) == "b"


def test_a_prepared_function_may_have_no_inline_form() -> None:
    functions = library(prepare=lambda string, times=UNKNOWN: Prepared(lambda s: f"{s}{times}"))
    assert stellar.evaluate("REPEAT(s, 3)", {"s": "a"}, library=functions) == "a3"


def test_a_hash_that_the_system_forbids_for_security_is_not_called_inline() -> None:
    def forbidden(_: bytes) -> None:
        raise ValueError("disabled for FIPS")

    assert not _is_allowed(forbidden)
