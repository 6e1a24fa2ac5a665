"""Digits are read leniently, however quickly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stellar.functions import encoding
from stellar.functions.encoding import decode, encode


@given(st.text("AQgz9+/-_= \né", max_size=12))
def test_base64_that_can_be_read_strictly_is_read_as_leniently(text: str) -> None:
    assert encoding._read_base64(text) == encoding._read_any_base64(text)


@given(st.text("09afAFgG \né", min_size=1, max_size=8))
def test_hexadecimal_digits_are_read_in_pairs_or_not_at_all(text: str) -> None:
    pairs = bytes(int(text[at : at + 2], 16) for at in range(0, len(text), 2)) if _all_pairs(text) else None
    assert decode(text, "HEX") == (text if pairs is None else pairs.decode("utf-8", "replace"))


def _all_pairs(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdefABCDEF")


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["BASE32", "base32hex", "Base64", "HEX"]),
)
def test_what_was_encoded_is_decoded(text: str, name: str) -> None:
    assert decode(encode(text, name), name, True) == text
