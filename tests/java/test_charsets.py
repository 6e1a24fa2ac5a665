"""Tests of charsets by their Java names."""

from __future__ import annotations

import pytest

from stellar.java.charsets import decode, find_charset


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("ISO-8859-1", "iso8859-1"),
        ("ISO8859_1", "iso8859-1"),
        ("windows-1252", "cp1252"),
        ("Cp1252", "cp1252"),
        ("US-ASCII", "ascii"),
        ("UTF-16LE", "utf-16-le"),
    ],
)
def test_a_charset_has_its_java_names(name: str, codec: str) -> None:
    assert find_charset(name) == codec


@pytest.mark.parametrize("name", ["", "nope", "utf 8", " UTF-8", "idna", "unicode_escape", "rot13", "hex", "utf-8-sig"])
def test_other_names_are_no_charsets(name: str) -> None:
    assert find_charset(name) is None


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"\x00a", "utf-16", "a"),
        (b"\xff\xfea\x00", "utf-16", "a"),
        (b"\xfe\xff\x00a", "utf-16", "a"),
        (b"\x00\x00\x00a", "utf-32", "a"),
        (b"a\xff", "utf-8", "a\ufffd"),
        (b"a\xff", "ascii", "a\ufffd"),
        (b"\xef\xbb\xbfa", "utf-8", "\ufeffa"),
    ],
)
def test_bytes_are_decoded_as_in_java(content: bytes, charset: str, text: str) -> None:
    assert decode(content, charset) == text
