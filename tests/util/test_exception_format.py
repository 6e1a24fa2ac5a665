"""Exceptions are formatted as by Python's traceback, also at the same location with another message."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

import stellar
from stellar.util import exception_format
from stellar.util.exception_format import format_exception


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no message")


def divide(number: int) -> None:
    1 / (number - number)


def wrap(number: int) -> None:
    try:
        divide(number)
    except ZeroDivisionError as error:
        raise ValueError(f"invalid number {number}") from error


def fail_again(number: int) -> None:
    try:
        divide(number)
    except ZeroDivisionError:
        raise LookupError(number)  # noqa: B904 (the context is tested)


def replace(number: int) -> None:
    try:
        divide(number)
    except ZeroDivisionError:
        raise LookupError(f"no {number}") from None


def recurse(number: int) -> None:
    recurse(number + 1)


def raise_note(number: int) -> None:
    error = ValueError(number)
    error.add_note("a note")
    raise error


def raise_group(number: int) -> None:
    raise ExceptionGroup(f"{number} errors", [ValueError(1)])


def raise_empty(number: int) -> None:
    raise ValueError


def raise_silent(number: int) -> None:
    raise Silent


def misspell(number: int) -> None:
    numbre  # noqa: B018, F821


def compile_text(number: int) -> None:
    compile(f"{number} +", "text", "exec")


def cause_itself(number: int) -> None:
    error = ValueError(number)
    error.__cause__ = LookupError("no")
    error.__cause__.__cause__ = error
    raise error


def evaluate(number: int) -> None:
    stellar.evaluate("1 +\n  x / 0", {"x": number})


FAILING = [
    divide,
    wrap,
    fail_again,
    replace,
    recurse,
    raise_note,
    raise_group,
    raise_empty,
    raise_silent,
    misspell,
    compile_text,
    cause_itself,
    evaluate,
]


def catch(fail: Callable[[int], None], number: int) -> Exception:
    try:
        fail(number)
    except Exception as error:  # noqa: BLE001 (any of those above)
        return error
    raise AssertionError("no error")


@pytest.mark.parametrize("fail", FAILING)
def test_an_exception_is_formatted_as_by_python(fail: Callable[[int], None]) -> None:
    for number in (1, 2, 3):
        error = catch(fail, number)
        assert format_exception(error) == "".join(traceback.format_exception(error))


def test_an_exception_that_was_not_raised_has_no_stack() -> None:
    assert format_exception(ValueError("a")) == "ValueError: a\n"


def test_a_stack_is_formatted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    formatted: list[object] = []

    def format_tb(stack: object) -> list[str]:
        formatted.append(stack)
        return ["  a frame\n"]

    monkeypatch.setattr(exception_format, "_stacks", {})
    monkeypatch.setattr(traceback, "format_tb", format_tb)
    texts = [
        format_exception(catch(raise_silent, 1)),
        format_exception(catch(divide, 1)),
        format_exception(catch(divide, 2)),
    ]
    assert len(formatted) == 2
    assert texts[1] == texts[2]


def test_the_stack_of_new_code_is_not_that_of_code_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exception_format, "_stacks", {})
    for number in range(20):  # an id would be reused at once
        namespace: dict[str, Callable[[int], None]] = {}
        exec(compile(f"def fail_{number}(_): 1 / 0", f"<{number}>", "exec"), namespace)
        error = catch(namespace[f"fail_{number}"], 1)
        assert f'File "<{number}>", line 1, in fail_{number}' in format_exception(error)


def test_the_stack_of_long_code_is_formatted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exception_format, "_stacks", {})
    monkeypatch.setattr(exception_format, "LONGEST_CODE", 10)
    error = catch(divide, 1)
    assert format_exception(error) == "".join(traceback.format_exception(error))
    assert not exception_format._stacks


def test_the_number_of_stacks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exception_format, "_stacks", {})
    monkeypatch.setattr(exception_format, "MOST_STACKS", 2)
    for fail in FAILING:
        format_exception(catch(fail, 1))
    assert 0 < len(exception_format._stacks) <= 2
