"""Names that are easily taken for another: slips of the keys, look-alike letters, flipped bits."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.language.ordered_set import OrderedSet

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOWELS = "aeiou"
_KEYBOARDS = (
    ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    ("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"),
    ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
)
# What looks like a letter: other letters and pairs of them, letters with a mark, letters of other alphabets
_LOOK_ALIKES = {
    "a": "à á â ã ä å ă ǎ ȧ ạ ɑ а ӓ",
    "b": "d lb ib ʙ Ь b̔ ɓ Б",
    "c": "ϲ с ƈ ċ ć ç",
    "d": "b cl dl di ԁ ɗ đ ḍ",
    "e": "è é ê ë ē ĕ ě ė ẹ ę е є ε",
    "f": "ƒ ғ ḟ",
    "g": "q ɡ ɢ ġ ğ ǵ ģ ց ԍ",
    "h": "lh ih һ հ ħ ḥ",
    "i": "1 l í ì ï ı ĭ ǐ ɩ ι і",
    "j": "ј ʝ ϳ ɉ",
    "k": "lk ik lc κ к ķ ḳ",
    "l": "1 i ł ɫ",
    "m": "n nn rn rr ṃ ᴍ м ɱ",
    "n": "m r ń",
    "o": "0 Ο ο О о Օ ȯ ọ ỏ ơ ó ö ӧ",
    "p": "ρ р ƿ ṗ",
    "q": "g ԛ զ ʠ",
    "r": "ʀ г ᴦ ɼ ɽ",
    "s": "ѕ ś ʂ ș",
    "t": "τ т ţ ṭ",
    "u": "υ ս ц μ ù ú ŭ ǔ",
    "v": "ѵ ν ṿ",
    "w": "vv ѡ ԝ ա",
    "x": "х ҳ ẋ",
    "y": "у ү γ ý ʏ",
    "z": "ʐ ż ź ᴢ",
}
# A name that has a letter more often is none of a person's, and there are too many ways to change it
_MOST_AT_ONCE = 8
_LONGEST_LABEL = 63
_GLYPHS = {letter: glyphs.split() for letter, glyphs in _LOOK_ALIKES.items()}


def _neighbours() -> list[dict[str, str]]:
    """The keys around each key, a keyboard a map. A row stands half a key to the right of the one above it."""
    keyboards = []
    for rows in _KEYBOARDS:
        places = {(row, column): key for row, keys in enumerate(rows) for column, key in enumerate(keys)}
        around = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
        keyboards.append(
            {
                key: "".join(places.get((row + r, column + c), "") for r, c in around)
                for (row, column), key in places.items()
            }
        )
    return keyboards


_NEIGHBOURS = _neighbours()


def typosquats(domain: str) -> OrderedSet:
    """The names that may be taken for this one; the name itself is not among them."""
    strategies = (
        *(_addition, _bitsquatting, _homoglyph, _hyphenation, _insertion, _omission, _repetition, _replacement),
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


def _homoglyph(domain: str) -> Iterator[str]:
    """A letter made to look alike, in one place or in several next ones; not in a name's first and last at once."""
    plain = _decoded(domain)
    for letter in dict.fromkeys(plain):
        places = [at for at, character in enumerate(plain) if character == letter]
        for nth, first in enumerate(places):
            for last in places[nth : nth + _MOST_AT_ONCE]:
                if last - first + 1 < len(plain):
                    yield from _with_glyphs(plain, letter, first, last + 1)


def _with_glyphs(plain: str, letter: str, start: int, end: int) -> Iterator[str]:
    for glyph in _GLYPHS.get(letter, ()):
        name = plain[:start] + plain[start:end].replace(letter, glyph) + plain[end:]
        yield name
        yield _encoded(name)


def _decoded(domain: str) -> str:
    if "xn--" not in domain:
        return domain
    try:
        return domain.encode().decode("idna")
    except UnicodeError:
        return domain


def _encoded(name: str) -> str:
    # Punycode makes a label longer by five characters at least; to find that out by trying takes its time
    if any(len(label) > _LONGEST_LABEL - 5 for label in name.split(".") if not label.isascii()):
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:  # it is no domain in any form, such as one with an empty label
        return name


def _hyphenation(domain: str) -> Iterator[str]:
    return (f"{domain[:at]}-{domain[at:]}" for at in range(1, len(domain)))


def _insertion(domain: str) -> Iterator[str]:
    for at in range(1, len(domain) - 1):
        for keyboard in _NEIGHBOURS:
            for key in keyboard.get(domain[at], ""):
                yield domain[:at] + key + domain[at:]
                yield domain[: at + 1] + key + domain[at + 1 :]


def _omission(domain: str) -> Iterator[str]:
    return (domain[:at] + domain[at + 1 :] for at in range(len(domain)))


def _repetition(domain: str) -> Iterator[str]:
    return (domain[:at] + letter + domain[at:] for at, letter in enumerate(domain) if letter.isalpha())


def _replacement(domain: str) -> Iterator[str]:
    for at, character in enumerate(domain):
        for keyboard in _NEIGHBOURS:
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
