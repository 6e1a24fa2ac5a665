"""Comparison of binary64 numbers as if they were rounded to binary32, without rounding them."""

from __future__ import annotations

import math
import struct

from stellar.models.values import round_single


def find_neighbor(value: float, *, is_above: bool) -> float:
    """Return the binary32 number next to a binary32 number."""
    if value == 0:
        smallest = 2.0**-149
        return smallest if is_above else -smallest
    (bits,) = struct.unpack("i", struct.pack("f", value))
    return float(struct.unpack("f", struct.pack("i", bits + (1 if is_above == (value > 0) else -1)))[0])


def find_upper_limit(value: float) -> float:
    """Return the largest binary64 number that rounds to a binary32 number, or to one below it."""
    if math.isinf(value):
        return value if value > 0 else find_upper_limit_of(-(2.0**128), find_neighbor(value, is_above=True))
    above = find_neighbor(value, is_above=True) if value < _LARGEST else 2.0**128
    return find_upper_limit_of(value, above)


_LARGEST = float.fromhex("0x1.fffffep127")


def find_upper_limit_of(value: float, above: float) -> float:
    """Return the largest number that rounds to the first of two neighbors."""
    middle = value + (above - value) / 2
    return middle if round_single(middle) <= value else math.nextafter(middle, -math.inf)


def find_lower_bound(bound: float, *, is_open: bool) -> float:
    """Return the number above which a binary64 number, rounded to binary32, is at least a bound, or above it."""
    rounded = round_single(bound)
    is_below = rounded <= bound if is_open else rounded < bound
    last_below = rounded if is_below else find_neighbor(rounded, is_above=False)
    return find_upper_limit(last_below)


def find_upper_bound(bound: float, *, is_open: bool) -> float:
    """Return the largest binary64 number that, rounded to binary32, is at most a bound, or below it."""
    rounded = round_single(bound)
    is_inside = rounded < bound if is_open else rounded <= bound
    return find_upper_limit(rounded if is_inside else find_neighbor(rounded, is_above=False))
