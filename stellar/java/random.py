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
        """Return a number from 0 to bound - 1, like `nextInt(bound)`."""
        if bound & (bound - 1) == 0:
            return bound * self.next(31) >> 31
        while True:
            bits = self.next(31)
            if bits - bits % bound + bound - 1 < 1 << 31:
                return bits % bound
