"""Rule sets agree with their single expressions, in matches, errors and order."""

from __future__ import annotations

import inspect
import math
import random
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest

import stellar
from stellar.language.compiler.analysis import find_test
from stellar.language.compiler.fuse import MOST_LEVELS, MOST_RULES, RuleCompiler, RuleSource, is_shallow
from stellar.language.compiler.rule_index import FEWEST_RULES, build_indexes
from stellar.language.compiler.source_map import RULES_FILENAME
from stellar.language.context import NOTHING
from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.language.limits import FEW_ITEMS, EvaluationLimits
from stellar.language.rule_set import EVALUATIONS_BEFORE_FUSING, RuleSet, can_join

# Results of a rule: its number, and the error if it fails
Results = list[tuple[int, Any]]


def compile_rules(*sources: str) -> list[Expression]:
    return [stellar.compile(source, predicate=True) for source in sources]


def fuse_rules(*sources: str) -> RuleSet:
    rules = RuleSet(compile_rules(*sources))
    rules.fuse()
    return rules


def describe(error: StellarError) -> tuple[Any, ...]:
    cause = error.__cause__
    return type(error), error.message, error.source, error.span, error.hint, type(cause), str(cause)


def evaluate_together(rules: RuleSet, record: dict[str, Any]) -> Results:
    matched, failed = rules.find_matches(record, NOTHING)
    results: Results = [(number, None) for number in matched]
    assert matched == sorted(matched)
    return sorted(
        [*results, *((number, describe(error)) for number, error in failed.items())], key=lambda pair: pair[0]
    )


def evaluate_singly(rules: RuleSet, record: dict[str, Any]) -> Results:
    results: Results = []
    for number, expression in enumerate(rules.expressions):
        try:
            if expression(record, NOTHING):
                results.append((number, None))
        except StellarError as error:
            results.append((number, describe(error)))
    return results


# -- Generated rules --------------------------------------------------------------------------------------------------


class Level(IntEnum):
    LOW = 1


class Name(str):
    __slots__ = ()


VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 5, -1, 2**53, 2**53 + 1, 2**70, 0.0, -0.0, 1.0, 1.5, 5.0, 9007199254740992.0, 1e300),
    *(math.nan, math.inf, "", "a", "b", "ab", "1", "true", "10.0.0.1", [], ["a"], [1, "b"], {}, {"a": 1}, {"a"}, b"a"),
    *(Level.LOW, Name("a"), Decimal(1), Decimal("1.5"), Decimal(10) ** 2000, Fraction(1, 2), 1j, (1, 2)),
    *(frozenset({"a"}), datetime(2020, 1, 1, tzinfo=UTC), object(), len, lambda *_: True),
]
# In the templates @v stands for a variable, @k for a literal, @l for a list and @t for a test
FILLINGS = {
    "v": ["x", "y", "z", "in.x", "$a"],
    "k": re.split(
        r"\s+",
        """null true false 0 1 5 1.0 1.5 5L -1 NaN 9007199254740992 9007199254740993 9007199254740992.0 1e300
        '' 'a' 'b' 'ab' '1' 'true'""",
    ),
    "l": ["['a','b']", "['a']", "[1,5]", "[1]", "[1.0]", "['a',1]", "[null]", "[]", "['1','ab','']", "[true]"],
    "t": re.split(
        r";\s+",
        """@v == @k; @k == @v; @v in @l; @v not in @l; @v != @k; @v < @k; @v >= @k; exists(@v); @v == @v; @v + 1 > @v
        ; @v / @v == 1; -@v < 0; @v in @v; @v; @v == @k or @v in @l; LENGTH(@v) > 1; TO_UPPER(@v) == 'A'
        ; TO_STRING(@v) in @l; STARTS_WITH(@v, 'a'); IN_SUBNET(@v, '10.0.0.0/8'); GET_FIRST(@v) == @k; IS_EMPTY(@v)
        ; LENGTH(FILTER(@v, e -> e == 'a')) == 1; TO_INTEGER(@v) / @v > 0; MAP_GET('a', @v) == 1; MAP_EXISTS(@v, _)
        ; REDUCE(@v, (s, e) -> s + e, 0) > 1; if @v == @k then @v else @v > 1; REGEXP_MATCH(@v, 'a.*')
        ; match { @v == @k => true, @v > 1 => e -> @v, default => null }; @v * @v + @v >= @v""",
    ),
}
SHAPES = re.split(
    r";\s+",
    """x == @k; x == @k; x == @k; x == @k and @t; x == @k and @t; x in @l; x in @l and @t; @t; @t; @t and @t; @t or @t
    ; @t and @t and @t; not(@t); (@t or @t) and @t; @v == @k and @t; @v == @k; @v in @l; @v in @l and @t
    ; exists(@v) and @v == @k and @t; @v == @k or @v == @k; @v == @k and @v in @l and @t; @t ? @t : @t
    ; @t and 'é' != @v\n  and @t""",
)


def make_rule(rng: random.Random) -> str:
    rule = rng.choice(SHAPES)
    for kind in "tvkl":
        while f"@{kind}" in rule:
            filling = rng.choice(FILLINGS[kind]).strip()
            rule = rule.replace(f"@{kind}", f"({filling})" if kind == "t" else filling, 1)
    return rule


def make_rules(rng: random.Random) -> RuleSet:
    return fuse_rules(*(make_rule(rng) for _ in range(rng.choice([1, 3, 12, 30]))))


def make_record(rng: random.Random) -> dict[str, Any]:
    return {name: rng.choice(VALUES) for name in FILLINGS["v"] if rng.random() < 0.8}


@pytest.mark.parametrize("seed", range(60))
def test_a_generated_rule_set_agrees_with_its_expressions(seed: int) -> None:
    rng = random.Random(seed)
    rules = make_rules(rng)
    for _ in range(20):
        record = make_record(rng)
        assert evaluate_together(rules, record) == evaluate_singly(rules, record), record


def test_generated_rule_sets_match_fail_share_and_look_up() -> None:
    rng = random.Random(1)
    counts: Counter[str] = Counter()
    for _ in range(40):
        rules = make_rules(rng)
        counts["looked up"] += sum(len(index.numbers) for index in rules._indexes)
        counts["rules"] += len(rules.expressions)
        for _ in range(10):
            matched, failed = rules.find_matches(make_record(rng), NOTHING)
            counts["matched"] += len(matched)
            counts["failed"] += len(failed)
    assert counts["looked up"] > 50
    assert counts["rules"] > counts["looked up"] * 2
    assert min(counts["matched"], counts["failed"]) > 300


# -- Functions of several rules ---------------------------------------------------------------------------------------


def test_a_rule_that_fails_does_not_prevent_the_others() -> None:
    rules = fuse_rules("x / 0 == 1", "x == 1", "[x] < y", "x > 0")
    matched, failed = rules.find_matches({"x": 1, "y": 2}, NOTHING)
    assert matched == [1, 3]
    assert list(failed) == [0, 2]
    assert str(failed[0]) == "division by zero\n1 | x / 0 == 1\n    ^^^^^\nhint: x is 1"


def test_a_shared_subexpression_that_fails_has_an_error_in_each_rule_at_its_own_location() -> None:
    rules = fuse_rules("1 / x > 5", "true and   1 / x > 5")
    _, failed = rules.find_matches({"x": 0}, NOTHING)
    assert [failed[number].span.start for number in (0, 1)] == [0, 11]


def test_an_error_does_not_refer_to_the_frame_that_refers_to_it() -> None:
    _, failed = fuse_rules("TO_INTEGER(x) / 0 == 1").find_matches({"x": 1}, NOTHING)
    cause = failed[0].__cause__
    assert cause is not None
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code.co_filename != RULES_FILENAME


def test_an_error_of_a_lambda_is_located_in_its_body() -> None:
    rules = fuse_rules("LENGTH(MAP(l, e -> REDUCE([e], (s, i) -> s / i, 1))) > 0")
    _, failed = rules.find_matches({"l": [0]}, NOTHING)
    span = failed[0].span
    assert failed[0].source[span.start : span.end] == "s / i"


def count_calls(*sources: str) -> tuple[RuleSet, list[Any]]:
    """Return a rule set, and a list to which its pure function PURE appends its arguments."""
    calls: list[Any] = []

    @stellar.function("PURE", pure=True)
    def pure(value: object) -> bool | None:
        calls.append(value)
        return None if value is None else bool(value)

    library = Library.of(stellar.functions.LIBRARY, pure)
    rules = RuleSet([stellar.compile(source, library=library, predicate=True) for source in sources])
    rules.fuse()
    return rules, calls


def test_a_shared_subexpression_is_evaluated_once() -> None:
    rules, calls = count_calls("PURE(x) and y == 1", "PURE(x)", "PURE(x) or PURE(y)", "y > 0 and PURE(x)")
    assert rules.find_matches({"x": "a", "y": 1}, NOTHING)[0] == [0, 1, 2, 3]
    assert calls == ["a"]


def test_a_shared_subexpression_is_not_evaluated_before_a_rule_reaches_it() -> None:
    rules, calls = count_calls("y > 1 and PURE(x)", "y > 2 and PURE(x)", "y > 3 and 1 / PURE(x) > 0")
    assert rules.find_matches({"x": "a", "y": 1}, NOTHING) == ([], {})
    assert calls == []


def test_a_shared_null_is_not_evaluated_again() -> None:
    rules, calls = count_calls("PURE(x) == null", "PURE(x) == y")
    assert rules.find_matches({"x": None}, NOTHING)[0] == [0, 1]
    assert calls == [None]


def test_the_branch_of_a_shared_subexpression_does_not_hide_a_variable() -> None:
    rules = fuse_rules("(x == 1 and y == 2) or z == 1", "not((x == 1 and y == 2)) and y == 3 and z == y")
    record = {"x": 2, "y": 3, "z": 3}
    assert evaluate_together(rules, record) == evaluate_singly(rules, record) == [(1, None)]


def test_what_only_a_shared_subexpression_contains_is_not_shared() -> None:
    rules = compile_rules("TO_UPPER(x) == 'A' and y", "TO_UPPER(x) == 'A' and z")
    sources = [RuleSource(number, rule.source, rule.tree) for number, rule in enumerate(rules)]
    compiler = RuleCompiler(sources, rules[0].library)
    assert len(set(compiler.shared.values())) == 1


def test_a_list_that_a_rule_could_change_is_not_shared() -> None:
    rules = compile_rules("SPLIT(x, ',') == y", "SPLIT(x, ',') == z")
    sources = [RuleSource(number, rule.source, rule.tree) for number, rule in enumerate(rules)]
    assert not RuleCompiler(sources, rules[0].library).shared


def test_a_large_rule_set_is_split_into_several_functions() -> None:
    rules = fuse_rules(*(f"x > {number}" for number in range(MOST_RULES + 1)))
    assert rules._fused is not None
    assert len(rules._fused) == 2
    assert rules.find_matches({"x": MOST_RULES}, NOTHING)[0] == list(range(MOST_RULES))


def test_expressions_are_fused_after_some_evaluations() -> None:
    rules = RuleSet(compile_rules("x > 1", "x / 0 == 1"))
    record = {"x": 2}
    for _ in range(EVALUATIONS_BEFORE_FUSING):
        assert rules._fused is None
        assert evaluate_together(rules, record) == evaluate_singly(rules, record)
    assert rules._fused is not None
    assert evaluate_together(rules, record) == evaluate_singly(rules, record)


def test_rules_that_cannot_be_fused_within_the_stack_are_evaluated_singly() -> None:
    nested = "x == 1"
    for _ in range(MOST_LEVELS // 2 - 2):
        nested = f"not({nested}) or y"
    rules = RuleSet(compile_rules(nested, "x == 1"))
    record = {"x": 1, "y": False}
    expected = evaluate_singly(rules, record)

    def descend(frames: int) -> Results:
        return descend(frames - 1) if frames else evaluate_together(rules, record)

    used = len(inspect.stack())
    for _ in range(EVALUATIONS_BEFORE_FUSING + 1):
        assert descend(sys.getrecursionlimit() - used - 100) == expected
    assert rules._fused is None
    assert evaluate_together(rules, record) == expected


# -- Rules that join a set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "joins"),
    [
        ("x == 1", True),
        ("MAP_GET('a', x)", True),
        ("LENGTH(LIST_ADD(x, 1)) > 1", False),
        ("exists(x) and MAAS_GET_ENDPOINT('m') != null", False),
        ("MAP(x, y -> LIST_ADD(y, 1))", False),
        (" + ".join(["x"] * MOST_LEVELS) + " > 1", False),
    ],
)
def test_a_shallow_predicate_with_pure_functions_joins_a_set(source: str, joins: bool) -> None:
    assert can_join(stellar.compile(source, predicate=True)) is joins


def test_other_expressions_do_not_join_a_set() -> None:
    class Recording(Expression):
        __slots__ = ()

    assert not can_join(stellar.compile("x == 1"))
    assert not can_join(Recording("x == 1", stellar.functions.LIBRARY, predicate=True))
    assert not can_join(stellar.compile("UNKNOWN(x)", predicate=True, unknown_functions="when_reached"))


def test_a_rule_set_has_one_library() -> None:
    other = stellar.compile("x", library=Library.of(stellar.functions.LIBRARY), predicate=True)
    with pytest.raises(ValueError, match="expected expressions of one library"):
        RuleSet([*compile_rules("x"), other])


def test_the_rules_of_a_set_have_its_limits() -> None:
    limits = EvaluationLimits(items=FEW_ITEMS)
    sources = ["x == 1", "LENGTH(MAP(y, e -> e)) > 1", "LENGTH(SPLIT(y, '-')) > 1"]
    rules = RuleSet([stellar.compile(source, predicate=True, limits=limits) for source in sources])
    rules.fuse()
    record = {"x": 1, "y": "a-" * FEW_ITEMS}
    assert evaluate_together(rules, record) == evaluate_singly(rules, record)
    assert "stellar.limits.items" in str(rules.find_matches(record, NOTHING)[1])
    with pytest.raises(ValueError, match="with the same limits"):
        RuleSet([*rules.expressions, *compile_rules("x")])


def test_a_call_with_a_wrong_number_of_arguments_fails_when_it_is_reached() -> None:
    expressions = [
        stellar.compile(source, predicate=True, unknown_functions="when_reached")
        for source in ("x == 1 and STARTS_WITH()", "x == 1 and STARTS_WITH()")
    ]
    rules = RuleSet(expressions)
    rules.fuse()
    for record in ({"x": 1}, {"x": 2}):
        assert evaluate_together(rules, record) == evaluate_singly(rules, record)


def test_a_tree_is_shallow_up_to_a_number_of_levels() -> None:
    def nest(levels: int) -> Any:
        return stellar.compile(f"{'-' * (levels - 1)}x").tree

    assert is_shallow(nest(MOST_LEVELS))
    assert not is_shallow(nest(MOST_LEVELS + 1))


# -- Index ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ("x == 'a'", {(str, "a")}),
        ("'a' == x", {(str, "a")}),
        ("x == null", {(type(None), None)}),
        ("x == true", {(bool, True)}),
        ("x == 5", {(int, 5), (float, 5.0)}),
        ("x == 5.0", {(int, 5), (float, 5.0)}),
        ("x == 1.5", {(float, 1.5)}),
        ("x in ['a', 'b']", {(str, "a"), (str, "b")}),
        ("x in [1, 2]", {(int, 1), (int, 2)}),
        ("x == 'a' or x in ['b'] or x == 2.5", {(str, "a"), (str, "b"), (float, 2.5)}),
    ],
)
def test_a_test_of_a_variable_has_the_values_for_which_it_is_true(source: str, keys: set[tuple[type, Any]]) -> None:
    test = find_test(stellar.compile(source).tree)
    assert test is not None
    assert (test.variable, test.keys) == ("x", keys)


@pytest.mark.parametrize(
    "source",
    [
        "x == 9007199254740993",
        "x == NaN",
        "x == 1e300",
        "x != 'a'",
        "x == y",
        "x in ['a', 1]",
        "x in [1.0]",
        "x in []",
        "x in y",
        "x not in ['a']",
        "'a' in x",
        "_ == 'a'",
        "x == 'a' or y == 'a'",
        "x == 'a' or x > 1",
        "x > 1",
        "TO_UPPER(x) == 'A'",
    ],
)
def test_other_conditions_do_not_test_a_variable_for_literals(source: str) -> None:
    assert find_test(stellar.compile(source).tree) is None


def list_indexes(*sources: str) -> dict[str, tuple[int, ...]]:
    indexes = build_indexes(enumerate(rule.tree for rule in compile_rules(*sources)))
    return {index.variable: index.numbers for index in indexes}


def test_few_rules_are_not_indexed() -> None:
    rules = [f"x == '{number}'" for number in range(FEWEST_RULES)]
    assert list_indexes(*rules) == {"x": (0, 1, 2, 3)}
    assert list_indexes(*rules[1:]) == {}


def test_a_rule_is_indexed_by_the_variable_that_most_rules_test() -> None:
    rules = [f"y == 'a' and x == '{number}'" for number in range(5)]
    assert list_indexes(*rules, "x == '9'", "y > 1") == {"x": (0, 1, 2, 3, 4, 5)}


def test_rules_that_would_be_evaluated_for_one_value_are_not_indexed() -> None:
    rules = [f"x == 'a' and y > {number}" for number in range(10)]
    assert list_indexes(*rules) == {}
    assert list_indexes(*rules, *(f"x == '{number}'" for number in range(5))) == {"x": (10, 11, 12, 13, 14)}


def test_a_test_after_an_operand_that_may_fail_is_not_indexed() -> None:
    assert list_indexes(*(f"y > 1 and x == '{number}'" for number in range(5))) == {}
    assert list_indexes(*(f"exists(y) and x == '{number}'" for number in range(5))) == {"x": (0, 1, 2, 3, 4)}


def test_rules_are_looked_up_by_class_and_value() -> None:
    rules = fuse_rules("x == 1", "x in [1]", "x == true", "x == '1'", "x == 1.0 and y == 1", "x == null")
    assert [index.numbers for index in rules._indexes] == [(0, 1, 2, 3, 4, 5)]
    found = {
        repr(value): rules.find_matches({"x": value, "y": 1}, NOTHING)[0] for value in (1, 1.0, True, "1", None, [])
    }
    assert found == {"1": [0, 1, 4], "1.0": [0, 4], "True": [2], "'1'": [3], "None": [5], "[]": []}


@pytest.mark.parametrize("value", [Decimal(1), Level.LOW, Name("1"), Fraction(1), Fraction(1, 3)])
@pytest.mark.parametrize("name", ["x", "y"])
def test_an_object_of_another_class_is_compared_by_each_rule(name: str, value: Any) -> None:
    rules = fuse_rules("x == 1", "x == '1'", "y == 1 and x == 2", "y == 3 and x == 3")
    assert len(rules._indexes[0].numbers) == 4
    record = {"x": 3, "y": 3} | {name: value}
    assert evaluate_together(rules, record) == evaluate_singly(rules, record)
