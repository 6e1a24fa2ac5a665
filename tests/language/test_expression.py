"""Tests of the Python interface of Expression."""

from __future__ import annotations

import copy
import functools
import gc
import linecache
import pickle
import subprocess
import sys
import threading
import traceback
import weakref
from collections import ChainMap, UserDict
from types import MappingProxyType

import pytest

import stellar
from stellar.functions import LIBRARY
from stellar.language import expression as expressions
from stellar.language import nodes as n
from stellar.language.context import Context
from stellar.language.errors import EvaluationError, ParseError, ResolutionError, StellarError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.maas.errors import ModelRefused
from stellar.util.version import VERSION


def test_an_expression_is_called_with_a_record():
    risky = stellar.compile("bytes > 1000 and method == 'POST'")
    assert risky({"bytes": 2048, "method": "POST"}) is True
    assert risky({}) is False
    assert risky.evaluate({"bytes": 1, "method": "POST"}) is False


@pytest.mark.parametrize("wrap", [UserDict, MappingProxyType, ChainMap, dict])
def test_a_record_is_any_mapping(wrap):
    expression = stellar.compile("a + b + REDUCE([1], (x, y) -> x + y + a, 0)")
    assert expression(wrap({"a": 1, "b": 2})) == 5
    assert stellar.compile("MAP_GET('a', _)")(wrap({"a": 1})) == 1


def test_variables_are_the_free_ones_and_functions_the_called_ones():
    expression = stellar.compile("MAP(l, x -> x + y) == [TO_UPPER(z)] and exists(w) and _ != v", library=LIBRARY)
    assert expression.variables == {"l", "y", "z", "w", "v", "_"}
    assert expression.functions == {"MAP", "TO_UPPER"}
    assert stellar.compile("1").variables == stellar.compile("x -> x").variables == frozenset()
    # Free in one occurrence, bound in another
    assert stellar.compile("[x, MAP(l, x -> x)]").variables == {"x", "l"}
    assert stellar.compile("(x, y) -> MAP(x, z -> y + z + w)").variables == {"w"}


def test_an_expression_has_its_source_and_shows_it_abbreviated():
    text = "a + 1 // the sum"
    assert stellar.compile(text).source == text
    assert repr(stellar.compile("a + 1")) == "<Expression 'a + 1'>"
    assert len(repr(stellar.compile(" + ".join(["a"] * 100)))) < 60


@pytest.mark.parametrize("blank", ["", " ", "\n\t \r\f"])
def test_an_empty_source_is_null_and_as_a_predicate_true(blank):
    assert stellar.compile(blank)({}) is None
    assert stellar.compile(blank).evaluate({}, missing="error") is None
    assert stellar.compile(blank, predicate=True)({}) is True
    assert stellar.evaluate(blank, {}) is None


def test_a_predicate_is_true_false_or_null():
    assert stellar.compile("x > 1", predicate=True)({"x": 2}) is True
    assert stellar.compile("x", predicate=True)({"x": False}) is False
    assert stellar.compile("x", predicate=True)({}) is None
    assert stellar.compile("[] == null", predicate=True)({}) is False


@pytest.mark.parametrize("value", [1, 0, "true", "", [], [1], {}, 1.0, b"", {1}])
def test_a_predicate_of_another_value_is_an_error(value):
    predicate = stellar.compile("x", predicate=True)
    with pytest.raises(EvaluationError, match="does not return a boolean value, but the ") as caught:
        predicate({"x": value})
    assert caught.value.span.start == 0


def test_a_missing_field_may_be_an_error():
    strict = stellar.compile("x + 1")
    assert strict.evaluate({"x": None}, missing="error") == 1
    with pytest.raises(EvaluationError, match="the record has no x") as caught:
        strict.evaluate({}, missing="error")
    assert isinstance(caught.value.__cause__, LookupError)
    assert strict.evaluate({}, missing="null") == 1
    # The second evaluation uses the compiled form
    assert strict.evaluate({"x": 1}, missing="error") == 2


def test_a_strict_evaluation_reports_only_missing_fields_that_are_read_outside_lambdas_and_exists():
    def strict(text, record):
        return stellar.compile(text).evaluate(record, missing="error")

    assert strict("exists(x)", {}) is False
    assert strict("exists(x) and x > 1", {}) is False
    assert strict("true or x", {}) is True
    assert strict("MAP([1], y -> x)", {}) == [None]
    assert strict("_ == null", {}) is False
    with pytest.raises(EvaluationError, match="no x"):
        strict("exists(x) or x", {})


def test_an_invalid_option_is_rejected():
    with pytest.raises(ValueError, match="invalid missing: expected 'null' or 'error', got 'zero'"):
        stellar.compile("x").evaluate({}, missing="zero")


def test_unknown_functions_are_reported_when_compiled_or_when_reached():
    with pytest.raises(ResolutionError, match="unknown function NOSUCH"):
        stellar.compile("true or NOSUCH()")
    lenient = stellar.compile("x or NOSUCH(y) or MAP_GET()", unknown_functions="when_reached")
    assert lenient.functions == {"NOSUCH", "MAP_GET"}
    assert lenient({"x": True}) is True
    with pytest.raises(EvaluationError, match="unknown function NOSUCH") as caught:
        lenient({})
    assert isinstance(caught.value.__cause__, LookupError)
    few = stellar.compile("MAP_GET()", unknown_functions="when_reached")
    with pytest.raises(EvaluationError, match="takes at least 2 arguments, not 0"):
        few({})


def test_errors_have_message_source_span_and_hint():
    with pytest.raises(StellarError) as caught:
        stellar.compile("1 + TO_UPER('a')")
    error = caught.value
    assert (error.message, error.source, error.hint) == (
        "unknown function TO_UPER",
        "1 + TO_UPER('a')",
        "did you mean TO_UPPER?",
    )
    assert error.source[error.span.start : error.span.end] == "TO_UPER"


def test_an_error_has_its_cause_and_tracebacks_show_the_stellar_source():
    expression = stellar.compile("1 +\n  (x /\n   y)")
    with pytest.raises(EvaluationError) as caught:
        expression({"x": 1, "y": 0})
    assert isinstance(caught.value.__cause__, ValueError)
    shown = "".join(traceback.format_exception(caught.value))
    assert "(x /" in shown
    assert 'File "<stellar ' in shown


def test_tracebacks_show_the_sources_of_a_limited_number_of_expressions():
    for number in range(expressions.MAX_TRACEBACK_SOURCES + 20):
        with pytest.raises(EvaluationError):
            Expression(f"1 / 0 + {number}", LIBRARY)({})
    shown = [name for name in linecache.cache if name.startswith("<stellar ")]
    assert len(shown) <= expressions.MAX_TRACEBACK_SOURCES
    with pytest.raises(EvaluationError):  # the same source is stored once
        Expression(f"1 / 0 + {number}", LIBRARY)({})
    assert len([name for name in linecache.cache if name.startswith("<stellar ")]) == len(shown)
    linecache.checkcache()


def test_the_message_of_a_nested_expression_is_preserved():
    def inner(source: str) -> object:
        """Evaluate a source."""
        return Expression(source, LIBRARY)({})

    library = Library.of(LIBRARY, stellar.function("EVALUATE")(inner))
    with pytest.raises(EvaluationError) as caught:
        Expression("1 + EVALUATE('1 / 0')", library)({})
    assert (caught.value.message, caught.value.source) == ("division by zero", "1 + EVALUATE('1 / 0')")
    assert caught.value.source[caught.value.span.start : caught.value.span.end] == "EVALUATE('1 / 0')"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("the sun is down"), "the sun is down"),
        (LookupError("there is no sun"), "there is no sun"),
        (FileNotFoundError(2, "No such file or directory", "sun.csv"), "No such file or directory: 'sun.csv'"),
        (ModelRefused("the model refuses"), "the model refuses"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "'utf-8' codec can't decode"),
        (ValueError(), "ValueError"),
        # For exceptions that are bugs of the function the class is part of the message
        (KeyError("sun"), "KeyError: 'sun'"),
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        (TypeError("unhashable"), "TypeError: unhashable"),
        (ZeroDivisionError("out of order"), "ZeroDivisionError: out of order"),
    ],
)
def test_the_exception_of_a_function_becomes_the_message(error, message):
    @stellar.function("REFUSE")
    def refuse() -> None:
        """Raise the error."""
        raise error

    with pytest.raises(EvaluationError) as caught:
        Expression("1 + REFUSE()", Library.of(refuse))({})
    assert message in caught.value.message
    assert caught.value.__cause__ is error


def test_a_keyboard_interrupt_is_not_converted():
    @stellar.function("INTERRUPT")
    def interrupt() -> None:
        """Raise KeyboardInterrupt."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Expression("INTERRUPT()", Library.of(interrupt))({})


def test_functions_get_the_services_of_the_context():
    @stellar.function("GREETING")
    def greeting(context: Context, name: str) -> str:
        """A greeting."""
        return f"{context[str]} {name}"

    expression = Expression("GREETING('Bob')", Library.of(greeting))
    assert expression({}, Context({str: "hello"})) == "hello Bob"
    assert expression.evaluate({}, Context({str: "hi"})) == "hi Bob"
    with pytest.raises(EvaluationError, match="no str configured; add one to the context"):
        expression({})


def test_the_last_500_sources_are_cached():
    expressions._compile_cached.cache_clear()
    for number in range(600):
        assert stellar.evaluate(f"x + {number}", {"x": 1}) == number + 1
    assert expressions._compile_cached.cache_info().currsize == 500
    stellar.evaluate("x + 599", {})
    assert expressions._compile_cached.cache_info().hits == 1
    with pytest.raises(ParseError):
        stellar.evaluate("x +", {})
    assert expressions._compile_cached.cache_info().currsize == 500


def test_evaluate_accepts_a_context_and_a_library():
    @stellar.function("SERVICE")
    def service(context: Context) -> int:
        """The number."""
        return context[int]

    library = Library.of(service)
    assert stellar.evaluate("SERVICE() + x", {"x": 1}, Context({int: 5}), library=library) == 6
    with pytest.raises(ResolutionError):
        stellar.evaluate("SERVICE()", {})
    with pytest.raises(ResolutionError):  # an empty library is valid
        stellar.evaluate("TO_UPPER('a')", {}, library=Library())
    with pytest.raises(ResolutionError):
        stellar.compile("TO_UPPER('a')", library=Library())


def test_threads_share_an_expression():
    expression = stellar.compile("REDUCE(MAP(l, x -> x * n), (a, b) -> a + b, 0) + n / d")
    unexpected: list[object] = []

    def work(number: int) -> None:
        for _ in range(300):
            if expression({"l": list(range(20)), "n": number, "d": 1}) != 190 * number + number:
                unexpected.append(number)
            try:
                expression({"l": [number], "n": number, "d": 0})
            except EvaluationError as error:
                if f"n is {number}" not in str(error):
                    unexpected.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []


def test_an_unused_expression_is_freed():
    expression = Expression("MAP(l, x -> x + y)", Library.of(LIBRARY))
    expression.evaluate({"l": [1], "y": 2}, missing="error")
    gone = weakref.ref(expression)
    del expression
    gc.collect()
    assert gone() is None


def run(code: str, *options: str) -> str:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_without_debug_ranges_the_span_is_the_whole_source():
    code = """
import stellar
try:
    stellar.evaluate("1 +\\n x / y", {"x": 1, "y": 0})
except stellar.EvaluationError as error:
    print(error.message, error.span)
    str(error)
"""
    assert run(code, "-X", "no_debug_ranges") == "division by zero Span(start=0, end=10)\n"
    assert run(code) == "division by zero Span(start=5, end=10)\n"


def test_an_error_in_code_without_columns_has_its_message():
    expression = stellar.compile("1 + x / y")
    function = expression.func
    # As `-X no_debug_ranges` compiles it: entries of kind 13, a line without columns, for eight instructions each
    length = len(function.__code__.co_code) // 2
    entries = (bytes([0x80 | 13 << 3 | min(8, length - start) - 1, 0]) for start in range(0, length, 8))
    function.__code__ = function.__code__.replace(co_linetable=b"".join(entries))
    with pytest.raises(EvaluationError, match="division by zero") as caught:
        expression({"x": 1, "y": 0})
    assert (caught.value.span.start, caught.value.span.end) == (0, 9)


def test_an_expression_has_a_tree():
    assert stellar.compile("x + 1").tree == n.Arithmetic("+", n.Variable("x"), n.Literal(1))


def test_the_view_of_all_fields_has_a_repr_and_can_be_pickled():
    fields = stellar.compile("_")({"a": 1, "b": None})
    assert repr(fields) == "{'a': 1, 'b': None}"
    assert dict(pickle.loads(pickle.dumps(fields))) == dict(fields) == {"a": 1, "b": None}


def test_importing_stellar_loads_only_the_language():
    heavy = "httpx pydantic regex lark prompt_toolkit cachetools stellar.functions stellar.maas stellar.pipeline"
    code = f"import sys, stellar; stellar.compile; print([name for name in {heavy.split()} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_the_public_names_of_stellar_can_be_imported():
    assert set(stellar.__all__) <= {*dir(stellar), *vars(stellar), *stellar.__all__}
    for name in stellar.__all__:
        assert getattr(stellar, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stellar.nothing  # noqa: B018


def test_an_expression_without_fields_needs_no_record():
    assert stellar.evaluate("1 + 1") == 2
    assert stellar.evaluate("a") is None


@pytest.mark.parametrize("call", [stellar.compile, lambda source: stellar.evaluate(source, {})])
@pytest.mark.parametrize(
    ("source", "found"),
    [
        (None, "None"),
        (b"1", "an object of type bytes; decode it first, as in source.decode()"),
        (["a"], "an object of type list"),
    ],
)
def test_a_source_of_another_type_is_rejected(call, source, found):
    with pytest.raises(TypeError) as caught:
        call(source)
    assert str(caught.value) == f"expected a str as source of an expression, got {found}"


@pytest.mark.parametrize(
    ("record", "found"),
    [(5, "an object of type int"), (None, "None"), ([("a", 1)], "an object of type list")],
)
def test_a_record_of_another_type_is_rejected(record, found):
    problem = f"expected a mapping of field names to values as record, such as a dict, got {found}"
    for call in (stellar.compile("a"), stellar.compile("a + 1").evaluate):
        with pytest.raises(TypeError) as caught:
            call(record)
        assert str(caught.value) == problem
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("no host named a"), "no host named a"),
        (KeyError("a"), "KeyError: 'a'"),
        (KeyError(), "KeyError: "),
    ],
)
def test_the_text_of_a_key_error_of_a_function_is_shown(error, message):
    @stellar.function("FAIL")
    def fail(value: object) -> None:
        raise error

    with pytest.raises(EvaluationError) as caught:
        stellar.evaluate("FAIL(1)", library=Library.of(fail))
    assert caught.value.message == message


def test_representations_are_short():
    assert repr(LIBRARY) == f"<LazyLibrary stellar.functions:LIBRARY of {len(LIBRARY)} functions>"
    assert repr(Library.of(LIBRARY["TRIM"])) == "<Library of 1 functions>"
    assert repr(LIBRARY["TRIM"]) == "<Function TRIM>"
    assert repr(Context()) == "<Context with no services>"
    assert repr(Context({dict: {"secret": 1}, str: "secret"})) == "<Context with dict, str>"


def test_the_version_is_that_of_the_distribution():
    assert stellar.__version__ == VERSION


def test_the_location_of_a_failure_is_decoded_once(monkeypatch):
    decoded = []
    decode = expressions._decode_span
    monkeypatch.setattr(expressions, "_decode_span", lambda *arguments: decoded.append(arguments) or decode(*arguments))
    expression = stellar.compile("x / y + 1 / z")
    spans = [span_of_failure(expression, record) for record in ({"x": 1}, {"x": 2}, {"x": 1, "y": 1})]
    assert [(span.start, span.end) for span in spans] == [(0, 5), (0, 5), (8, 13)]
    assert len(decoded) == 2


def test_the_location_of_a_failure_of_code_that_is_gone_is_not_used():
    expression = stellar.compile("x / 0")
    span = span_of_failure(expression, {"x": 1})
    [key] = [key for key, (code, _) in expressions._spans.items() if code() is expression.func.__code__]
    expressions._spans[key] = (lambda: None), None  # as if the id of other code were reused
    assert span_of_failure(expression, {"x": 1}) == span


def test_the_number_of_known_locations_is_bounded(monkeypatch):
    monkeypatch.setattr(expressions, "MAX_SPANS", 2)
    monkeypatch.setattr(expressions, "_spans", {})
    for number in range(5):
        span_of_failure(stellar.compile(f"{number} / 0 + x"), {})
        assert 0 < len(expressions._spans) <= 2


def span_of_failure(expression, record):
    with pytest.raises(EvaluationError) as raised:
        expression(record)
    return raised.value.span


def test_an_expression_that_is_an_attribute_of_a_class_is_not_a_method():
    class Rules:
        risky = stellar.compile("x > 1")

    assert Rules().risky is Rules.risky
    assert Rules().risky({"x": 2}) is True


def test_a_partial_of_an_expression_is_called_like_the_expression():
    expression = stellar.compile("x + 1")
    assert functools.partial(expression, {"x": 1})() == 2
    assert (expression.args, expression.keywords) == ((), {})


def test_two_expressions_of_the_same_source_differ():
    expression = stellar.compile("x")
    assert expression != stellar.compile("x")
    assert {expression: 1}[expression] == 1


def test_a_copy_of_an_expression_is_compiled_again():
    expression = stellar.compile("x > 1", predicate=True)
    copied = copy.copy(expression)
    assert (copied.source, copied.predicate, copied({"x": 2})) == ("x > 1", True, True)
    assert copied.func is not expression.func
