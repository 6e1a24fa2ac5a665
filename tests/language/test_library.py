"""Tests of function declarations, libraries and contexts."""

from __future__ import annotations

import threading
import time
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Optional, Union

import pytest

import stellar as stellar_package
from stellar.functions import LIBRARY, strings
from stellar.language.context import NOTHING, Context, GlobalSettings
from stellar.language.errors import ConfigError, EvaluationError, ResolutionError
from stellar.language.expression import Expression
from stellar.language.library import UNKNOWN, Function, Kind, Library, Written, kind, read_help, stellar


@stellar("SHOUT")
def shout(text: str | None, mark: str = "!", *more: str) -> str | None:
    """A string in
    uppercase.

    It is loud.

    text: The string
        to shout
    mark: The last characters
    returns: The loud string; null for null

        SHOUT('a')  // 'A!'

        SHOUT('a', '?')  // 'A?'

    Rarely needed.
    """
    return None if text is None else text.upper() + mark + "".join(more)


@stellar("ID", surplus="refuse")
def identity(value_: Any) -> Any:
    """Return the argument."""
    return value_


@stellar("ID")
def other_identity(value: object) -> list[object]:
    """Return a list of the argument."""
    return [value]


@stellar("WITH_CONTEXT")
def with_context(context: Context, name: str) -> str:
    """Return a greeting."""
    return f"{context[str]} {name}"


def test_function_is_the_same_decorator_as_stellar():
    assert stellar_package.function is stellar_package.stellar is stellar


def test_a_declared_function_is_returned_unchanged():
    assert shout("a") == "A!"
    assert shout.__stellar__.implementation is shout


@pytest.mark.parametrize("options", [{"surplus": "drop"}, {"comprehension": "reduce"}])
def test_invalid_options_of_a_declaration_are_rejected(options):
    with pytest.raises(ValueError, match=r"invalid (surplus|comprehension): expected '.*', got '"):
        stellar("F", **options)


def test_usage_shows_optional_and_repeated_parameters():
    library = Library.of(shout, identity, with_context)
    assert library["SHOUT"].usage == "SHOUT(text, mark?, more...)"
    assert library["ID"].usage == "ID(value)"
    assert library["WITH_CONTEXT"].usage == "WITH_CONTEXT(name)"
    assert [(f.required, f.most) for f in library.values()] == [(1, None), (1, 1), (1, 1)]
    assert library["SHOUT"].family == "test_library"


def test_help_has_the_sections_of_the_docstring():
    function = Library.of(shout)["SHOUT"]
    assert function.help.summary == "A string in uppercase."
    assert function.help.details == "It is loud.\n\nRarely needed."
    assert function.help.parameters == {"text": "The string to shout", "mark": "The last characters"}
    assert function.help.returns == "The loud string; null for null"
    assert function.help.examples == "SHOUT('a')  // 'A!'\n\nSHOUT('a', '?')  // 'A?'"
    assert [(p.name, p.description, p.optional, p.repeated) for p in function.parameters] == [
        ("text", "The string to shout", False, False),
        ("mark", "The last characters", True, False),
        ("more", "", True, True),
    ]
    assert read_help("") == read_help("\n") == type(function.help)("", "", {}, "", "")


@pytest.mark.parametrize(
    ("annotation", "accepted", "rejected", "noun"),
    [
        (str, ["", "a"], [None, 1, b"a", ["a"]], "a string"),
        (str | None, ["", None], [1], "a string"),
        (Optional[int], [1, None], [True, 1.0, "1"], "an integer"),  # noqa: UP045
        (Union[int, str], [1, "a"], [None, True], "an integer or a string"),  # noqa: UP007
        (float, [1.0, 1], [True, "1"], "a number"),
        (bool, [True, False], [1, 0, None], "a boolean"),
        (bytes, [b""], ["a"], "bytes"),
        (list[str], [[], [1]], [(), "a", {1}], "a list"),
        (set[int], [set()], [[], frozenset()], "a set"),
        (dict[str, int], [{}], [[], "a"], "a map"),
        (Mapping[str, int], [{}, types.MappingProxyType({})], [[]], "a map"),
        (Iterable[Any], [[], set(), ()], ["a", {}, 1], "a list or set"),
        (Collection[Any], [[], "a", {}, set()], [1, b""], "a string, list, set or map"),
        (Callable[..., Any], [lambda: 1], [len, "a"], "a lambda such as x -> x + 1"),
        (Any, [None, 1, object()], [], "any value"),
        (object, [None, 1], [], "any value"),
        (complex, [1j], [1, None], "a complex"),
    ],
)
def test_an_annotation_declares_the_type_of_an_argument(annotation, accepted, rejected, noun):
    declared = kind(annotation)
    assert [value for value in accepted if not declared.accepts(value)] == []
    assert [value for value in rejected if declared.accepts(value)] == []
    assert declared.noun == noun


def test_an_argument_of_another_type_is_rejected_with_the_parameter_name():
    library = Library.of(shout)
    for text in ("SHOUT(1)", "SHOUT('a', null)", "SHOUT('a', '!', 'b', 5)"):
        for fast in (True, False):
            with pytest.raises(
                EvaluationError, match=r"SHOUT expected a string( as (text|mark|more))?, got (null|the integer)"
            ):
                Expression(text, library, fast=fast)({})
    assert Expression("SHOUT('a', '?', '!', '?')", library)({}) == "A?!?"
    assert Expression("SHOUT(x)", library)({}) is None


def test_surplus_arguments_are_ignored_or_rejected():
    ignoring, refusing = Library.of(other_identity), Library.of(identity)
    assert Expression("ID(1, 2)", ignoring)({}) == [1]
    with pytest.raises(ResolutionError, match="ID takes at most 1 argument, not 2"):
        Expression("ID(1, 2)", refusing)
    with pytest.raises(ResolutionError, match="ID takes at least 1 argument, not 0"):
        Expression("ID()", refusing)


def test_of_two_functions_with_one_name_the_later_wins():
    assert Library.of(identity, other_identity)["ID"].implementation is other_identity
    assert Library.of(other_identity, Library.of(identity))["ID"].implementation is identity


def test_a_library_collects_modules_functions_and_libraries():
    library = Library.of(strings, Library.of(shout), Function("SAME", identity))
    assert {"TO_UPPER", "SHOUT", "SAME"} <= set(library)
    assert len(library) == len(list(library))
    assert "NOSUCH" not in library
    assert library.get("NOSUCH") is None
    with pytest.raises(KeyError):
        library["NOSUCH"]
    with pytest.raises(TypeError, match=r"declares no Stellar function; decorate it with @stellar\.function"):
        Library.of(len)


def test_a_library_is_found_by_its_name():
    assert Library.named("stellar.functions:LIBRARY") is LIBRARY
    with pytest.raises(LookupError, match=r"no library of Stellar functions at stellar.nowhere:LIBRARY"):
        Library.named("stellar.nowhere:LIBRARY")
    with pytest.raises(LookupError, match=r"no library of Stellar functions at stellar.functions:NOTHING"):
        Library.named("stellar.functions:NOTHING")
    with pytest.raises(LookupError, match=r"invalid library stellar.functions:GROUP: expected a Library, got a str"):
        Library.named("stellar.functions:GROUP")


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ([], [], {"TO_UPPER", "TO_LOWER", "SHOUT"}),
        (["TO_.*"], [], {"TO_UPPER", "TO_LOWER"}),
        ([], ["TO_.*"], {"SHOUT"}),
        (["TO_.*"], ["TO_LOWER"], {"TO_UPPER"}),
        (["TO_UPPER"], [".*"], set()),
        # The whole name must match, whitespace around a pattern is removed, and empty patterns are ignored
        (["TO"], [], set()),
        (["  SHOUT\t", "", " "], [" "], {"SHOUT"}),
        # The path of the Python function may match, too
        ([r"stellar\.functions\.strings\..*"], [], {"TO_UPPER", "TO_LOWER"}),
        ([], [r"stellar\.functions\.strings\.to_upper"], {"TO_LOWER", "SHOUT"}),
        ([], [r".*\.shout"], {"TO_UPPER", "TO_LOWER"}),
    ],
)
def test_a_library_can_be_restricted(include, exclude, names):
    whole = Library.of(*(LIBRARY[name] for name in ("TO_UPPER", "TO_LOWER")), shout)
    some = whole.restricted(include, exclude, name="here:SOME")
    assert set(some) == names
    assert some.name == "here:SOME"
    assert len(whole) == 3


def test_a_restricted_library_does_not_have_the_excluded_functions():
    with pytest.raises(ResolutionError, match="unknown function TO_UPPER"):
        Expression("TO_UPPER('a')", LIBRARY.restricted(exclude=["TO_.*"]))
    assert Expression("TO_UPPER('a')", LIBRARY.restricted(include=["TO_.*"]))({}) == "A"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("TO_UPER", "TO_UPPER"), ("to_upper", "TO_UPPER"), ("toUpper", "TO_UPPER"), ("MAPGET", "MAP_GET"), ("XYZ", None)],
)
def test_a_misspelt_name_has_a_similar_known_name(written, meant):
    assert LIBRARY.find_similar(written) == meant


def test_a_function_without_annotations_accepts_and_returns_any_value():
    @stellar("PLAIN")
    def plain(value):
        """Without annotations."""
        return value

    library = Library.of(plain)
    assert library["PLAIN"].returns is object
    assert Expression("match { true => PLAIN(() -> 5), default => 0 }", library)({}) == 5
    assert Kind((), null=False, noun="").accepts(None)


def test_a_context_finds_services_by_type():
    context = Context({str: "a", int: 1})
    assert context[str] == "a"
    assert context.get(int) == 1
    assert context.get(float) is None
    assert context.get(float, 2.0) == 2.0
    assert int in context
    assert float not in context
    with pytest.raises(LookupError, match="no float configured; add one to the context"):
        context[float]


def test_a_context_creates_a_missing_service_once_from_the_global_settings():
    made: list[GlobalSettings] = []

    def make(settings: GlobalSettings) -> list[int]:
        made.append(settings)
        return [len(made)]

    context = Context({GlobalSettings: GlobalSettings({"a": 1})})
    assert context.get_or_make(list, make) is context.get_or_make(list, make)
    assert made == [{"a": 1}]
    assert Context().get_or_make(list, make) == [2]
    assert made[1] == {}


def test_concurrent_threads_get_the_same_service():
    started = threading.Barrier(4)
    found: list[object] = []
    context = Context()

    def make(_settings: GlobalSettings) -> object:
        time.sleep(0.02)
        return object()

    def request() -> None:
        started.wait()
        found.append(context.get_or_make(object, make))

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


def test_string_literals_can_be_distinguished_from_strings_of_the_record():
    @stellar("IS_WRITTEN")
    def is_written(pattern: Written | str) -> bool:
        """Return True for a literal of the expression."""
        return isinstance(pattern, Written)

    library = Library.of(is_written)
    assert Expression("IS_WRITTEN('a')", library)({}) is True
    assert Expression("IS_WRITTEN(x)", library)({"x": "a"}) is False


def test_with_services_returns_another_context():
    context = Context({str: "a"})
    more = context.with_services({str: "b", int: 1})
    assert (context[str], more[str], more[int]) == ("a", "b", 1)
    assert int not in context
    assert str not in NOTHING


def test_a_configuration_error_has_file_and_path():
    assert (
        str(ConfigError("squid.json", "parserConfig.x", "not a number")) == "squid.json: parserConfig.x: not a number"
    )
    error = ConfigError("squid.json", "", "is empty")
    assert str(error) == "squid.json: is empty"
    assert error.errors == (error,)


def _prepare_repeat(text: object, times: object) -> Callable[[str], str] | None:
    if text is UNKNOWN and isinstance(times, int):
        return lambda known: f"prepared {known * times}"
    return None


@stellar("REPEAT", prepare=_prepare_repeat)
def repeat(text: str, times: int) -> str:
    """Repeat a string."""
    return text * times


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("REPEAT(x, 2)", "prepared abab"),
        ("REPEAT(x, n)", "ababab"),
        ("REPEAT('ab', n)", "ababab"),
        ("REPEAT('ab', 2)", "abab"),
    ],
)
def test_work_that_depends_on_literals_is_prepared_once(expression: str, value: str) -> None:
    library = Library.of(repeat)
    assert Expression(expression, library)({"x": "ab", "n": 3}) == value


@pytest.mark.parametrize("expression", ["REPEAT(x, '2')", "REPEAT(1, 2)", "REPEAT(x, null)"])
def test_an_invalid_literal_is_an_error_when_the_call_is_reached(expression: str) -> None:
    compiled = Expression(f"x == null or {expression} == ''", Library.of(repeat))
    assert compiled({}) is True
    with pytest.raises(EvaluationError, match="REPEAT expected "):
        compiled({"x": "ab"})


def test_an_invalid_pattern_is_an_error_when_the_call_is_reached() -> None:
    compiled = Expression("REGEXP_MATCH(x, '(')", LIBRARY)
    with pytest.raises(EvaluationError, match="regular expression"):
        compiled({"x": "a"})


def test_services_are_not_shared_by_contexts_with_other_settings() -> None:
    def size(settings: GlobalSettings) -> list[Any]:
        return [settings.get("size", "no size")]

    plain = Context()
    assert plain.get_or_make(list, size) == ["no size"]
    more = plain.with_services({dict: {}})
    assert more.get_or_make(list, size) is plain.get_or_make(list, size)
    other = more.with_services({GlobalSettings: GlobalSettings(size=2)})
    assert other.get_or_make(list, size) == [2]
    assert other.with_services({list: [3]}).get_or_make(list, size) == [3]


def test_a_lock_held_at_a_fork_does_not_block_the_child():
    context = Context()
    shared = context._shared
    shared.lock.acquire()
    shared.after_fork()
    assert context.get_or_make(list, lambda settings: ["made"]) == ["made"]


async def _answer(value: object) -> object:
    return value


async def _answers(value: object):
    yield value


@pytest.mark.parametrize("implementation", [_answer, _answers])
def test_an_async_function_is_rejected_when_it_is_declared(implementation):
    with pytest.raises(TypeError, match="ANSWER is declared by an async function, but an expression needs its value"):
        stellar_package.function("ANSWER")(implementation)


def test_a_pure_function_with_a_scalar_result_borrows_its_arguments():
    @stellar("COUNT", pure=True)
    def count(items: list[object] | None, *others: object) -> int | None:
        """Count items."""

    @stellar("SELECT", pure=True, borrows=("items",))
    def select(items: list[object], default: object = None) -> object:
        """Select an item."""

    @stellar("STORE")
    def store(items: list[object]) -> bool:
        """Store items."""

    library = Library.of(count, select, store)
    assert [library["COUNT"].borrows_at(index) for index in range(3)] == [True, True, True]
    assert [library["SELECT"].borrows_at(index) for index in range(2)] == [True, False]
    assert library["STORE"].borrows_at(0) is False
    assert (library["COUNT"].returns_scalar, library["SELECT"].returns_scalar) == (True, False)
