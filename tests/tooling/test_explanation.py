"""Values of subexpressions in one evaluation."""

from __future__ import annotations

import pytest

from stellar.language.errors import EvaluationError
from stellar.language.expression import Expression, default_library
from stellar.tooling.explanation import explain_expression

EXPLAINED = {
    "1": [],
    "x": [(0, "x", (1,))],
    "x + 1 + y": [(0, "x + 1 + y", (6,)), (1, "x + 1", (2,)), (2, "x", (1,)), (1, "y", (4,))],
    "x == 1 or y": [(0, "x == 1 or y", (True,)), (1, "x == 1", (True,)), (2, "x", (1,)), (1, "y", ())],
    "-x": [(0, "-x", (-1,)), (1, "x", (1,))],
    "not(x == 1)": [(0, "not(x == 1)", (False,)), (1, "x == 1", (True,)), (2, "x", (1,))],
    "exists(z)": [(0, "exists(z)", (False,))],
    "y in [1, 2]": [(0, "y in [1, 2]", (False,)), (1, "y", (4,))],
    "[x, 2]": [(0, "[x, 2]", ([1, 2],)), (1, "x", (1,))],
    "{'a' : x}": [(0, "{'a' : x}", ({"a": 1},)), (1, "x", (1,))],
    "MAP([1, 2], z -> z + x)": [
        (0, "MAP([1, 2], z -> z + x)", ([2, 3],)),
        (1, "z + x", (2, 3)),
        (2, "z", (1, 2)),
        (2, "x", (1, 1)),
    ],
    "if x == 2 then 'a' else if y == 4 then 'b' else z": [
        (0, "if x == 2 then 'a' else if y == 4 then 'b' else z", ("b",)),
        (1, "x == 2", (False,)),
        (2, "x", (1,)),
        (1, "y == 4", (True,)),
        (2, "y", (4,)),
        (1, "z", ()),
    ],
    "match { x == 1 => 'one', default => z }": [
        (0, "match { x == 1 => 'one', default => z }", ("one",)),
        (1, "x == 1", (True,)),
        (2, "x", (1,)),
        (1, "z", ()),
    ],
    "x  +\n  1": [(0, "x + 1", (2,)), (1, "x", (1,))],
    "TO_UPPER(x, y)": [(0, "TO_UPPER(x, y)", ("1",)), (1, "x", (1,)), (1, "y", (4,))],
}


@pytest.mark.parametrize("source", EXPLAINED)
def test_each_subexpression_has_its_values(source):
    explanation = explain_expression(Expression(source, default_library()), {"x": 1, "y": 4})
    assert [(part.depth, part.text, part.values) for part in explanation.parts] == EXPLAINED[source]
    assert explanation.error is None


def test_an_error_ends_the_evaluation_and_is_returned():
    explanation = explain_expression(Expression("x == 1 and 1 / y > 1", default_library()), {"x": 1, "y": 0})
    assert [(part.text, part.values) for part in explanation.parts] == [
        ("x == 1 and 1 / y > 1", ()),
        ("x == 1", (True,)),
        ("x", (1,)),
        ("1 / y > 1", ()),
        ("1 / y", ()),
        ("y", (0,)),
    ]
    assert isinstance(explanation.error, EvaluationError)
    assert str(explanation.error).startswith("division by zero\n1 | x == 1 and 1 / y > 1\n               ^^^^^")
