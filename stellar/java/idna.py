"""Internationalized domain names as in Java's IDN class: IDNA 2003, whose tables are those of Unicode 3.2."""

from __future__ import annotations

import stringprep
import unicodedata
from encodings.idna import nameprep
from functools import lru_cache

LONGEST_LABEL = 63


def encode_label(label: str) -> str:
    """Return the ASCII form of a label. Raises UnicodeError for a label that has none.

    Python's codec folds letters by the tables of today, so that it encodes those differently that had no lowercase
    form in Unicode 3.2.
    """
    if label.isascii():
        return label
    nameprep(label)  # raises UnicodeError for characters that are not allowed
    mapped = unicodedata.ucd_3_2_0.normalize("NFKC", "".join(map(_fold, label)))
    ascii_form = mapped if mapped.isascii() else f"xn--{mapped.encode('punycode').decode()}"
    if len(ascii_form) > LONGEST_LABEL:
        raise UnicodeError("label too long")
    return ascii_form


@lru_cache(1024)
def _fold(character: str) -> str:
    if stringprep.in_table_b1(character):
        return ""
    folded = stringprep.map_table_b2(character)
    return character if any(map(stringprep.in_table_a1, character + folded)) else folded
