"""Java properties files are read as Java reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stellar.java.properties import read, read_entries

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
def write(tmp_path: Path):
    def write_file(data: str | bytes) -> Path:
        path = tmp_path / "stellar.properties"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write_file


@pytest.mark.parametrize(("source", "expected"), CASES)
def test_keys_and_values_are_read(write, source, expected):
    assert read(write(source)) == expected


def test_the_file_is_utf_8_or_else_iso_8859_1(write):
    assert read(write("a=é€")) == {"a": "é€"}
    assert read(write(b"\xef\xbb\xbfa=1")) == {"a": "1"}
    assert read(write(b"a=\xe9")) == {"a": "é"}


def test_entries_have_the_lines_they_begin_on(write):
    source = "# comment\na=1\\\n  2\n\nb=3\na=4\n"
    assert [tuple(entry) for entry in read_entries(write(source))] == [(2, "a", "12"), (5, "b", "3"), (6, "a", "4")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a=1\nb=\\u12", ":2: invalid escape \\u: expected four hexadecimal digits"),
        ("path=C:\\users", ":1: invalid escape \\u: expected four hexadecimal digits"),
        ("a=\\ud83d", ":1: invalid escape in '\\\\ud83d': unpaired surrogate"),
    ],
)
def test_an_invalid_escape_is_an_error_with_its_line(write, source, message):
    path = write(source)
    with pytest.raises(ValueError, match=re.escape(f"{path}{message}")):
        read(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")
