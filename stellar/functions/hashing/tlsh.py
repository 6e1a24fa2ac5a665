"""TLSH, a hash of which similar texts have similar values: Oliver, Cheng and Chen's published algorithm."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_OCTETS = 256
LEAST_OCTETS_WHEN_FORCED = 50
_WINDOW = 5
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
    """A hash: checksum, logarithm of the length, ratios of the quartiles, and two bits for each bucket."""

    checksum: bytes
    length: int
    first_ratio: int
    second_ratio: int
    code: bytes

    def __str__(self) -> str:
        """Its text in capital hexadecimal digits, without the version before it."""
        head = bytes(map(_swapped, self.checksum)) + bytes([_swapped(self.length)])
        return (head + bytes([self.first_ratio << 4 | self.second_ratio]) + self.code[::-1]).hex().upper()

    def distance(self, other: Tlsh, *, with_length: bool) -> int:
        """How different two hashes are: 0 if they are the same.

        Raises ValueError if they are of different kinds.
        """
        if (len(self.checksum), len(self.code)) != (len(other.checksum), len(other.code)):
            raise ValueError("these TLSH texts were made with different options")
        total = 0
        if with_length:
            difference = _on_circle(self.length, other.length, 256)
            total += difference if difference <= 1 else difference * _LENGTH_WEIGHT
        for mine, theirs in ((self.first_ratio, other.first_ratio), (self.second_ratio, other.second_ratio)):
            difference = _on_circle(mine, theirs, 16)
            total += difference if difference <= 1 else (difference - 1) * _RATIO_WEIGHT
        total += self.checksum != other.checksum
        return total + sum(map(_code_distance, self.code, other.code))


def _swapped(octet: int) -> int:
    return octet >> 4 | (octet & 15) << 4


def _on_circle(one: int, other: int, size: int) -> int:
    around = abs(one - other)
    return min(around, size - around)


def _code_distance(one: int, other: int) -> int:
    differences = (abs((one >> shift & 3) - (other >> shift & 3)) for shift in (0, 2, 4, 6))
    return sum(6 if difference == 3 else difference for difference in differences)


def read(text: str) -> Tlsh:
    """The hash that a text stands for.

    Raises ValueError for a text that is none.
    """
    sizes = {70: (1, 32), 74: (3, 32), 134: (1, 64), 138: (3, 64)}
    try:
        octets = bytes.fromhex(text)
        checksums, _ = sizes[len(text)]
    except (ValueError, KeyError):
        raise ValueError(f"{text[:80]!r} is no TLSH text") from None
    checksum = bytes(map(_swapped, octets[:checksums]))
    length, ratios = octets[checksums : checksums + 2]
    return Tlsh(checksum, _swapped(length), ratios >> 4, ratios & 15, octets[: checksums + 1 : -1])


def tlsh(data: bytes, *, buckets: int = 128, checksums: int = 1, force: bool = True) -> Tlsh | None:
    """The hash of data; None where it is too short, or too much alike all through.

    buckets: 128 or 256
    checksums: how many octets of checksum, 1 or 3
    force: whether 50 octets are enough, rather than 256
    """
    if len(data) < (LEAST_OCTETS_WHEN_FORCED if force else LEAST_OCTETS):
        return None
    checksum, counts = _counted(data, checksums)
    counts = counts[:buckets]
    ordered = sorted(counts)
    first, second, third = (ordered[buckets * quarter // 4 - 1] for quarter in (1, 2, 3))
    if third == 0 or sum(count > 0 for count in counts) <= buckets // 2:
        return None
    levels = [(count > first) + (count > second) + (count > third) for count in counts]
    code = bytes(
        levels[at] | levels[at + 1] << 2 | levels[at + 2] << 4 | levels[at + 3] << 6 for at in range(0, buckets, 4)
    )
    return Tlsh(checksum, _captured(len(data)), first * 100 // third % 16, second * 100 // third % 16, code)


def _counted(data: bytes, checksums: int) -> tuple[bytes, list[int]]:
    """The checksum of data, and how often each bucket is hit by the triples of octets in a sliding window."""
    table = _PEARSON
    salt_2, salt_3, salt_5, salt_7, salt_11, salt_13 = (table[salt] for salt in (2, 3, 5, 7, 11, 13))
    counts = [0] * 256
    checksum = [0] * checksums
    for at in range(_WINDOW - 1, len(data)):
        d4, d3, d2, d1, d0 = data[at - _WINDOW + 1 : at + 1]
        salt = table[0]
        for place in range(checksums):
            checksum[place] = table[table[table[salt ^ d0] ^ d1] ^ checksum[place]]
            salt = table[checksum[place]]
        counts[table[table[table[salt_2 ^ d0] ^ d1] ^ d2]] += 1
        counts[table[table[table[salt_3 ^ d0] ^ d1] ^ d3]] += 1
        counts[table[table[table[salt_5 ^ d0] ^ d2] ^ d3]] += 1
        counts[table[table[table[salt_7 ^ d0] ^ d2] ^ d4]] += 1
        counts[table[table[table[salt_11 ^ d0] ^ d1] ^ d4]] += 1
        counts[table[table[table[salt_13 ^ d0] ^ d3] ^ d4]] += 1
    return bytes(checksum), counts


def _captured(length: int) -> int:
    """The length on a logarithmic scale."""
    if length <= 656:
        captured = math.floor(math.log(length) / 0.4054651)
    elif length <= 3199:
        captured = math.floor(math.log(length) / 0.26236426 - 8.72777)
    else:
        captured = math.floor(math.log(length) / 0.095310180 - 62.5472)
    return captured & 255
