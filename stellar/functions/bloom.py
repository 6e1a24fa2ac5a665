"""Sets that are kept approximately: a Bloom filter never misses a member, and seldom takes a stranger for one."""

from __future__ import annotations

import json
import math
from hashlib import blake2b
from struct import Struct
from typing import Any

from stellar.language.conversions import to_double, to_integer
from stellar.language.library import stellar
from stellar.language.runtime import described
from stellar.language.tagged_json import encode

EXPECTED, FALSE_POSITIVES = 100_000, 0.01
LARGEST_BITS = 2**31
_TWO_NUMBERS = Struct(">QQ").unpack


class BloomFilter:
    """A Bloom filter of values; two values are one to it if they are written alike. It can be merged and pickled.

    expected: how many values it is made for
    false_positives: how often a stranger is then taken for a member, from 0 to 1

    Its size is that of https://en.wikipedia.org/wiki/Bloom_filter#Optimal_number_of_hash_functions
    """

    STELLAR_NOUN = "a bloom filter"

    __slots__ = ("bits", "hashes", "size")

    def __init__(self, expected: int, false_positives: float) -> None:
        self.size = max(1, math.ceil(-expected * math.log(false_positives) / math.log(2) ** 2))
        if self.size > LARGEST_BITS:
            raise ValueError(f"a bloom filter of {self.size} bits is too large; {LARGEST_BITS} are the most")
        self.hashes = max(1, round(self.size / max(1, expected) * math.log(2)))
        self.bits = bytearray((self.size + 7) // 8)

    def add(self, value: object) -> None:
        bits, size = self.bits, self.size
        position, step = self._first_and_step(value)
        for _ in range(self.hashes):
            bits[position >> 3] |= 1 << (position & 7)
            position = (position + step) % size

    def __contains__(self, value: object) -> bool:
        bits, size = self.bits, self.size
        position, step = self._first_and_step(value)
        for _ in range(self.hashes):
            if not bits[position >> 3] >> (position & 7) & 1:
                return False
            position = (position + step) % size
        return True

    def _first_and_step(self, value: object) -> tuple[int, int]:
        """Where the bits of a value are: the first one, and how far it is to the next."""
        first, step = _TWO_NUMBERS(blake2b(_written(value), digest_size=16).digest())
        return first % self.size, (step | 1) % self.size

    def fits(self, other: BloomFilter) -> bool:
        """Whether the two can be merged."""
        return (self.size, self.hashes) == (other.size, other.hashes)

    def merge(self, other: BloomFilter) -> None:
        for index, byte in enumerate(other.bits):
            self.bits[index] |= byte

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BloomFilter) and self.fits(other) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash((self.size, self.hashes))


def _written(value: Any) -> bytes:
    if value.__class__ is str:
        return b"s" + value.encode(errors="surrogatepass")
    try:
        text = json.dumps(encode(value), sort_keys=True)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"{described(value)} can't be a member of a bloom filter") from error
    return b"j" + text.encode()


@stellar("BLOOM_INIT")
def init(expected_insertions: object = None, false_positive_rate: object = None) -> BloomFilter:
    """A Bloom filter without members.

    expectedInsertions: How many members to expect, by default 100,000
    falsePositiveRate: How often a stranger may be taken for a member, by default 0.01
    returns: The filter

        BLOOM_EXISTS(BLOOM_INIT(), 'a')  // false
        BLOOM_INIT(10, 0.1) == BLOOM_INIT(10, 0.1)  // true
        BLOOM_INIT('many')  // error
    """
    expected = EXPECTED if expected_insertions is None else to_integer(expected_insertions)
    rate = FALSE_POSITIVES if false_positive_rate is None else to_double(false_positive_rate)
    if expected is None or expected < 0:
        raise ValueError(f"BLOOM_INIT takes a whole number of members, not {described(expected_insertions)}")
    if rate is None or not 0 < rate < 1:
        raise ValueError(f"BLOOM_INIT takes a rate between 0 and 1, not {described(false_positive_rate)}")
    return BloomFilter(expected, rate)


@stellar("BLOOM_ADD")
def add(bloom: BloomFilter | None, *values: object) -> BloomFilter | None:
    """A Bloom filter with more members; the very one given is changed.

    bloom: The filter
    values: The new members; null is left out, and a list is one member
    returns: The filter

        BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), 'a', 'b'), 'b')  // true
        BLOOM_ADD(null, 'a')  // error
    """
    for value in values:
        if value is None:
            continue
        if bloom is None:
            raise ValueError("BLOOM_ADD takes a bloom filter as bloom, not null")
        bloom.add(value)
    return bloom


@stellar("BLOOM_EXISTS")
def exists(bloom: BloomFilter | None = None, value: object = None) -> bool:
    """Whether a value is, most likely, a member of a Bloom filter.

    bloom: The filter
    value: The value
    returns: False if it surely is none; false for null

        BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), 'a'), 'a')  // true
        BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), 'a'), 'b')  // false
        BLOOM_EXISTS(null, 'a')  // error
    """
    if value is None:
        return False
    if bloom is None:
        raise ValueError("BLOOM_EXISTS takes a bloom filter as bloom, not null")
    return value in bloom


@stellar("BLOOM_MERGE")
def merge(filters: object = None) -> BloomFilter | None:
    """A Bloom filter of the members of several, which are all of one size; the first is changed.

    filters: The list of filters; anything else in it is left out
    returns: The first filter, with the members of the others; null if there is none

        BLOOM_EXISTS(BLOOM_MERGE([BLOOM_ADD(BLOOM_INIT(), 'a'), BLOOM_ADD(BLOOM_INIT(), 'b')]), 'b')  // true
        BLOOM_MERGE([])  // null
        BLOOM_MERGE([BLOOM_INIT(10), BLOOM_INIT(1000)])  // error
    """
    given = [item for item in filters if isinstance(item, BloomFilter)] if isinstance(filters, list) else []
    if not given:
        return None
    for other in given[1:]:
        if not given[0].fits(other):
            raise ValueError("BLOOM_MERGE takes filters of one size and rate")
        given[0].merge(other)
    return given[0]
