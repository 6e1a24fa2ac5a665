"""TLSH, a locality-sensitive hash: similar data has similar hashes. The algorithm of Oliver, Cheng and Chen (2013).

The native implementation of `py-tlsh` (the extra `tlsh`) computes the hash if it is installed, about 100 times faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

LEAST_OCTETS = 256
LEAST_OCTETS_WHEN_FORCED = 50
_WINDOW = 5
_NATIVE_LENGTH = 70
_LENGTH_WEIGHT = 12
_RATIO_WEIGHT = 12

# Pearson's permutation of the octets
_PEARSON = bytes.fromhex(
    "0157310cb0b266a679c10654f9e62ca30ec5d5b5a155da5040ef18e2ec8e26c8"
    "6eb168678dfdff324d6551122d601fde196bbe4656edf02248f214d6f4e395eb"
    "61ea39163cfa52afd0057fc76f3e87f8aea9d33a429a6ac3f5ab11bbb6b300f3"
    "8438944b80859e64827e5b0d99f6d8db7744df4e5358c9637a0b5c208872340a"
    "8a1e30b79c233d1a8f4afb5e81a23f98aa0773a7f1ce0396373b97dc5a351783"
    "7dad0fee4f5f59106989e1e0d9a0257b7649029d2e74099186e4cfd4cad745e5"
    "1bbc437ca8fc2a041d6c15f713cd27cbe928ba93c6c09b21a4bf62cca5b4754c"
    "8c24d2ac29369f08b9e871c4e72f927833411c90fedd5dbdc28b702b476db8d1"
)


@dataclass(frozen=True)
class Tlsh:
    """A TLSH hash: checksum, logarithm of the length, ratios of the quartiles, and two bits per bucket."""

    checksum: bytes
    length: int
    first_ratio: int
    second_ratio: int
    code: bytes

    def __str__(self) -> str:
        """Return the hash in uppercase hexadecimal digits, without the version prefix."""
        head = bytes(map(_swap_nibbles, self.checksum)) + bytes([_swap_nibbles(self.length)])
        return (head + bytes([self.first_ratio << 4 | self.second_ratio]) + self.code[::-1]).hex().upper()

    def distance(self, other: Tlsh, *, with_length: bool) -> int:
        """Return the distance to another hash, 0 for equal ones.

        Raises ValueError if their numbers of buckets or checksum bytes differ.
        """
        if (len(self.checksum), len(self.code)) != (len(other.checksum), len(other.code)):
            raise ValueError("cannot compare TLSH hashes with different options")
        total = 0
        if with_length:
            difference = _circular_distance(self.length, other.length, 256)
            total += difference if difference <= 1 else difference * _LENGTH_WEIGHT
        for one, another in ((self.first_ratio, other.first_ratio), (self.second_ratio, other.second_ratio)):
            difference = _circular_distance(one, another, 16)
            total += difference if difference <= 1 else (difference - 1) * _RATIO_WEIGHT
        total += self.checksum != other.checksum
        return total + sum(map(_code_distance, self.code, other.code))


def _swap_nibbles(octet: int) -> int:
    return octet >> 4 | (octet & 15) << 4


def _circular_distance(one: int, other: int, size: int) -> int:
    difference = abs(one - other)
    return min(difference, size - difference)


def _code_distance(one: int, other: int) -> int:
    differences = (abs((one >> shift & 3) - (other >> shift & 3)) for shift in (0, 2, 4, 6))
    return sum(6 if difference == 3 else difference for difference in differences)


def parse(digits: str) -> Tlsh:
    """Return the hash with these hexadecimal digits. Raises ValueError if they are invalid."""
    sizes = {70: (1, 32), 74: (3, 32), 134: (1, 64), 138: (3, 64)}
    try:
        octets = bytes.fromhex(digits)
        checksums, _ = sizes[len(digits)]
    except (ValueError, KeyError):
        raise ValueError(f"invalid TLSH hash {digits[:80]!r}") from None
    checksum = bytes(map(_swap_nibbles, octets[:checksums]))
    length, ratios = octets[checksums : checksums + 2]
    return Tlsh(checksum, _swap_nibbles(length), ratios >> 4, ratios & 15, octets[: checksums + 1 : -1])


def hash_bytes(data: bytes, *, buckets: int = 128, checksums: int = 1, force: bool = True) -> Tlsh | None:
    """Return the hash of data, or None if the data is too short or too uniform.

    buckets: 128 or 256
    checksums: number of checksum bytes, 1 or 3
    force: True to require 50 bytes of data, False to require 256
    """
    if is_native(buckets, checksums) and (native := _import_native()) is not None:
        digits: str = (native.forcehash if force else native.conservativehash)(data)
        if digits in ("", "TNULL"):
            return None
        if len(digits := digits.removeprefix("T1")) == _NATIVE_LENGTH:
            return parse(digits)
    return compute(data, buckets=buckets, checksums=checksums, force=force)


def is_native(buckets: int, checksums: int) -> bool:
    """Return True if the hash is computed by the package of the extra `tlsh`, and not in Python."""
    return buckets == 128 and checksums == 1 and _import_native() is not None


@cache
def _import_native() -> ModuleType | None:
    try:
        return import_module("tlsh")
    except ImportError:
        return None


def compute(data: bytes, *, buckets: int = 128, checksums: int = 1, force: bool = True) -> Tlsh | None:
    """Return the hash of data like `hash_bytes`, in Python."""
    if len(data) < (LEAST_OCTETS_WHEN_FORCED if force else LEAST_OCTETS):
        return None
    checksum, counts = _count_buckets(data, checksums)
    counts = counts[:buckets]
    ordered = sorted(counts)
    first, second, third = (ordered[buckets * quarter // 4 - 1] for quarter in (1, 2, 3))
    if third == 0 or sum(count > 0 for count in counts) <= buckets // 2:
        return None
    levels = [(count > first) + (count > second) + (count > third) for count in counts]
    code = bytes(
        levels[at] | levels[at + 1] << 2 | levels[at + 2] << 4 | levels[at + 3] << 6 for at in range(0, buckets, 4)
    )
    return Tlsh(checksum, _quantize_length(len(data)), first * 100 // third % 16, second * 100 // third % 16, code)


def _count_buckets(data: bytes, checksums: int) -> tuple[bytes, list[int]]:
    """Return the checksum of data, and the counts of the buckets that triples of octets in a sliding window map to."""
    table = _PEARSON
    salt_2, salt_3, salt_5, salt_7, salt_11, salt_13 = (table[salt] for salt in (2, 3, 5, 7, 11, 13))
    counts = [0] * 256
    checksum = [0] * checksums
    for at in range(_WINDOW - 1, len(data)):
        d4, d3, d2, d1, d0 = data[at - _WINDOW + 1 : at + 1]
        salt = table[0]
        for index in range(checksums):
            checksum[index] = table[table[table[salt ^ d0] ^ d1] ^ checksum[index]]
            salt = table[checksum[index]]
        counts[table[table[table[salt_2 ^ d0] ^ d1] ^ d2]] += 1
        counts[table[table[table[salt_3 ^ d0] ^ d1] ^ d3]] += 1
        counts[table[table[table[salt_5 ^ d0] ^ d2] ^ d3]] += 1
        counts[table[table[table[salt_7 ^ d0] ^ d2] ^ d4]] += 1
        counts[table[table[table[salt_11 ^ d0] ^ d1] ^ d4]] += 1
        counts[table[table[table[salt_13 ^ d0] ^ d3] ^ d4]] += 1
    return bytes(checksum), counts


def _quantize_length(length: int) -> int:
    """Return a length on the logarithmic scale of the algorithm."""
    if length <= 656:
        level = math.floor(math.log(length) / 0.4054651)
    elif length <= 3199:
        level = math.floor(math.log(length) / 0.26236426 - 8.72777)
    else:
        level = math.floor(math.log(length) / 0.095310180 - 62.5472)
    return level & 255
