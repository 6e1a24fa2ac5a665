"""Reservoir sampling: a uniform sample of fixed size of a stream of values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stellar.util.java_random import JavaRandom

SIZE = 1024


class Sampler:
    """A reservoir, which contains each value that was added with the same probability."""

    STELLAR_NOUN = "a sampler"

    __slots__ = ("random", "reservoir", "seen", "size")

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.seen = 0
        self.reservoir: list[Any] = []
        # A fixed seed, as in Metron: the same values in the same order give the same sample
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
