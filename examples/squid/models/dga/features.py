"""Features of a domain name for a classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import log, log2

VOWELS = frozenset("aeiouy")


class Likeness:
    """A character trigram model of names that people choose.

    counts: the frequency of each group of one, two and three characters in such names
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    @classmethod
    def of(cls, names: Iterable[str]) -> Likeness:
        return cls(dict(Counter(group[:size] for name in names for group in groups(name) for size in (1, 2, 3))))

    def __call__(self, name: str) -> float:
        """Return the mean log probability of a name's characters, each given the two before it."""
        found = [log(self._probability(group)) for group in groups(name)]
        return sum(found) / len(found)

    def _probability(self, group: str) -> float:
        """Return the probability of the last of three characters, interpolated with those of shorter contexts."""
        after_two = self._ratio(group, group[:2])
        after_one = self._ratio(group[1:], group[1:2])
        return 0.6 * after_two + 0.3 * after_one + 0.1 / 40

    def _ratio(self, group: str, context: str) -> float:
        return self.counts.get(group, 0) / max(1, self.counts.get(context, 0))


def groups(name: str) -> Iterator[str]:
    """Yield the trigrams of a name, with `^` and `$` for its ends."""
    padded = f"^^{name}$"
    return (padded[index : index + 3] for index in range(len(padded) - 2))


def compute_features(name: str, likeness: Likeness) -> list[float]:
    """Return length, entropy in bits, shares of vowels and digits, longest consonant run, and likeness of a name."""
    length = len(name) or 1
    return [
        float(len(name)),
        -sum(count / length * log2(count / length) for count in Counter(name).values()),
        sum(character in VOWELS for character in name) / length,
        sum(character.isdigit() for character in name) / length,
        float(longest_consonant_run(name)),
        likeness(name),
    ]


def longest_consonant_run(name: str) -> int:
    runs = groupby(name, key=lambda letter: letter.isalpha() and letter not in VOWELS)
    return max((len(list(run)) for consonants, run in runs if consonants), default=0)
