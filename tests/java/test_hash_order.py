"""Tests of the order of Java's HashMap."""

from __future__ import annotations

import pytest

from stellar.java.hash_order import hash_string, sort_in_hash_order


@pytest.mark.parametrize(("text", "code"), [("", 0), ("a", 97), ("hello", 99162322), ("\U0001f600", 1772899)])
def test_strings_have_the_hash_codes_of_java(text: str, code: int) -> None:
    assert hash_string(text) == code


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["w", "v"], ["v", "w"]),
        (["ip_src_addr", "a", "timestamp"], ["a", "ip_src_addr", "timestamp"]),
        (["b", "b", "a"], ["a", "b"]),
        ([], []),
    ],
)
def test_names_are_in_the_order_of_a_hash_map(names: list[str], order: list[str]) -> None:
    assert sort_in_hash_order(names) == order


def test_a_larger_map_has_more_buckets() -> None:
    names = [chr(code) for code in range(97, 123)]
    assert sort_in_hash_order(reversed(names)) == [*names[-26:]]
