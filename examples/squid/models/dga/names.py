"""Synthetic training data: names as people choose them, and names as malware generates them.

Every kind is a function of a random generator, so equal seeds give equal names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

Words = Sequence[str]
Kind = Callable[[Random, Words], str]
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


def words() -> list[str]:
    """Plain English words."""
    return Path(__file__).with_name("words.txt").read_text().split()


# --- names that people choose


def plain(random: Random, words: Words) -> str:
    return random.choice(words)


def phrase(random: Random, words: Words) -> str:
    """Two or three words: bluecastle, rain-garden."""
    return random.choice(["", "", "", "-"]).join(random.choices(words, k=random.choice([2, 2, 3])))


def affix(random: Random, words: Words) -> str:
    """A word with a usual prefix, suffix or number: mybread, lakely, grove24."""
    number = random.choice([1, 24, 365, random.randint(2, 99)])
    form = random.choice(["my{}", "the{}", "get{}", "e{}", "{}ly", "{}ify", "{}hub", "{}online", f"{{}}{number}"])
    return form.format(random.choice(words))


def blend(random: Random, words: Words) -> str:
    """The first half of one word and the second half of another: pelimond, hararium."""
    head, tail = random.choices(words, k=2)
    return head[: max(2, (len(head) + 1) // 2)] + tail[len(tail) // 2 :]


def initials(random: Random, words: Words) -> str:
    """Two to five initials of words: cnn."""
    return "".join(word[0] for word in random.choices(words, k=random.randint(2, 5)))


# --- names that are generated


def letters(random: Random, words: Words) -> str:
    """The high bits of a linear congruential generator, as letters."""
    state, name = random.getrandbits(32), ""
    for _ in range(random.randint(8, 20)):
        state = (state * 1664525 + 1013904223) % 2**32
        name += chr(ord("a") + (state >> 16) % 26)
    return name


def hexadecimal(random: Random, words: Words) -> str:
    """The first digits of a digest of a seed and a day."""
    return _digest(random).hex()[: random.choice([8, 12, 16, 32])]


def base32(random: Random, words: Words) -> str:
    return base64.b32encode(_digest(random)).decode().lower()[: random.randint(8, 18)]


def syllables(random: Random, words: Words) -> str:
    """Alternating consonants and vowels, a pronounceable name."""
    state, name = random.getrandbits(32), ""
    for position in range(random.randint(10, 20)):
        state ^= (state << 13) % 2**32
        state ^= state >> 17
        state ^= (state << 5) % 2**32
        among = VOWELS if position % 2 else CONSONANTS
        name += among[state % len(among)]
    return name


def _digest(random: Random) -> bytes:
    seed, day = random.getrandbits(32), random.randint(18_000, 21_000)
    return hashlib.sha256(f"{seed}:{day}".encode()).digest()


LEGIT: tuple[Kind, ...] = (plain, phrase, affix, blend, initials)
GENERATED: tuple[Kind, ...] = (letters, hexadecimal, base32, syllables)
