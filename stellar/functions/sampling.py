"""A uniform sample of a stream of values, of a fixed size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stellar.language.conversions import to_integer
from stellar.language.library import stellar
from stellar.language.runtime import ABSENT, described

SIZE = 1024


class JavaRandom:
    """Java's random numbers: a linear congruential generator of 48 bits, https://docs.oracle.com/javase/8/docs/api/java/util/Random.html"""

    __slots__ = ("state",)

    MULTIPLIER, INCREMENT, MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1

    def __init__(self, seed: int) -> None:
        self.state = (seed ^ self.MULTIPLIER) & self.MASK

    def next(self, bits: int) -> int:
        self.state = (self.state * self.MULTIPLIER + self.INCREMENT) & self.MASK
        return self.state >> (48 - bits)

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1, as `nextInt(bound)` gives it."""
        if bound & (bound - 1) == 0:
            return bound * self.next(31) >> 31
        while True:
            bits = self.next(31)
            if bits - bits % bound + bound - 1 < 1 << 31:
                return bits % bound


class Sampler:
    """A reservoir: of all values that it has seen, each is kept with the same chance."""

    STELLAR_NOUN = "a sampler"

    __slots__ = ("random", "reservoir", "seen", "size")

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.seen = 0
        self.reservoir: list[Any] = []
        # As in Metron, the same values in the same order give the same sample
        self.random = JavaRandom(0)

    def add(self, value: object) -> None:
        if len(self.reservoir) < self.size:
            self.reservoir.append(value)
        elif (slot := self.random.below(self.seen + 1)) < self.size:
            self.reservoir[slot] = value
        self.seen += 1

    def add_all(self, values: Iterable[object]) -> None:
        for value in values:
            if value is not None:
                self.add(value)


@stellar("SAMPLE_INIT")
def init(size: object = None) -> Sampler:
    """A sampler that has seen nothing yet.

    size: How many values it keeps, by default 1024
    returns: The sampler

        SAMPLE_GET(SAMPLE_INIT(3))  // []
        SAMPLE_INIT(0)  // error
    """
    number = SIZE if size is None else to_integer(size)
    if number is None or number <= 0:
        raise ValueError(f"SAMPLE_INIT takes a size above 0, not {described(size)}")
    return Sampler(number)


@stellar("SAMPLE_ADD")
def add(sampler: object = ABSENT, value: object = ABSENT) -> Sampler | None:
    """A sampler that has seen more; the very one given is changed.

    sampler: The sampler; null for a new one
    value: A value, or a list or set of values; null is left out
    returns: The sampler; null if there are no arguments at all

        SAMPLE_GET(SAMPLE_ADD(null, [1, 2, null]))  // [1, 2]
        SAMPLE_GET(SAMPLE_ADD(SAMPLE_INIT(2), [1, 2, 3, 4, 5, 6]))  // [3, 2]
        SAMPLE_ADD(null)  // error
    """
    if sampler is ABSENT:
        return None
    if value is ABSENT:
        raise ValueError("SAMPLE_ADD takes a value to add")
    sampler = Sampler() if sampler is None else sampler
    if not isinstance(sampler, Sampler):
        raise ValueError(f"SAMPLE_ADD takes a sampler as sampler, not {described(sampler)}")
    sampler.add_all(value if isinstance(value, list | set | frozenset | tuple) else (value,))
    return sampler


@stellar("SAMPLE_GET")
def get(sampler: Sampler | None = None) -> list[Any] | None:
    """The sample.

    sampler: The sampler
    returns: The values kept; null for null

        SAMPLE_GET(SAMPLE_ADD(SAMPLE_INIT(), 'a'))  // ['a']
        SAMPLE_GET(null)  // null
        SAMPLE_GET(5)  // error
    """
    return None if sampler is None else sampler.reservoir


@stellar("SAMPLE_MERGE")
def merge(samplers: Iterable[Any] | None = None, base: Sampler | None = None) -> Sampler | None:
    """A sampler that has seen the samples of several.

    samplers: The list of samplers
    base: The sampler to add to, which is changed; by default a new one of the size of the first
    returns: The sampler; null if there are none

        SAMPLE_GET(SAMPLE_MERGE([SAMPLE_ADD(null, 1), SAMPLE_ADD(null, 2)]))  // [1, 2]
        SAMPLE_MERGE([])  // null
        SAMPLE_MERGE(5)  // error
    """
    given = list(samplers or ())
    for sampler in given:
        if not isinstance(sampler, Sampler):
            raise ValueError(f"SAMPLE_MERGE takes samplers, not {described(sampler)}")
    if not given:
        return None
    merged = Sampler(given[0].size) if base is None else base
    for sampler in given:
        merged.add_all(sampler.reservoir)
    return merged
