"""Domain labels in ASCII, as Java's IDN class encodes them."""

from __future__ import annotations

import pytest

from stellar.java.idna import encode_label


@pytest.mark.parametrize(
    ("label", "ascii_form"),
    [
        ("example", "example"),
        ("bücher", "xn--bcher-kva"),
        ("BÜCHER", "xn--bcher-kva"),
        ("straße", "strasse"),
        ("ϸ", "xn--nza"),
        ("Ϸ", "xn--mza"),
        ("ａ", "a"),
        ("a\xadb", "ab"),
    ],
)
def test_a_label_has_this_ascii_form(label: str, ascii_form: str) -> None:
    assert encode_label(label) == ascii_form


@pytest.mark.parametrize("label", ["é" * 63, "a\u2028", "\ue000"])
def test_a_label_without_ascii_form_is_an_error(label: str) -> None:
    with pytest.raises(UnicodeError):
        encode_label(label)
