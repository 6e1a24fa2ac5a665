"""Bloom filters: sets in little memory, with rare false positives and no false negatives."""

from __future__ import annotations

import math
from hashlib import blake2b
from struct import Struct
from typing import Self

LARGEST_BITS = 2**30  # 128 MiB
_TWO_NUMBERS = Struct(">QQ").unpack


class BloomFilter:
    """A Bloom filter of byte strings. It can be merged, serialized and pickled.

    expected: number of members that it is sized for
    false_positives: false positive rate at that size, between 0 and 1

    The size is the optimum of https://en.wikipedia.org/wiki/Bloom_filter#Optimal_number_of_hash_functions. The hash
    function is part of the serialized form.
    """

    STELLAR_NOUN = "a bloom filter"

    __slots__ = ("bits", "hashes", "size")

    def __init__(self, expected: int, false_positives: float) -> None:
        self.size = max(1, math.ceil(-expected * math.log(false_positives) / math.log(2) ** 2))
        if self.size > LARGEST_BITS:
            raise ValueError(f"bloom filter too large: {self.size} bits, expected at most {LARGEST_BITS}")
        self.hashes = max(1, round(self.size / max(1, expected) * math.log(2)))
        self.bits = bytearray((self.size + 7) // 8)

    @classmethod
    def of(cls, size: int, hashes: int, bits: bytearray) -> Self:
        """Return the filter with these bits.

        size: number of bits
        hashes: number of bits that a member sets
        """
        bloom = cls.__new__(cls)
        bloom.size, bloom.hashes, bloom.bits = size, hashes, bits
        return bloom

    def add(self, member: bytes) -> None:
        bits, size = self.bits, self.size
        position, step = self._hash_member(member)
        for _ in range(self.hashes):
            bits[position >> 3] |= 1 << (position & 7)
            position = (position + step) % size

    def __contains__(self, member: bytes) -> bool:
        bits, size = self.bits, self.size
        position, step = self._hash_member(member)
        for _ in range(self.hashes):
            if not bits[position >> 3] >> (position & 7) & 1:
                return False
            position = (position + step) % size
        return True

    def _hash_member(self, member: bytes) -> tuple[int, int]:
        """Return the position of a member's first bit, and the distance between its bits."""
        first, step = _TWO_NUMBERS(blake2b(member, digest_size=16).digest())
        return first % self.size, (step | 1) % self.size

    def is_compatible(self, other: BloomFilter) -> bool:
        """Return True if the two filters can be merged."""
        return (self.size, self.hashes) == (other.size, other.hashes)

    def merge(self, other: BloomFilter) -> None:
        bits = int.from_bytes(self.bits) | int.from_bytes(other.bits)
        self.bits[:] = bits.to_bytes(len(self.bits))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BloomFilter) and self.is_compatible(other) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash((self.size, self.hashes))
