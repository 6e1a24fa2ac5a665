"""Tests of Expression.map: the compiled loop has the values and the errors of single calls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, product
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY
from stellar.language import expression as expressions
from stellar.language.compiler import link
from stellar.language.context import Context
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.language.limits import EvaluationLimits

SOURCES = [
    "",
    "x",
    "_",
    "exists(x) and x > 1",
    "x > 1 and y == 'a' or x + y == 3",
    "1 + 2 * x - y / 3",
    "if x == 1 then y else x",
    "match { x == 1 => 'a', x == 2 => y, x == 'k' => 1 / 0, x in ['a'] => 'b', default => x }",
    "x in ['a', 'b'] or y in x",
    "MAP(FILTER(x, v -> v > 1), v -> v * y)",
    "MAP([1, 2], v -> v + x)",
    "REDUCE([1, 2], (sum, v) -> sum + v, x)",
    "[v -> x]",
    "TO_UPPER(TRIM(x))",
    "MAP_GET(x, {'a' : 1}, y)",
    "FORMAT('%s-%d', x, y)",
    "TO_INTEGER(x) / y",
    " +\n ".join(["x"] * 40),
]
VALUES: list[Any] = [None, True, 0, 1, 2, 2.5, "a", "k", [1, 2, 3], ["b", None], {"a": 1}, 1j]
RECORDS: list[dict[str, Any]] = [{}, *({"x": x, "y": y} for x, y in product(VALUES, repeat=2))]


@pytest.fixture(params=[0, 10**9], ids=["loop", "calls"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile a loop for any number of records, or for none."""
    monkeypatch.setattr(expressions, "FEWEST_FOR_LOOP", request.param)


def describe(result: Any) -> Any:
    if isinstance(result, stellar.EvaluationError):
        return result.message, result.span, str(result), type(result.__cause__)
    if isinstance(result, list) and result and callable(result[0]):
        return [result[0]()]
    return repr(result)


def call(expression: Expression, record: dict[str, Any]) -> Any:
    try:
        return expression(record)
    except stellar.EvaluationError as error:
        return error


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("predicate", [False, True])
@pytest.mark.parametrize("source", SOURCES)
def test_the_values_and_errors_are_those_of_calls(source: str, predicate: bool) -> None:
    expression = Expression(source, LIBRARY, predicate=predicate)
    mapped = list(expression.map(RECORDS, failures="yield"))
    for record, result in zip(RECORDS, mapped, strict=True):
        assert describe(result) == describe(call(expression, record)), record


@pytest.mark.usefixtures("form")
def test_an_error_ends_the_stream_in_the_position_of_its_record() -> None:
    values = stellar.compile("1 / n").map([{"n": 1}, {"n": 0}, {"n": 1}])
    assert next(values) == 1
    with pytest.raises(stellar.EvaluationError, match="division by zero") as caught:
        next(values)
    assert str(caught.value).endswith("hint: n is 0")
    assert isinstance(caught.value.__cause__, ValueError)
    assert list(values) == []


@pytest.mark.usefixtures("form")
def test_records_are_read_as_values_are_requested() -> None:
    read: list[int] = []

    def records() -> Iterator[dict[str, int]]:
        for number in count():
            read.append(number)
            yield {"n": number}

    values = stellar.compile("n * 2").map(records())
    assert read == []
    assert [next(values), next(values)] == [0, 2]
    assert read == [0, 1]
    values.close()
    assert list(values) == []


@pytest.mark.usefixtures("form")
def test_what_are_no_records_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        stellar.compile("n").map(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a mapping of field names"):
        list(stellar.compile("n").map([5], failures="yield"))  # type: ignore[list-item]


@pytest.mark.usefixtures("form")
def test_functions_receive_the_context() -> None:
    @stellar.function("SERVICE")
    def service(context: Context) -> str:
        """Return the service."""
        return context[str]

    expression = stellar.compile("SERVICE()", library=Library.of(service))
    assert list(expression.map([{}], Context({str: "here"}))) == ["here"]


@pytest.mark.usefixtures("form")
def test_the_limits_of_an_expression_apply() -> None:
    limits = EvaluationLimits(characters=65_536)
    expression = stellar.compile("FILL_LEFT('', ' ', n)", limits=limits)
    fits, fails = expression.map([{"n": 65_536}, {"n": 65_537}], failures="yield")
    assert len(fits) == 65_536
    assert "more than 65,536 characters" in fails.message


@pytest.mark.usefixtures("form")
def test_invalid_failures_are_rejected() -> None:
    with pytest.raises(ValueError, match="'raise' or 'yield', got 'skip'"):
        stellar.compile("n").map([], failures="skip")  # type: ignore[arg-type]


def test_the_loop_is_compiled_once_for_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_loop = link.compile_loop
    monkeypatch.setattr(
        link, "compile_loop", lambda *args, **options: compiled.append("loop") or compile_loop(*args, **options)
    )
    for expression in (stellar.compile("n"), stellar.compile("n -> n")):
        compiled.clear()
        assert len(list(expression.map([{}] * 999))) == 999
        assert compiled == []
        assert len(list(expression.map([{}] * 1000))) == len(list(expression.map(iter([{}] * 1000)))) == 1000
        assert compiled == ["loop"]


def test_an_expression_that_nests_too_deep_for_a_loop_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(expressions, "FEWEST_FOR_LOOP", 0)
    monkeypatch.setattr(link, "compile_loop", fail)
    assert list(stellar.compile("n").map(iter([{"n": 1}]))) == [1]


def test_comprehensions_nest_as_deep_in_a_loop_as_python_allows() -> None:
    source = "MAP(l, p -> " * 30 + "1" + ")" * 30
    nested: Any = 1
    for _ in range(30):
        nested = [nested]
    assert list(stellar.compile(source).map(iter([{"l": [0]}]))) == [nested]


def test_a_subclass_that_adds_to_a_call_is_called(form: None) -> None:
    class Doubled(Expression):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return 2 * super().__call__(*arguments, **options)

    assert list(Doubled("n", LIBRARY).map([{"n": 2}])) == [4]
