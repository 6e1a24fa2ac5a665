"""Reservoir sampling: a uniform sample of fixed size of a stream of values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stellar.language.conversions import to_integer
from stellar.language.library import stellar
from stellar.language.runtime import ABSENT, describe
from stellar.sketches.sampling import SIZE, Sampler


@stellar("SAMPLE_INIT")
def init(size: object = None) -> Sampler:
    """Return an empty sampler.

    size: Size of the sample; 1024 by default
    returns: The sampler

        SAMPLE_GET(SAMPLE_INIT(3))  // []
        SAMPLE_INIT(0)  // error
    """
    number = SIZE if size is None else to_integer(size)
    if number is None or number <= 0:
        raise ValueError(f"SAMPLE_INIT expected a positive integer as size, got {describe(size)}")
    return Sampler(number)


@stellar("SAMPLE_ADD")
def add(sampler: object = ABSENT, value: object = ABSENT) -> Sampler | None:
    """Add values to a sampler. The sampler itself is changed.

    sampler: The sampler; null creates one
    value: A value, or a list or set of values; nulls are ignored
    returns: The sampler; null if called without arguments

        SAMPLE_GET(SAMPLE_ADD(null, [1, 2, null]))  // [1, 2]
        SAMPLE_GET(SAMPLE_ADD(SAMPLE_INIT(2), [1, 2, 3, 4, 5, 6]))  // [3, 2]
        SAMPLE_ADD(null)  // error
    """
    if sampler is ABSENT:
        return None
    if value is ABSENT:
        raise ValueError("SAMPLE_ADD expected a value as second argument")
    sampler = Sampler() if sampler is None else sampler
    if not isinstance(sampler, Sampler):
        raise ValueError(f"SAMPLE_ADD expected a sampler as sampler, got {describe(sampler)}")
    sampler.add_all(value if isinstance(value, list | set | frozenset | tuple) else (value,))
    return sampler


@stellar("SAMPLE_GET")
def get(sampler: Sampler | None = None) -> list[Any] | None:
    """Return the sample of a sampler.

    sampler: The sampler
    returns: List of the sampled values; null for null

        SAMPLE_GET(SAMPLE_ADD(SAMPLE_INIT(), 'a'))  // ['a']
        SAMPLE_GET(null)  // null
        SAMPLE_GET(5)  // error
    """
    return None if sampler is None else sampler.reservoir


@stellar("SAMPLE_MERGE")
def merge(samplers: Iterable[Any] | None = None, base: Sampler | None = None) -> Sampler | None:
    """Merge samplers: add their samples to one sampler.

    samplers: List of samplers
    base: The sampler that receives the samples and is changed; by default a new one of the first sampler's size
    returns: The sampler; null if the list is empty or null

        SAMPLE_GET(SAMPLE_MERGE([SAMPLE_ADD(null, 1), SAMPLE_ADD(null, 2)]))  // [1, 2]
        SAMPLE_MERGE([])  // null
        SAMPLE_MERGE(5)  // error
    """
    sources = list(samplers or ())
    for sampler in sources:
        if not isinstance(sampler, Sampler):
            raise ValueError(f"SAMPLE_MERGE expected samplers, got {describe(sampler)}")
    if not sources:
        return None
    merged = Sampler(sources[0].size) if base is None else base
    for sampler in sources:
        merged.add_all(sampler.reservoir)
    return merged
