"""Functions return a value or raise an error of their own for any arguments, never one of Python's errors."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stellar
from stellar.functions import LIBRARY

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, 1, -1, 2**31, 2**63, 2**70, 2**5000, 1528192393123, 0.0, -0.5, 1e300, math.nan, math.inf, -math.inf]
    ),
    st.sampled_from(
        ["", " ", "a", "abc", "10.0.0.1", "10.0.0.0/8", "www.example.com", "http://a:1/b?c#d", "[1]", "{}"]
    ),
    st.text(max_size=5),
    st.binary(max_size=3),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(scalars.filter(lambda key: key == key), scalars, max_size=2),
    st.frozensets(scalars, max_size=2).map(set),
    st.lists(st.lists(scalars, max_size=2), max_size=2),
    st.just(len),
    st.builds(lambda: lambda *_: True),
    st.builds(object),
)


@pytest.mark.parametrize("name", sorted(LIBRARY))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(arguments=st.lists(values, max_size=4))
def test_a_function_returns_or_raises_an_error_of_its_own(name, arguments):
    names = [f"a{index}" for index in range(len(arguments))]
    record = dict(zip(names, arguments, strict=True))
    error = evaluation_error(f"{name}({', '.join(names)})", record)
    assert isinstance(error, ValueError | LookupError | None), repr(error)
    assert not isinstance(error, KeyError | IndexError | UnicodeError), repr(error)


def evaluation_error(expression, record):
    """Return the error of an evaluation, or None. A wrong number of arguments is not tested here."""
    try:
        stellar.compile(expression).evaluate(record)
    except stellar.EvaluationError as error:
        return error.__cause__
    except stellar.ResolutionError:
        return None
    return None
