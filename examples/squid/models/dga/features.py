"""What is measured of a name, for a classifier to judge by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import log, log2

VOWELS = frozenset("aeiouy")


class Likeness:
    """How much a name's characters follow each other as they do in names that people choose.

    counts: how often each group of one, two and three characters stands in such names
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    @classmethod
    def of(cls, names: Iterable[str]) -> Likeness:
        return cls(dict(Counter(group[:size] for name in names for group in groups(name) for size in (1, 2, 3))))

    def __call__(self, name: str) -> float:
        """The mean logarithm of each character's probability after those before it."""
        found = [log(self._probability(group)) for group in groups(name)]
        return sum(found) / len(found)

    def _probability(self, group: str) -> float:
        """Of the last character of three, after two, after one, and after any, for what is rare."""
        after_two = self._part(group, group[:2])
        after_one = self._part(group[1:], group[1:2])
        return 0.6 * after_two + 0.3 * after_one + 0.1 / 40

    def _part(self, group: str, whole: str) -> float:
        return self.counts.get(group, 0) / max(1, self.counts.get(whole, 0))


def groups(name: str) -> Iterator[str]:
    """Its groups of three characters; `^` and `$` are its ends."""
    whole = f"^^{name}$"
    return (whole[at : at + 3] for at in range(len(whole) - 2))


def measured(name: str, likeness: Likeness) -> list[float]:
    """Its length, entropy in bits, shares of vowels and of digits, most consonants in a row, and likeness."""
    length = len(name) or 1
    return [
        float(len(name)),
        -sum(count / length * log2(count / length) for count in Counter(name).values()),
        sum(letter in VOWELS for letter in name) / length,
        sum(letter.isdigit() for letter in name) / length,
        float(consonants_in_a_row(name)),
        likeness(name),
    ]


def consonants_in_a_row(name: str) -> int:
    runs = groupby(name, key=lambda letter: letter.isalpha() and letter not in VOWELS)
    return max((len(list(run)) for consonants, run in runs if consonants), default=0)
