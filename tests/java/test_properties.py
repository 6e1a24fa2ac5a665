"""Java's properties are read as Java reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stellar.java.properties import entries, read

CASES = [
    ("", {}),
    ("# a comment\n! another\n\n  \t\n", {}),
    ("key=value", {"key": "value"}),
    ("key = value \n", {"key": "value "}),
    ("key:value\nother : 1", {"key": "value", "other": "1"}),
    ("key value", {"key": "value"}),
    ("key\tvalue = more", {"key": "value = more"}),
    ("key", {"key": ""}),
    ("key=", {"key": ""}),
    ("=value", {"": "value"}),
    ("a==b", {"a": "=b"}),
    ("a = : b", {"a": ": b"}),
    ("a=1\na=2", {"a": "2"}),
    (r"a\=b\:c\ d=e", {"a=b:c d": "e"}),
    (r"\#a=b", {"#a": "b"}),
    (r"a=\t\n\r\f\\\q\"", {"a": '\t\n\r\f\\q"'}),
    (r"a=\u00e9\u20AC", {"a": "é€"}),
    (r"a=\ud83d\ude00!", {"a": "😀!"}),
    ("a=one,\\\n    two,\\\n\tthree\nb=1", {"a": "one,two,three", "b": "1"}),
    ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
    ("a=b\\\\\\\nc=d", {"a": "b\\c=d"}),
    ("a=1\\\n# no comment\nb=2", {"a": "1# no comment", "b": "2"}),
    ("# no continuation \\\na=1", {"a": "1"}),
    ("a\\\nb=1", {"ab": "1"}),
    ("a=1\\", {"a": "1"}),
    ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
    ("stellar.function.paths=one\\,two", {"stellar.function.paths": "one,two"}),
]  # fmt: skip


@pytest.fixture
def written(tmp_path: Path):
    def write(data: str | bytes) -> Path:
        path = tmp_path / "stellar.properties"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_properties_are_read(written, text, expected):
    assert read(written(text)) == expected


def test_the_file_is_utf_8_or_else_iso_8859_1(written):
    assert read(written("a=é€")) == {"a": "é€"}
    assert read(written(b"\xef\xbb\xbfa=1")) == {"a": "1"}
    assert read(written(b"a=\xe9")) == {"a": "é"}


def test_entries_have_the_lines_they_begin_on(written):
    text = "# comment\na=1\\\n  2\n\nb=3\na=4\n"
    assert [tuple(entry) for entry in entries(written(text))] == [(2, "a", "12"), (5, "b", "3"), (6, "a", "4")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a=1\nb=\\u12", ":2: behind \\u stand four digits"),
        ("path=C:\\users", ":1: behind \\u stand four digits"),
        ("a=\\ud83d", ":1: half of a character in '\\\\ud83d'"),
    ],
)
def test_what_is_no_escape_is_told_with_its_place(written, text, complaint):
    path = written(text)
    with pytest.raises(ValueError, match=re.escape(f"{path}{complaint}")):
        read(path)


def test_a_file_that_cannot_be_read_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
