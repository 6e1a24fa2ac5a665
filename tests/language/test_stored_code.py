"""Code from a cache: the same values and errors as without one, and when it is not used."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY, SHELL_LIBRARY
from stellar.language.compiler import link, stored_code
from stellar.language.errors import EvaluationError, ResolutionError, StellarError
from stellar.language.expression import Expression
from stellar.language.inline import Inline, Prepared
from stellar.language.library import UNKNOWN, Library, Written, function
from stellar.language.limits import EvaluationLimits
from stellar.tooling import spec_lines
from stellar.util.program_cache import VARIABLE

ROOT = Path(__file__).parents[2]

Use = Callable[[], None]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were compiled, as opposed to read from a cache."""
    sources: list[str] = []
    compile_tree = link.compile_tree

    def note(compiler: Any, tree: Any, source: str, **options: Any) -> Any:
        sources.append(source)
        return compile_tree(compiler, tree, source, **options)

    monkeypatch.setattr(link, "compile_tree", note)
    return sources


# -- Equal results ----------------------------------------------------------------------------------------------------


def list_lines() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the expressions of the specification and of the examples of functions, with their records."""
    paragraphs = [*spec_lines.read_library(SHELL_LIBRARY)]
    for file in sorted((ROOT / "tests" / "spec").glob("*.stellar")):
        paragraphs += [("", paragraph) for paragraph in spec_lines.read(file.read_text())]
    for _, paragraph in paragraphs:
        record = {name: spec_lines.evaluate_result(text, SHELL_LIBRARY) for name, text in paragraph.variables.items()}
        for line in paragraph.lines:
            yield line.expression, record


LINES = list(list_lines())


def find_outcome(source: str, record: dict[str, Any], **options: Any) -> object:
    """Return the value of an expression, or its error with the location; None if it depends on more than the record."""
    try:
        expression = Expression(source, SHELL_LIBRARY, **options)
        if not expression.pure:
            return None
        values = [expression(record), expression({}), expression.evaluate(record, missing="error")]
    except StellarError as error:
        return type(error).__name__, str(error)
    facts = (expression.variables, expression.functions, expression.waits)
    return re.sub(r" at 0x\w+", "", repr(values)), facts


@pytest.mark.parametrize("options", [{}, {"fast": False}, {"predicate": True}], ids=str)
def test_results_are_equal_without_a_cache_with_an_empty_one_and_with_a_full_one(
    use_cache: Use, compiled: list[str], options: dict[str, Any]
) -> None:
    without = [find_outcome(source, record, **options) for source, record in LINES]
    use_cache()
    cold = [find_outcome(source, record, **options) for source, record in LINES]
    use_cache()
    compiled.clear()
    warm = [find_outcome(source, record, **options) for source, record in LINES]
    assert [*zip(LINES, cold, strict=True)] == [*zip(LINES, without, strict=True)]
    assert [*zip(LINES, warm, strict=True)] == [*zip(LINES, without, strict=True)]
    assert len(LINES) > 1000
    assert compiled == []


# More links than in the specification, and locations in lines and in characters of several bytes
SOURCES = [
    "REGEXP_MATCH(a, 'x.*') and REGEXP_GROUP_VAL(a, '(x)(.*)', 2) == 'y'",
    "REGEXP_REPLACE(a, 'x', 'z')",
    "FORMAT('%s-%d', a, b)",
    "HASH(a, 'MD5')",
    "a in ['x', 'xy'] or b in [1, 2]",
    "b in [1, 2, a]",
    "MAP_GET(a, {'xy': 1, 'z': 2})",
    "match { a == 'x' => 1, a == 'y' => 2, a in ['xy'] => 3, a == null => 4, default => 5 }",
    "match { a == 'x' => b, a == 'y' => 2, a in ['xy'] => b + 1, a == null => 4, default => 5 }",
    "MAP([1, 2, b], x -> x * b)",
    "REDUCE(MAP(FILTER([1, 2, 3], x -> x > 1), x -> x + b), (x, y) -> x + y, 0)",
    "JOIN(SPLIT(a, 'y'), ',')",
    "STATS_MEAN(STATS_ADD(STATS_INIT(), b))",
    "BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), a), a)",
    "if exists(a) then a else 'none'",
    "_ == null",
    "1 + 2 * 3 - b / 4",
    "NaN == b",
    "'é' + a == 'éxy' and\n  TO_UPPER('ü') == 'Ü' and b > 'x'",
    "TO_INTEGER(a) + 1\n // comment",
    "MAP(a, x -> MAP(a, y -> JOIN([x, y], b)))",
    "",
]
RECORDS: list[dict[str, Any]] = [{"a": "xy", "b": 2}, {"a": 1.5, "b": "x"}, {"a": [1], "b": 0}, {}]


def test_links_of_all_kinds_lead_to_the_same_objects(use_cache: Use, compiled: list[str]) -> None:
    def find_all() -> list[object]:
        return [find_outcome(source, record) for source in SOURCES for record in RECORDS]

    without = find_all()
    use_cache()
    assert find_all() == without
    use_cache()
    compiled.clear()
    assert find_all() == without
    assert compiled == []


def test_an_error_in_cached_code_has_the_location_in_every_line_and_the_values(use_cache: Use) -> None:
    source = "a == 'é' or\n  (b + 1 > 2 and a < 5)"
    for _ in range(2):
        use_cache()
        with pytest.raises(EvaluationError) as caught:
            stellar.compile(source)({"a": "x", "b": 2})
        error = caught.value
        assert source[error.span.start : error.span.end] == "a < 5"
        assert str(error).splitlines()[1:] == ["2 |   (b + 1 > 2 and a < 5)", f"{' ' * 21}^^^^^", "hint: a is 'x'"]
        assert error.__cause__ is not None
        assert "(b + 1 > 2 and a < 5)" in "".join(traceback.format_exception(error.__cause__))


def test_options_have_code_of_their_own(use_cache: Use) -> None:
    for _ in range(2):
        use_cache()
        assert stellar.compile("a")({"a": 1}) == 1
        with pytest.raises(EvaluationError):
            stellar.compile("a", predicate=True)({"a": 1})
        with pytest.raises(EvaluationError):
            stellar.compile("a").evaluate({}, missing="error")
        assert stellar.compile("", predicate=True)({}) is True
        assert stellar.compile("")({}) is None


def test_a_cached_expression_has_its_tree_limits_and_pickle(use_cache: Use) -> None:
    use_cache()
    limits = EvaluationLimits(characters=65_536)
    before = stellar.compile("JOIN(MAP(a, x -> b), '')", limits=limits)
    use_cache()
    expression = stellar.compile("JOIN(MAP(a, x -> b), '')", limits=limits)
    assert (expression.tree, expression.variables) == (before.tree, {"a", "b"})
    assert pickle.loads(pickle.dumps(expression))({"a": [1, 2], "b": "x"}) == "xx"
    with pytest.raises(EvaluationError, match="JOIN: more than 65,536 characters"):
        expression({"a": [1] * 10, "b": "x" * 10_000})


# -- When cached code is not used -------------------------------------------------------------------------------------


def test_an_unknown_function_is_an_error_also_after_it_was_compiled_for_when_it_is_reached(use_cache: Use) -> None:
    use_cache()
    for source in ("UNKNOWN(1)", "TO_UPPER()"):
        assert stellar.compile(f"a or {source}", unknown_functions="when_reached")({"a": True}) is True
    use_cache()
    for source in ("UNKNOWN(1)", "TO_UPPER()"):
        with pytest.raises(ResolutionError):
            stellar.compile(f"a or {source}")


PACKAGE = '''
from stellar import function

@function("DOUBLE"{options})
def double(value: {type}) -> {type}:
    """Double a value."""
    return value * {factor}
'''


def load_library(directory: Path, **choices: object) -> Library:
    """Write and import a module of functions."""
    file = directory / "doubles.py"
    file.write_text(PACKAGE.format(**{"options": "", "type": "int", "factor": 2, **choices}))
    module = types.ModuleType("doubles")
    module.__file__ = str(file)
    sys.modules["doubles"] = module
    exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
    return Library.of(module)


@pytest.fixture
def own_module() -> Iterator[None]:
    yield
    sys.modules.pop("doubles", None)


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize("change", [{"factor": 3}, {"type": "str"}, {"options": ", pure=True"}], ids=str)
def test_code_that_calls_a_function_is_compiled_again_when_its_module_changes(
    use_cache: Use, compiled: list[str], tmp_path: Path, change: dict[str, object]
) -> None:
    use_cache()
    assert Expression("DOUBLE(4)", load_library(tmp_path))({}) == 8
    use_cache()
    compiled.clear()
    assert Expression("DOUBLE(4)", load_library(tmp_path))({}) == 8
    assert compiled == []
    outcomes = []
    for _ in range(2):
        use_cache()
        expression = Expression("DOUBLE(4)", load_library(tmp_path, **change))
        try:
            outcomes.append(expression({}))
        except EvaluationError as error:
            outcomes.append(error.message)
    assert compiled == ["DOUBLE(4)"]
    assert outcomes[0] == outcomes[1] == (12 if "factor" in change else 8 if "options" in change else outcomes[0])


def test_a_function_without_a_source_file_is_not_cached(use_cache: Use, compiled: list[str]) -> None:
    module = types.ModuleType("typed_in")
    exec(PACKAGE.format(options="", type="int", factor=2), module.__dict__)
    for _ in range(2):
        use_cache()
        assert Expression("DOUBLE(4)", Library.of(module))({}) == 8
    assert compiled == ["DOUBLE(4)"] * 2


def test_libraries_with_other_functions_of_one_name_do_not_share_code(use_cache: Use) -> None:
    @function("TO_UPPER")
    def to_upper(text: str) -> int:
        """Count."""
        return len(text)

    other = Library.of(LIBRARY, to_upper)
    for _ in range(2):
        use_cache()
        for library, value in ((LIBRARY, "ABC"), (other, 3), (LIBRARY, "ABC")):
            assert Expression("TO_UPPER('abc')", library)({}) == value
    use_cache()
    with pytest.raises(ResolutionError):
        Expression("TO_UPPER('abc')", Library())


def test_code_whose_preparation_fails_now_is_compiled_again(use_cache: Use, compiled: list[str]) -> None:
    is_possible = True

    def prepare(value: object) -> Callable[[], object] | None:
        return (lambda: "prepared") if is_possible and value is not UNKNOWN else None

    @function("PREPARED", prepare=prepare)
    def call(value: object) -> object:
        """Return a value."""
        return value

    library = Library.of(call)
    use_cache()
    assert Expression("PREPARED('a')", library)({}) == "prepared"
    is_possible = False
    use_cache()
    assert Expression("PREPARED('a')", library)({}) == "a"
    assert len(compiled) == 2


def test_code_with_an_inline_form_that_is_prepared_otherwise_now_is_compiled_again(
    use_cache: Use, compiled: list[str]
) -> None:
    factor = 2

    def prepare(value: object, number: object) -> Prepared:
        form = Inline("value * factor", {"value": int}, values={"factor": factor})
        return Prepared(lambda value: value * factor, (form,))

    @function("TIMES", prepare=prepare)
    def times(value: int, number: int) -> int:
        """Return a multiple of a number."""
        return value * factor

    library = Library.of(times)
    for expected in (2, 2, 3):
        factor = expected
        use_cache()
        assert Expression("TIMES(a, 1)", library)({"a": 1}) == expected
    assert len(compiled) == 2


def times_library(prepare: Callable[..., Prepared]) -> Library:
    @function("TIMES", prepare=prepare)
    def times(value: int, number: int) -> int:
        """Return a multiple of a number."""
        return value * number

    return Library.of(times)


OTHER_FORMS = {
    "without values": ({}, {"expression": "value * 3", "values": {}}),
    "with another class of the result": ({"result": int}, {"result": None}),
}


@pytest.mark.parametrize(("before", "after"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_code_whose_inline_form_is_declared_otherwise_now_is_compiled_again(
    use_cache: Use, compiled: list[str], before: dict[str, Any], after: dict[str, Any]
) -> None:
    factors = {f"factor_{number}": 3.0 for number in range(20)}
    form: dict[str, Any] = {"expression": f"value * max({', '.join(factors)})", "values": factors, **before}

    def prepare(value: object, number: object) -> Prepared:
        return Prepared(lambda value: value * 3, (Inline(classes={"value": int}, **form),))

    for _ in range(2):
        use_cache()
        assert Expression("TIMES(a, 3)", times_library(prepare))({"a": 1}) == 3
    assert len(compiled) == 1
    form |= after
    use_cache()
    assert Expression("TIMES(a, 3)", times_library(prepare))({"a": 1}) == 3
    assert len(compiled) == 2


def test_a_map_that_is_a_value_of_an_inline_form_is_that_of_this_process(use_cache: Use, compiled: list[str]) -> None:
    table = {"x": 1}

    @function("LOOK_UP", inline=[Inline("table[key]", {"key": str}, values={"table": table})])
    def look_up(key: str) -> object:
        """Return the value of a key."""
        return table[key]

    for value in (1, 2):
        use_cache()
        table["x"] = value
        assert Expression("LOOK_UP(a)", Library.of(look_up))({"a": "x"}) == value
    assert len(compiled) == 1


class Opaque:
    """A class of values of a function in this module."""


def test_the_class_of_a_parameter_is_found_again(use_cache: Use, compiled: list[str]) -> None:
    @function("OPAQUE")
    def opaque(value: Opaque | int) -> int:
        """Return a number."""
        return 1

    library = Library.of(opaque)
    for _ in range(2):
        use_cache()
        assert Expression("OPAQUE(a)", library)({"a": Opaque()}) == 1
        with pytest.raises(EvaluationError, match="a Opaque or an integer"):
            Expression("OPAQUE(a)", library)({"a": "x"})
    assert len(compiled) == 1


def test_a_string_literal_is_still_known_as_one(use_cache: Use, compiled: list[str]) -> None:
    @function("IS_LITERAL")
    def is_literal(value: Written | str) -> bool:
        """Test for a literal."""
        return isinstance(value, Written)

    for _ in range(2):
        use_cache()
        assert Expression("[IS_LITERAL('x'), IS_LITERAL(x)]", Library.of(is_literal))({"x": "x"}) == [True, False]
    assert len(compiled) == 1


def test_code_with_a_global_of_an_unknown_kind_is_not_cached(
    use_cache: Use, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(stored_code._BY_NAME, "equal")
    for _ in range(2):
        use_cache()
        assert stellar.compile("a == b")({"a": 1, "b": 1}) is True
    assert len(compiled) == 2


# -- Processes --------------------------------------------------------------------------------------------------------


def run(program: str, *options: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop(VARIABLE, None)
    done = subprocess.run(
        [sys.executable, *options, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_process_with_a_full_cache_neither_parses_nor_compiles(tmp_path: Path) -> None:
    program = (
        f"import sys, stellar; stellar.cache({str(tmp_path / 'cache')!r}, 'p')\n"
        "print(stellar.compile('TO_UPPER(a) == \\'X\\'')({'a': 'x'}))\n"
        "print(sorted({'stellar.language.nodes', 'stellar.language.parser'} & set(sys.modules)))"
    )
    first, second = run(program), run(program)
    assert first.splitlines()[0] == second.splitlines()[0] == "True"
    assert second.splitlines()[1] == "[]"


@pytest.mark.parametrize("options", [(), ("-O",), ("-X", "no_debug_ranges")], ids=" ".join)
def test_locations_are_the_same_from_the_cache_with_other_options_of_the_interpreter(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    program = (
        "import stellar\n{use}\n"
        "try: stellar.compile('1 < 2 and TO_UPPER(b) < 3')({'b': 'x'})\n"
        "except stellar.EvaluationError as error: print(error)\n"
    )
    use = f"stellar.cache({str(tmp_path / 'cache')!r}, 'p')"
    run(program.replace("{use}", use))  # with all locations
    outcomes = [run(program.replace("{use}", each), *options) for each in ("", use, use)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert "TO_UPPER(b) < 3" in outcomes[0]
