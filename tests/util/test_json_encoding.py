"""Encoders of JSON, with and without the encoder in C."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.util.json_encoding import make_encoder

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(params=["c", "python"])
def is_compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "python":
        monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    return bool(request.param == "c")


@given(VALUES, st.booleans())
def test_values_are_encoded_as_by_the_standard_library(value: Any, ensure_ascii: bool) -> None:
    expected = json.dumps(value, ensure_ascii=ensure_ascii, separators=(",", ":"))
    assert make_encoder(ensure_ascii=ensure_ascii)(value) == expected


def test_other_values_are_converted_or_rejected(is_compiled: bool) -> None:
    assert make_encoder(sorted, ensure_ascii=True)({"é": {2, 1}}) == '{"\\u00e9":[1,2]}'
    endless: list[Any] = []
    endless.append(endless)
    encode = make_encoder(ensure_ascii=True)
    for value, error in ((math.nan, ValueError), ({1}, TypeError), (endless, RecursionError)):
        with pytest.raises(error):
            encode(value)
