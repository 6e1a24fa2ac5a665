"""Functions that are declared pure depend on their arguments alone and change none; borrowed ones are not returned."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

import stellar
from stellar.functions import LIBRARY
from stellar.language.library import Function

PURE = sorted(name for name, function in LIBRARY.items() if function.pure)
CLOCK = {name for name in PURE if LIBRARY[name].family == "dates"}
ARGUMENTS: list[Any] = [
    *(None, True, 0, 1, 5, 1.5, -3.0, "", "a", "b", "1.5", "www.example.com", "http://a.b:1/c", "10.0.0.1", "UTC"),
    *("MD5", "10.0.0.0/8", "{\"a\": [1]}", "yyyy-MM-dd", "2020-01-02", "(a)", "%s", "en"),
    *([], ["a", "b"], [1, 2, 2.5], [[1], ["a"]], [{"a": 1}, {"b": 2}], {}, {"a": 1}, {"a": ["b"]}, {"latitude": 1.0}),
    *({"a", "b"}, b"abc"),
]  # fmt: skip


def evaluate(name: str, arguments: list[Any]) -> Any:
    """Return the value of a call, or the message of its error."""
    names = [f"a{index}" for index in range(len(arguments))]
    expression = stellar.compile(f"{name}({', '.join(names)})", unknown_functions="when_reached")
    try:
        return expression(dict(zip(names, arguments, strict=True)))
    except stellar.EvaluationError as error:
        return error.message


def show(value: Any) -> str:
    """Return a value without the addresses of objects."""
    return re.sub(r"0x[0-9a-f]+", "", repr(value))


def choose_arguments(name: str) -> Iterator[list[Any]]:
    rng = random.Random(name)
    function = LIBRARY[name]
    for _ in range(60):
        most = 3 if function.most is None else function.most
        count = rng.randint(function.required, max(function.required, min(most, 4)))
        yield [copy.deepcopy(_choose(function, index, rng)) for index in range(count)]


def _choose(function: Function, index: int, rng: random.Random) -> Any:
    accepted = [value for value in ARGUMENTS if function.parameter_at(index).kind.accepts(value)]
    return rng.choice(accepted or ARGUMENTS)


@pytest.mark.parametrize("name", PURE)
def test_a_pure_function_changes_no_argument_and_depends_on_nothing_else(name: str) -> None:
    for arguments in choose_arguments(name):
        before = repr(arguments)
        value = evaluate(name, arguments)
        assert repr(arguments) == before
        if name not in CLOCK:
            assert show(evaluate(name, arguments)) == show(value)


@pytest.mark.parametrize("name", [name for name in sorted(LIBRARY) if LIBRARY[name].borrows])
def test_a_borrowed_argument_is_neither_changed_nor_returned(name: str) -> None:
    function = LIBRARY[name]
    for arguments in choose_arguments(name):
        before = repr(arguments)
        value = evaluate(name, arguments)
        assert repr(arguments) == before
        borrowed = [each for index, each in enumerate(arguments) if function.borrows_at(index)]
        assert not any(value is each for each in borrowed if isinstance(each, list | dict))
