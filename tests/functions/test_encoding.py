"""Decoding is lenient, and the fast path agrees with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stellar.functions import encoding
from stellar.functions.encoding import decode, encode


@given(st.text("AQgz9+/-_= \né", max_size=12))
def test_strict_and_lenient_base64_decoding_agree(text: str) -> None:
    assert encoding._decode_base64(text) == encoding._decode_any_base64(text)


@given(st.text("09afAFgG \né", min_size=1, max_size=8))
def test_hexadecimal_digits_are_decoded_in_pairs_or_returned_unchanged(text: str) -> None:
    pairs = bytes(int(text[at : at + 2], 16) for at in range(0, len(text), 2)) if _is_hexadecimal(text) else None
    assert decode(text, "HEX") == (text if pairs is None else pairs.decode("utf-8", "replace"))


def _is_hexadecimal(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdefABCDEF")


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["BASE32", "base32hex", "Base64", "HEX"]),
)
def test_an_encoded_string_decodes_to_itself(text: str, name: str) -> None:
    assert decode(encode(text, name), name, True) == text
