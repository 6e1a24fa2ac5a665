"""Tests of memoization: results are cached, and the cache takes little memory."""

from __future__ import annotations

import gc
import weakref

import pytest

from stellar.util.memoize import memoize, memoize_for


class Result:
    """A result that a weak reference can watch."""


@pytest.mark.parametrize("string", ["short", "long" * 1000])
def test_a_result_is_computed_once(string):
    make = memoize_for(4)(lambda *_: Result())
    assert make(string) is make(string)
    assert make(string, 1) is make(string, 1)
    assert make(string, 1) is not make(string, 2)


def test_a_result_for_a_very_long_string_is_not_cached():
    make = memoize_for(4)(lambda _: Result())
    assert make("x" * 100_000) is not make("x" * 100_000)
    make = memoize(lambda _: Result())
    assert make("x" * 1001) is not make("x" * 1001)
    assert make("x") is make("x")


@pytest.mark.parametrize(("length", "most"), [(10, 4), (50_000, 8)])
def test_few_results_for_long_strings_are_kept(length, most):
    make = memoize_for(4)(lambda _: Result())
    results = [weakref.ref(make(str(number).rjust(length))) for number in range(20)]
    gc.collect()
    assert sum(result() is not None for result in results) == most


def test_an_error_is_not_cached():
    calls = []

    @memoize_for(4)
    def fail(string: str) -> None:
        calls.append(string)
        raise ValueError(string)

    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            fail("x")
    assert calls == ["x", "x"]
    assert fail.__name__ == "fail"
