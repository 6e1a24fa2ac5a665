"""Domains that can be mistaken for another: typing errors, look-alike characters, flipped bits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from stellar.language.ordered_set import OrderedSet

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOWELS = "aeiou"
_KEYBOARDS = (
    ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    ("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"),
    ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
)
# The look-alikes that Metron's function knows: other letters and pairs, with diacritics, of other alphabets
_LOOK_ALIKES = {
    "a": "à á â ã ä å ă ǎ ȧ ạ ɑ а ӓ",
    "b": "d lb ib ʙ Ь b̔ ɓ Б",
    "c": "ϲ с ƈ ċ ć ç",
    "d": "b cl dl di ԁ ժ ɗ đ",
    "e": "é ê ë ē ĕ ě ė ę ẹ е є ϵ ҽ",
    "f": "ƒ Ϝ Ғ",
    "g": "q ɡ ɢ ġ ğ ǵ ģ Ԍ ց",
    "h": "lh ih һ հ н Ꮒ",
    "i": "1 l í ï ı ĭ ǐ ɩ ι ꙇ Ꭵ",
    "j": "ј ʝ ϳ ɉ",
    "k": "lk ik lc κ ⲕ",
    "l": "1 i ł ɫ",
    "m": "n nn rn rr ṃ ᴍ м ɱ",
    "n": "m r ń",
    "o": "0 Ο ο О о Օ ȯ ọ ỏ ơ ó ö ӧ",
    "p": "ρ р ƿ Ϸ Þ",
    "q": "g ԛ զ գ ʠ",
    "r": "ʀ Г ᴦ ɼ ɽ",
    "s": "ѕ ś ʂ Ⴝ Ꮪ",
    "t": "τ т ţ",
    "u": "υ ս Ս ц μ ᴜ ŭ ǔ",
    "v": "ѵ ν v̇",
    "w": "vv ѡ ԝ ա",
    "x": "х ҳ ẋ",
    "y": "у Ү γ ý ʏ",
    "z": "ʐ ż ź ᴢ",
}
# Names with more occurrences of a letter are not chosen by people, and would have too many variants
_MOST_AT_ONCE = 8
_LONGEST_LABEL = 63
_GLYPHS = {letter: glyphs.split() for letter, glyphs in _LOOK_ALIKES.items()}


def _find_neighbors() -> list[dict[str, str]]:
    """Return the neighbors of each key, one map per keyboard. Each row is shifted half a key to the right of the row
    above.
    """
    keyboards = []
    for rows in _KEYBOARDS:
        grid = {(row, column): key for row, keys in enumerate(rows) for column, key in enumerate(keys)}
        around = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
        keyboards.append(
            {
                key: "".join(grid.get((row + r, column + c), "") for r, c in around)
                for (row, column), key in grid.items()
            }
        )
    # In Metron's tables this neighborhood has one direction
    keyboards[2]["x"] = keyboards[2]["x"].replace("w", "")
    return keyboards


_NEIGHBORS = _find_neighbors()


def typosquats(domain: str, *, most_at_once: int = _MOST_AT_ONCE) -> OrderedSet:
    """Return the names that can be mistaken for a domain, without the domain itself.

    most_at_once: the most occurrences of a letter that are replaced by a look-alike together
    """
    strategies = (
        *(
            _addition,
            _bitsquatting,
            partial(_homoglyph, most_at_once=most_at_once),
            _hyphenation,
            _insertion,
            _omission,
            _repetition,
            _replacement,
        ),
        *(_subdomain, _transposition, _vowel_swap),
    )
    names = OrderedSet(name for strategy in strategies for name in strategy(domain))
    names.discard(domain)
    return names


def _addition(domain: str) -> Iterator[str]:
    return (domain + letter for letter in _LETTERS)


def _bitsquatting(domain: str) -> Iterator[str]:
    for at, character in enumerate(domain):
        for bit in range(8):
            flipped = chr(ord(character) ^ 1 << bit)
            if flipped in _LETTERS or flipped in "0123456789-":
                yield domain[:at] + flipped + domain[at + 1 :]


def _homoglyph(domain: str, most_at_once: int) -> Iterator[str]:
    """Yield names with a letter replaced by a look-alike, once or in a run of its next occurrences, but not in all of
    the name.
    """
    plain = _decode(domain)
    for letter in dict.fromkeys(plain):
        occurrences = [at for at, character in enumerate(plain) if character == letter]
        for nth, first in enumerate(occurrences):
            for last in occurrences[nth : nth + most_at_once]:
                if last - first + 1 < len(plain):
                    yield from _with_glyphs(plain, letter, first, last + 1)


def _with_glyphs(plain: str, letter: str, start: int, end: int) -> Iterator[str]:
    for glyph in _GLYPHS.get(letter, ()):
        name = plain[:start] + plain[start:end].replace(letter, glyph) + plain[end:]
        yield name
        yield _encode(name)


def _decode(domain: str) -> str:
    if "xn--" not in domain:
        return domain
    try:
        return domain.encode().decode("idna")
    except UnicodeError:
        return domain


def _encode(name: str) -> str:
    if name.isascii():
        return name
    # Punycode adds at least five characters to a label; checking that first is faster than a failing encoder
    if any(len(label) > _LONGEST_LABEL - 5 for label in name.split(".") if not label.isascii()):
        return name
    from stellar.java.idna import encode_label  # it loads the tables of Unicode 3.2, which takes 5 ms

    try:
        return ".".join(map(encode_label, name.split(".")))
    except UnicodeError:  # not a domain, for instance because of a control character
        return name


def _hyphenation(domain: str) -> Iterator[str]:
    return (f"{domain[:at]}-{domain[at:]}" for at in range(1, len(domain)))


def _insertion(domain: str) -> Iterator[str]:
    for at in range(1, len(domain) - 1):
        for keyboard in _NEIGHBORS:
            for key in keyboard.get(domain[at], ""):
                yield domain[:at] + key + domain[at:]
                yield domain[: at + 1] + key + domain[at + 1 :]


def _omission(domain: str) -> Iterator[str]:
    return (domain[:at] + domain[at + 1 :] for at in range(len(domain)))


def _repetition(domain: str) -> Iterator[str]:
    return (domain[:at] + letter + domain[at:] for at, letter in enumerate(domain) if letter.isalpha())


def _replacement(domain: str) -> Iterator[str]:
    for at, character in enumerate(domain):
        for keyboard in _NEIGHBORS:
            for key in keyboard.get(character, ""):
                yield domain[:at] + key + domain[at + 1 :]


def _subdomain(domain: str) -> Iterator[str]:
    for at in range(1, len(domain)):
        if domain[at] not in "-." and domain[at - 1] not in "-.":
            yield f"{domain[:at]}.{domain[at:]}"


def _transposition(domain: str) -> Iterator[str]:
    for at in range(len(domain) - 1):
        if domain[at] != domain[at + 1]:
            yield domain[:at] + domain[at + 1] + domain[at] + domain[at + 2 :]


def _vowel_swap(domain: str) -> Iterator[str]:
    for at, character in enumerate(domain):
        if character in _VOWELS:
            yield from (domain[:at] + vowel + domain[at + 1 :] for vowel in _VOWELS)
