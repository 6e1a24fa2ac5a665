"""Examples in docstrings of functions hold: `EXPRESSION  // result`, where the result may be `error`."""

from __future__ import annotations

import math
import re

import pytest

import stellar
from stellar.functions import LIBRARY, maas

EXAMPLE = re.compile(r"(.*\S)\s+// (.+)")
EXAMPLES = [
    (function.name, *EXAMPLE.fullmatch(line).groups())
    for function in LIBRARY.values()
    for line in function.help.examples.splitlines()
]
BUILT_IN = [function for function in LIBRARY.values() if function.implementation.__module__ != maas.__name__]


@pytest.mark.parametrize(("expression", "result"), [example[1:] for example in EXAMPLES])
def test_an_example_in_a_docstring_holds(expression, result):
    if result == "error":
        with pytest.raises(stellar.StellarError):
            stellar.evaluate(expression, {})
        return
    actual, expected = stellar.evaluate(expression, {}), stellar.evaluate(result, {})
    assert actual == expected or (math.isnan(actual) and math.isnan(expected))
    assert type(actual) is type(expected)


@pytest.mark.parametrize("function", BUILT_IN, ids=lambda function: function.name)
def test_a_function_is_documented(function):
    assert function.help.summary.endswith(".")
    assert function.help.returns
    assert set(function.help.parameters) == {parameter.name for parameter in function.parameters}
    assert function.needs_context or [name for name, *_ in EXAMPLES].count(function.name) >= 2
