"""Networks and ranges as blocks of addresses and integers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.stores.intervals import Interval, find_blocks, read_interval


@pytest.mark.parametrize(
    ("text", "family", "first", "last"),
    [
        ("10.0.0.0/8", 4, 10 << 24, (11 << 24) - 1),
        ("10.1.2.3/8", 4, 10 << 24, (11 << 24) - 1),
        ("10.0.0.5-10.0.0.9", 4, (10 << 24) + 5, (10 << 24) + 9),
        (" 10.0.0.5 - 10.0.0.9 ", 4, (10 << 24) + 5, (10 << 24) + 9),
        ("10.0.0.5", 4, (10 << 24) + 5, (10 << 24) + 5),
        ("0.0.0.0/0", 4, 0, (1 << 32) - 1),
        ("::/0", 6, 0, (1 << 128) - 1),
        ("2001:db8::/32", 6, 0x20010DB8 << 96, (0x20010DB9 << 96) - 1),
        ("::ffff:10.0.0.5", 4, (10 << 24) + 5, (10 << 24) + 5),
        ("6000-6063", 0, (1 << 63) + 6000, (1 << 63) + 6063),
        ("-5--1", 0, (1 << 63) - 5, (1 << 63) - 1),
        ("80", 0, (1 << 63) + 80, (1 << 63) + 80),
    ],
)
def test_networks_ranges_and_single_values_are_intervals(text: str, family: int, first: int, last: int) -> None:
    assert read_interval(text) == Interval(family, first, last)


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.0/33", "10.0.0.1-", "1.2.3.4-::1", "9-", "99999999999999999999", "1-2-3", "١-٢", "a/8"]
)
def test_another_string_is_no_interval(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid interval .*: expected a network such as"):
        read_interval(text)


@pytest.mark.parametrize("text", ["10.0.0.9-10.0.0.5", "9-5"])
def test_the_end_of_a_range_is_not_before_its_start(text: str) -> None:
    with pytest.raises(ValueError, match="the end is before the start"):
        read_interval(text)


ranges = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)).map(sorted)


@given(ranges, st.integers(0, 2**32 - 1))
def test_a_value_is_in_a_range_exactly_if_it_shares_a_block(ends: list[int], value: int) -> None:
    interval = Interval(4, *ends)
    blocks = {block: length for length, block in interval.blocks()}
    for each in (value, ends[0], ends[1], max(ends[0] - 1, 0), min(ends[1] + 1, 2**32 - 1)):
        address = ".".join(str(byte) for byte in each.to_bytes(4, "big"))
        found = find_blocks(address, [(4, length) for length in sorted(set(blocks.values()))])
        assert bool(blocks.keys() & set(found)) == (ends[0] <= each <= ends[1])
    assert len(blocks) <= 62


@pytest.mark.parametrize("value", ["x", "", "10.0.0.0/8", "1-5"])
def test_a_value_that_is_neither_address_nor_integer_is_in_no_block(value: str) -> None:
    assert find_blocks(value, [(4, 8), (6, 8), (0, 8)]) == []
