"""Bloom filters: sets in little memory, with rare false positives and no false negatives."""

from __future__ import annotations

import json
from typing import Any

from stellar.language.conversions import to_double, to_integer
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.language.tagged_json import encode
from stellar.sketches.bloom import BloomFilter

EXPECTED, FALSE_POSITIVES = 100_000, 0.01


def _to_member(value: Any) -> bytes:
    """Return the bytes by which values are compared: those of their JSON form."""
    if value.__class__ is str:
        return b"s" + value.encode(errors="surrogatepass")
    try:
        document = json.dumps(encode(value), sort_keys=True)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot add {describe(value)} to a bloom filter") from error
    return b"j" + document.encode()


@stellar("BLOOM_INIT")
def init(expected_insertions: object = None, false_positive_rate: object = None) -> BloomFilter:
    """Create a Bloom filter without members.

    expectedInsertions: Expected number of members; 100,000 by default
    falsePositiveRate: False positive rate at that number of members, between 0 and 1; 0.01 by default
    returns: The filter

        BLOOM_EXISTS(BLOOM_INIT(), 'a')  // false
        BLOOM_INIT(10, 0.1) == BLOOM_INIT(10, 0.1)  // true
        BLOOM_INIT('many')  // error
    """
    expected = EXPECTED if expected_insertions is None else to_integer(expected_insertions)
    rate = FALSE_POSITIVES if false_positive_rate is None else to_double(false_positive_rate)
    if expected is None or expected < 0:
        raise ValueError(
            f"BLOOM_INIT expected a non-negative integer as expectedInsertions, got {describe(expected_insertions)}"
        )
    if rate is None or not 0 < rate < 1:
        raise ValueError(
            f"BLOOM_INIT expected a number between 0 and 1 as falsePositiveRate, got {describe(false_positive_rate)}"
        )
    return BloomFilter(expected, rate)


@stellar("BLOOM_ADD")
def add(bloom: BloomFilter | None, *values: object) -> BloomFilter | None:
    """Add values to a Bloom filter. The filter itself is changed.

    bloom: The filter
    values: Values to add; null is ignored, and a list is a single member
    returns: The filter

        BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), 'a', 'b'), 'b')  // true
        BLOOM_ADD(null, 'a')  // error
    """
    for value in values:
        if value is None:
            continue
        if bloom is None:
            raise ValueError("BLOOM_ADD expected a bloom filter as bloom, got null")
        bloom.add(_to_member(value))
    return bloom


@stellar("BLOOM_EXISTS", pure=True)
def exists(bloom: BloomFilter | None = None, value: object = None) -> bool:
    """Test whether a value is probably a member of a Bloom filter.

    bloom: The filter
    value: The value
    returns: False if the value is certainly not a member, or is null; true otherwise

        BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), 'a'), 'a')  // true
        BLOOM_EXISTS(BLOOM_ADD(BLOOM_INIT(), 'a'), 'b')  // false
        BLOOM_EXISTS(null, 'a')  // error
    """
    if value is None:
        return False
    if bloom is None:
        raise ValueError("BLOOM_EXISTS expected a bloom filter as bloom, got null")
    return _to_member(value) in bloom


@stellar("BLOOM_MERGE")
def merge(filters: object = None) -> BloomFilter | None:
    """Merge Bloom filters of the same size and rate. The first filter is changed.

    filters: List of filters; other elements are ignored
    returns: The first filter, with the members of all filters; null if the list contains no filters

        BLOOM_EXISTS(BLOOM_MERGE([BLOOM_ADD(BLOOM_INIT(), 'a'), BLOOM_ADD(BLOOM_INIT(), 'b')]), 'b')  // true
        BLOOM_MERGE([])  // null
        BLOOM_MERGE([BLOOM_INIT(10), BLOOM_INIT(1000)])  // error
    """
    blooms = [item for item in filters if isinstance(item, BloomFilter)] if isinstance(filters, list) else []
    if not blooms:
        return None
    for other in blooms[1:]:
        if not blooms[0].is_compatible(other):
            raise ValueError("BLOOM_MERGE expected filters of the same size and rate")
        blooms[0].merge(other)
    return blooms[0]
