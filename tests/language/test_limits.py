"""Tests of limits: an expression beyond a limit is rejected with a clear error, without a crash."""

from __future__ import annotations

import contextlib
import sys
import threading

import pytest

from stellar.functions import LIBRARY
from stellar.language.errors import EvaluationError, ParseError
from stellar.language.expression import Expression
from stellar.language.limits import EvaluationLimits
from stellar.language.parser import MAX_SOURCE_BYTES
from stellar.language.source import Span

# Name of a construct: opening of a level, innermost value, closing of a level, and the result or None
NESTED = {
    "parentheses": ("(", "1", ")", 1),
    "lists": ("[", "", "]", None),
    "maps": ("{'a' : ", "1", "}", None),
    "map keys": ("{", "1", " : 1}", None),
    "calls": ("TO_STRING(", "'a'", ")", "a"),
    "surplus arguments": ("TO_STRING('a', ", "1", ")", "a"),
    "comprehensions": ("MAP(", "[1]", ", x -> x)", [1]),
    "filters": ("FILTER([1], x -> ", "true", " == [1])", None),
    "lambdas": ("x -> ", "1", "", None),
    "lambdas in calls": ("MAP([1], x -> ", "x", ")", None),
    "reductions": ("REDUCE([1], (x, y) -> ", "x", ", x)", None),
    "minus": ("-", "x", "", None),
    "not": ("not ", "true", "", None),
    "not with parentheses": ("not(", "true", ")", None),
    "conditions": ("(", "true", " ? true : false)", True),
    "conditional branches": ("true ? ", "1", " : 2", 1),
    "conditional branches in parentheses": ("(true ? ", "1", " : 2)", 1),
    "if then": ("if true then ", "1", " else 2", 1),
    "match actions": ("match { true => ", "1", ", default => 2 }", 1),
    "match defaults": ("match { false => 2, default => ", "1", " }", 1),
    "match checks": ("match { (", "true", ") => true, default => false }", True),
    "match lambdas": ("match { true => () -> ", "1", ", default => 2 }", 1),
    "membership": ("'a' in ", "'a'", "", None),
    "absence": ("'a' not in ", "'a'", "", None),
    "right operands of +": ("1 + (", "1", ")", None),
    "right operands of + with a call": ("1 + (", "LENGTH('a')", ")", None),
    "right operands of /": ("1.0 / (", "x", ")", None),
    "right operands of and": ("true and (", "1 == 1", ")", True),
    "left operands of and": ("(", "true", " and x)", None),
    "left operands of or": ("(", "true", " or x)", True),
    "alternating and, or": ("true and false or ", "true", "", None),
    "comparisons": ("(", "1", " == 1)", None),
    "right comparisons": ("1 == (", "1", ")", None),
    "exists and calls": ("TO_STRING(exists(x) and 1 == ", "1", ")", None),
    "all kinds": ("[{'a' : (x -> if not(1 == -1) then ", "1", " else 2)}]", None),
}


# The number of levels allowed for constructs of which one level is several levels of the tree
LEVELS = {
    "filters": 66,
    "comprehensions": 199,
    "lambdas in calls": 100,
    "reductions": 100,
    "match checks": 100,
    "match lambdas": 100,
    "right operands of + with a call": 199,
    "alternating and, or": 100,
    "exists and calls": 66,
    "all kinds": 49,
}


def nest(construct: str, levels: int) -> str:
    opening, innermost, closing, _ = NESTED[construct]
    return opening * levels + innermost + closing * levels


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("construct", NESTED)
def test_200_levels_are_evaluated(construct, fast):
    source = nest(construct, LEVELS.get(construct, 200))
    value = Expression(source, LIBRARY, limits=EvaluationLimits(levels=200), fast=fast)({"x": 1.0})
    assert NESTED[construct][3] in (None, value)


@pytest.mark.parametrize("construct", NESTED)
@pytest.mark.parametrize("more", [1, 1000])
def test_more_than_200_levels_are_rejected(construct, more):
    with pytest.raises(ParseError, match=r"nests deeper than 200 levels|longer than 65536 bytes"):
        Expression(nest(construct, LEVELS.get(construct, 200) + more), LIBRARY)


def join(operator: str, count: int, operand: str = "x") -> str:
    return operator.join([operand] * count)


CHAINS = {
    "sum": (join("+", 10_000), 15_000.0),
    "sum of constants": (join("+", 10_000, "1"), 10_000),
    "sum of different fields": ("+".join(f"a{number}" for number in range(5_000)), 0),
    "sum and difference": (join("+", 5_000, "x-1"), 2_500.0),
    "product": (join("*", 10_000, "1"), 1),
    "quotient": (join("/", 10_000, "1.0"), 1.0),
    "sum of sums": (join("+", 100, f"({join('+', 100)})"), 15_000.0),
    "sum of calls": (join("+", 3_000, "LENGTH('a')"), 3_000),
    "and": (join(" and ", 5_000, "x>1"), True),
    "and of values": (join(" and ", 5_000), False),
    "or": (join(" or ", 5_000, "x>2"), False),
    "or of values": (join(" or ", 5_000), False),
    "or of memberships": (" or ".join(f"s in ['{number}']" for number in range(3_000)), True),
    "else if": (" else ".join(f"if n == {number} then {number}" for number in range(500)) + " else null", 450),
    "ternaries": (" : ".join(f"n == {number} ? {number}" for number in range(500)) + " : null", 450),
    "match": (f"match {{ {','.join(f'n == {number} => {number}' for number in range(500))}, default => null }}", 450),
    "else if in a lambda": (
        f"MAP([450], n -> {' else '.join(f'if n == {number} then {number}' for number in range(500))} else null)",
        [450],
    ),
    "list": (f"LENGTH([{join(',', 20_000)}])", 20_000),
    "members": (f"n in [{','.join(map(str, range(9_000)))}]", True),
    "map": (f"LENGTH({{{','.join(f'{number} : n' for number in range(4_000))}}})", 4_000),
    "surplus arguments": (f"TO_STRING({join(',', 20_000)})", "1.5"),
    "parameters": (f"REDUCE([1], ({','.join(f'p{number}' for number in range(5_000))}) -> p1, 0)", 1),
    "string": (f"LENGTH('{'a' * 65_000}')", 65_000),
    "comment": (f"1 // {'a' * 65_000}", 1),
}


@pytest.mark.parametrize("name", CHAINS)
def test_long_chains_are_evaluated(name):
    source, value = CHAINS[name]
    assert Expression(source, LIBRARY)({"x": 1.5, "n": 450, "s": "7"}) == value


LONG_CHOICES = {
    "else if": " else ".join(f"if n=={number} then {number}" for number in range(2_400)) + " else null",
    "ternaries": ":".join(f"n=={number}?{number}" for number in range(4_000)) + ":null",
    "match": f"match{{{','.join(f'n=={number}=>{number}' for number in range(4_000))},default=>null}}",
    "match with lambdas": f"match{{{','.join(f'n=={number}=>()->n' for number in range(3_000))},default=>null}}",
    "match in a lambda": (
        f"GET_FIRST(MAP([n],n->match{{{','.join(f'n=={number}=>n' for number in range(4_000))},default=>null}}))"
    ),
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", LONG_CHOICES)
def test_a_choice_has_as_many_branches_as_the_source_can_hold(name, fast):
    expression = Expression(LONG_CHOICES[name], LIBRARY, fast=fast)
    assert [expression({"n": number}) for number in (0, 1_000, 2_399, -1)] == [0, 1_000, 2_399, None]


def test_an_error_in_a_long_choice_has_its_position():
    source = f"match {{ {', '.join(f'n == {number} => x < 1' for number in range(1_000))}, default => null }}"
    with pytest.raises(EvaluationError, match="can't compare") as caught:
        Expression(source, LIBRARY)({"n": 999, "x": "a"})
    assert caught.value.span == Span(source.rindex("x < 1"), source.rindex("x < 1") + len("x < 1"))


def test_only_the_chosen_branch_of_a_long_choice_is_evaluated():
    source = "".join(f"n == {number} ? {number} : " for number in range(1_000)) + "1 / 0"
    assert Expression(source, LIBRARY)({"n": 999}) == 999
    with pytest.raises(EvaluationError, match="division by zero"):
        Expression(source, LIBRARY)({"n": -1})


def test_choices_nested_too_deep_for_python_are_rejected_and_evaluated_where_python_allows_more():
    source = ("b ? 1 : " * 15 + "a ? (") * 190 + "7" + ") : 2" * 190
    try:
        expression = Expression(source, LIBRARY)
    except ParseError as error:
        assert error.message == "the expression nests too deep to be compiled"  # noqa: PT017 - not raised by all versions
    else:
        assert sys.version_info >= (3, 13)
        assert expression({"a": True, "b": False}) == 7


@pytest.mark.parametrize("fast", [True, False])
def test_comprehensions_nest_deeper_than_the_blocks_of_python(fast):
    levels = range(40)
    source = "".join(f"MAP([{level}], x{level} -> " for level in levels) + " + ".join(f"x{level}" for level in levels)
    value = Expression(source + ")" * len(levels), LIBRARY, fast=fast)({})
    for _ in levels:
        (value,) = value
    assert value == sum(levels)


def test_a_source_of_64_kib_is_accepted_and_a_longer_one_rejected():
    assert Expression("1".ljust(MAX_SOURCE_BYTES), LIBRARY)({}) == 1
    for source in (
        "1".ljust(MAX_SOURCE_BYTES + 1),
        "'" + "é" * (MAX_SOURCE_BYTES // 2) + "'",
        "'" + "\ud800" * 30_000 + "'",
    ):
        with pytest.raises(ParseError) as caught:
            Expression(source, LIBRARY)
        assert caught.value.message == "the expression is longer than 65536 bytes"
        assert len(str(caught.value)) < 400


def test_integers_have_4096_bits():
    widest = 2**4096 - 1
    assert Expression(str(widest), LIBRARY)({}) == widest
    assert Expression(f"-{widest}", LIBRARY)({}) == -widest
    assert Expression("x + 0", LIBRARY)({"x": widest}) == widest
    with pytest.raises(ParseError, match="more than 4096 bits"):
        Expression(str(widest + 1), LIBRARY)
    for source in ("x + 1", "1 - -x", "x * x", "x * 2", "-x - 1"):
        with pytest.raises(EvaluationError, match="more than 4096 bits"):
            Expression(source, LIBRARY)({"x": widest})


def test_a_deep_expression_compiles_with_little_stack():
    def at_depth(frames: int) -> object:
        if frames:
            return at_depth(frames - 1)
        return Expression(nest("left operands of and", 200), LIBRARY)({})

    assert at_depth(sys.getrecursionlimit() - 300) is False


def test_stack_exhaustion_is_an_evaluation_error():
    deep = Expression("MAP([1], x -> " * 60 + "x" + ")" * 60, LIBRARY, fast=False)
    caught: list[BaseException] = []

    def descend() -> None:
        # Recurse until the expression has too little stack
        with contextlib.suppress(RecursionError):
            descend()
        try:
            deep({})
        except (EvaluationError, RecursionError) as error:
            caught.append(error)

    thread = threading.Thread(target=descend)
    thread.start()
    thread.join()
    errors = [error for error in caught if isinstance(error, EvaluationError)]
    assert errors
    assert {error.message for error in errors} == {"the evaluation nests too deep"}
    # With even less stack the error can't be created, and the caller gets a RecursionError
