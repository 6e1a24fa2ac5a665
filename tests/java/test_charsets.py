"""Tests of charsets by their Java names."""

from __future__ import annotations

import pytest

from stellar.java.charsets import _load, find_charset


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("UTF-8", "UTF-8"),
        ("utf8", "UTF-8"),
        ("ISO-8859-1", "ISO-8859-1"),
        ("ISO8859_1", "ISO-8859-1"),
        ("l1", "ISO-8859-1"),
        ("windows-1252", "windows-1252"),
        ("Cp1252", "windows-1252"),
        ("US-ASCII", "US-ASCII"),
        ("unicode", "UTF-16"),
        ("EBCDIC-cp-us", "IBM037"),
        ("sjis", "Shift_JIS"),
    ],
)
def test_a_charset_has_its_java_names(name: str, canonical: str) -> None:
    assert find_charset(name).name == canonical


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "utf 8",
        " UTF-8",
        "idna",
        "unicode_escape",
        "rot13",
        "hex",
        "utf-8-sig",
        "latin-1",
        "cp65001",
        "ſjis",
    ],
)
def test_other_names_are_no_charsets(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown charset '.*'; use one such as"):
        find_charset(name)


@pytest.mark.parametrize("name", ["IBM930", "cp939", "x-EUC-TW", "JISAutoDetect", "ISO2022CN"])
def test_a_charset_without_a_codec_is_not_supported(name: str) -> None:
    with pytest.raises(ValueError, match=r"charset .* is not supported; use one such as"):
        find_charset(name)


def test_the_table_has_all_charsets_of_java() -> None:
    charsets = {charset.name: charset for charset in _load().values()}
    encoding = [each for each in charsets.values() if each.table or (each.codec and not each.decodes_only)]
    assert (len(charsets), len(encoding)) == (173, 126)
    assert {len(each.table) for each in encoding} == {0, 256}


@pytest.mark.parametrize(
    ("charset", "string", "content"),
    [
        ("UTF-8", "é€😀", "c3a9e282acf09f9880"),
        ("UTF-8", "a\ud800b", "613f62"),
        ("UTF-16", "", ""),
        ("UTF-16", "a", "feff0061"),
        ("UTF-16", "\ud800", "fefffffd"),
        ("UTF-16LE", "a\udc00", "6100fdff"),
        ("UTF-16BE", "😀", "d83dde00"),
        ("x-UTF-16LE-BOM", "a", "fffe6100"),
        ("UTF-32", "a", "00000061"),
        ("UTF-32LE", "\ud800", "fdff0000"),
        ("X-UTF-32BE-BOM", "a", "0000feff00000061"),
        ("IBM037", "Aé\n\x85€😀\ud800", "c15115153f3f3f"),
        ("IBM-Thai", "\u0e48", "ed"),
        ("x-MacDingbat", "✁A", "213f"),
        ("TIS-620", "ก\x80", "a13f"),
        ("US-ASCII", "é😀", "3f3f"),
        ("EUC-KR", "a한갂", "61c7d13f"),
        ("EUC-KR", "abc", "616263"),
        ("Shift_JIS", "あ", "82a0"),
    ],
)
def test_a_string_is_encoded_as_in_java(charset: str, string: str, content: str) -> None:
    assert find_charset(charset).encode(string).hex() == content


@pytest.mark.parametrize(("charset", "string"), [("EUC-JP", "a—"), ("windows-31j", "ⅰ"), ("GBK", "\ue000")])
def test_a_character_that_java_encodes_differently_is_an_error(charset: str, string: str) -> None:
    with pytest.raises(ValueError, match=f"charset {charset} is not supported for '.*'; use one such as UTF-8"):
        find_charset(charset).encode(string)


def test_a_charset_that_python_encodes_differently_only_decodes() -> None:
    charset = find_charset("iso2022jp")
    assert charset.decode(b'\x1b$B$"\x1b(B') == "あ"
    with pytest.raises(ValueError, match="charset ISO-2022-JP is not supported; use one such as"):
        charset.encode("あ")


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"\x00a", "UTF-16", "a"),
        (b"\xff\xfea\x00", "UTF-16", "a"),
        (b"\xfe\xff\x00a", "UTF-16", "a"),
        (b"\xfe\xff\x00a", "UTF-16BE", "\ufeffa"),
        (b"a\x00", "UnicodeLittle", "a"),
        (b"\xfe\xff\x00a", "UnicodeLittle", "a"),
        (b"\x00\x00\x00a", "UTF-32", "a"),
        (b"\x00\x00\xfe\xff\x00\x00\x00a", "UTF-32BE", "a"),
        (b"a\xff", "UTF-8", "a\ufffd"),
        (b"a\xff", "US-ASCII", "a\ufffd"),
        (b"\xef\xbb\xbfa", "UTF-8", "\ufeffa"),
        (b"\xc1\x15\x25", "IBM037", "A\n\n"),
        (b"\xff", "TIS-620", "\ufffd"),
    ],
)
def test_bytes_are_decoded_as_in_java(content: bytes, charset: str, text: str) -> None:
    assert find_charset(charset).decode(content) == text
