"""Java's pseudo-random numbers."""

from __future__ import annotations


class JavaRandom:
    """The generator of java.util.Random: a 48-bit linear congruential generator.

    https://docs.oracle.com/javase/8/docs/api/java/util/Random.html
    """

    __slots__ = ("state",)

    MULTIPLIER, INCREMENT, MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1

    def __init__(self, seed: int) -> None:
        self.state = (seed ^ self.MULTIPLIER) & self.MASK

    def next(self, bits: int) -> int:
        self.state = (self.state * self.MULTIPLIER + self.INCREMENT) & self.MASK
        return self.state >> (48 - bits)

    def below(self, bound: int) -> int:
        """Return a number from 0 to bound - 1, like `nextInt(bound)`. A bound may be up to 2^62."""
        if bound > 1 << 31:
            return self._below(bound, 62, self.next(31) << 31 | self.next(31))
        if bound & (bound - 1) == 0:
            return bound * self.next(31) >> 31
        return self._below(bound, 31, self.next(31))

    def _below(self, bound: int, width: int, bits: int) -> int:
        """Return random bits modulo a bound, without those above its largest multiple."""
        while bits - bits % bound + bound - 1 >= 1 << width:
            bits = self.next(31) if width == 31 else self.next(31) << 31 | self.next(31)
        return bits % bound
