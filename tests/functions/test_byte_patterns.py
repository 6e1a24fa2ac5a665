"""BYTEARRAY_MATCHER finds byte patterns anywhere in data and rejects invalid ones."""

from __future__ import annotations

import pytest

from stellar.functions.byte_patterns import bytearray_matcher

SEARCHES = [
    ("'GET'", b"\x00GET /", True),
    ("'GET'", b"get /", False),
    ("`GeT` 20 '/'", b"gEt /", True),
    ("474554", b"GET", True),
    ("47 ^45 54", b"GET", False),
    ("47 ^'x' 54", b"GET", True),
    ("'G' . 'T'", b"G\nT", True),
    ("'G' . 'T'", b"GT", False),
    ("30-39 'a' - 'z'", b"7x", True),
    ("39-30", b"5", True),
    ("^30-39", b"0123", False),
    ("['aeiou' 00-1f [7f]] ff", b"\x1f\xff", True),
    ("^['aeiou'] ff", b"a\xff", False),
    ("[^'a' ff] 00", b"a\x00", False),
    ("&81", b"\x81", True),
    ("&81", b"\x80", False),
    ("^&80", b"\xff\x80", False),
    ("~81", b"\x01", True),
    ("~00", bytes(range(256)), False),
    ("&00", b"\x00", True),
    ("00{3} 'ab'{2}", b"\x00\x00\x00abab", True),
    ("00{3}", b"\x00\x00", False),
    (r"\d \D \l \u \s \w \W \i \I \t\r\n", b"1xaA _-a\xff\t\r\n", True),
    ("00 # the end\n 'x' # of it", b"\x00x", True),
    ("'#'", b"#", True),
    ("'é'", b"\xe9", True),
    (". {4}", b"abc", False),
    (". {3}", b"a]\n", True),
    ("[']' '\\' '^' '-']{4}", b"-^\\]", True),
]


@pytest.mark.parametrize(("pattern", "data", "found"), SEARCHES)
def test_a_byte_pattern_is_found(pattern, data, found):
    assert bytearray_matcher(pattern, data) is found


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "  # nothing",
            "0",
            "xyz",
            "'GET",
            "''",
            "[00",
            "00]",
            "(00)",
            "00|01",
            "00*",
            "00+",
            "^'ab'",
            "'ab'-'c'",
        ),
        *("00-", "&[00 01]", r"\q", "\\", r"\T", "'€'", "00{70000}", "00{1,2}", "{3}", "[" * 60 + "]" * 60, "^", "~"),
        *("^" * 5000 + "00", "&~" * 5000 + "00", "'" + "a" * 600 + "'", "00{600}", ". " * 600, ".{40000} .{40000}"),
    ],
)
def test_an_invalid_pattern_is_rejected(pattern):
    with pytest.raises(ValueError, match="byte pattern"):
        bytearray_matcher(pattern, b"\x00")


def test_search_time_is_bounded_by_data_size_and_pattern_size(bounded):
    with bounded():
        assert not bytearray_matcher("[00-FE]{511} FF", bytes(200_000))
        assert not bytearray_matcher(".{60000} 'x'", bytes(200_000))
