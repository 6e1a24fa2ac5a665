"""Texts: trimming, cutting, padding, joining, splitting, searching."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from stellar.language.conversions import BLANKS, to_integer, to_optional_text, to_text
from stellar.language.library import stellar
from stellar.util.memoize import remembered

# No record needs a longer text, and a wrong length must not eat the memory
LONGEST_FILLED = 10_000_000


@stellar("TO_UPPER")
def to_upper(input_: object) -> str | None:
    """A text in capital letters.

    input: The text; of any other value, its text
    returns: The text in capital letters; null for null

        TO_UPPER('squid')  // 'SQUID'
        TO_UPPER('straße')  // 'STRASSE'
        TO_UPPER(null)  // null
    """
    if input_.__class__ is str:
        return input_.upper()
    return None if input_ is None else to_text(input_).upper()


@stellar("TO_LOWER")
def to_lower(input_: object) -> str | None:
    """A text in small letters.

    input: The text; of any other value, its text
    returns: The text in small letters; null for null

        TO_LOWER('WWW.Example.COM')  // 'www.example.com'
        TO_LOWER(true)  // 'true'
        TO_LOWER(null)  // null
    """
    if input_.__class__ is str:
        return input_.lower()
    return None if input_ is None else to_text(input_).lower()


@stellar("TRIM")
def trim(input_: object) -> str | None:
    """A text without the blanks and control characters at both ends.

    Other blanks of Unicode, such as the no-break space, stay.

    input: The text; of any other value, its text
    returns: The text between; null for null

        TRIM('  GET /index ')  // 'GET /index'
        TRIM('a\\n')  // 'a'
        TRIM(null)  // null
    """
    if input_.__class__ is str:
        return input_.strip(BLANKS)
    return None if input_ is None else to_text(input_).strip(BLANKS)


@stellar("STARTS_WITH")
def starts_with(str_: str | None, prefix: str | None) -> bool:
    """Whether a text begins with another. Capital and small letters differ.

    str: The text to look at
    prefix: The beginning to look for
    returns: True if it does; false if either is null

        STARTS_WITH('apache', 'ap')  // true
        STARTS_WITH('apache', '')  // true
        STARTS_WITH(null, 'ap')  // false
        STARTS_WITH(12, '1')  // error
    """
    return str_ is not None and prefix is not None and str_.startswith(prefix)


@stellar("ENDS_WITH")
def ends_with(str_: str | None, suffix: str | None) -> bool:
    """Whether a text ends with another. Capital and small letters differ.

    str: The text to look at
    suffix: The ending to look for
    returns: True if it does; false if either is null

        ENDS_WITH('evil.exe', '.exe')  // true
        ENDS_WITH('evil.EXE', '.exe')  // false
        ENDS_WITH('evil.exe', null)  // false
    """
    return str_ is not None and suffix is not None and str_.endswith(suffix)


@stellar("APPEND_IF_MISSING", surplus="refuse")
def append_if_missing(str_: str | None, suffix: str | None, other: str | None = None) -> str | None:
    """A text with an ending, which is added unless it is there already.

    str: The text
    suffix: The ending
    other: Another ending that will do as well
    returns: The text with the ending; null for null

        APPEND_IF_MISSING('example', '.com')  // 'example.com'
        APPEND_IF_MISSING('example.com', '.com')  // 'example.com'
        APPEND_IF_MISSING('example.org', '.com', '.org')  // 'example.org'
        APPEND_IF_MISSING(null, '.com')  // null
    """
    if str_ is None or not suffix or str_.endswith(suffix) or (other is not None and str_.endswith(other)):
        return str_
    return str_ + suffix


@stellar("PREPEND_IF_MISSING", surplus="refuse")
def prepend_if_missing(str_: str | None, prefix: str | None, other: str | None = None) -> str | None:
    """A text with a beginning, which is added unless it is there already.

    str: The text
    prefix: The beginning
    other: Another beginning that will do as well
    returns: The text with the beginning; null for null

        PREPEND_IF_MISSING('example.com', 'http://')  // 'http://example.com'
        PREPEND_IF_MISSING('https://example.com', 'http://', 'https://')  // 'https://example.com'
        PREPEND_IF_MISSING(null, 'http://')  // null
    """
    if str_ is None or not prefix or str_.startswith(prefix) or (other is not None and str_.startswith(other)):
        return str_
    return prefix + str_


@stellar("CHOMP")
def chomp(str_: str | None) -> str | None:
    """A text without the line end that it may have: one of CR LF, LF or CR.

    str: The text
    returns: The text without it; null for null

        CHOMP('GET /\\r\\n')  // 'GET /'
        CHOMP('a\\n\\n')  // 'a\\n'
        CHOMP('a')  // 'a'
        CHOMP(null)  // null
    """
    if str_ is None:
        return None
    for line_end in ("\r\n", "\n", "\r"):
        if str_.endswith(line_end):
            return str_.removesuffix(line_end)
    return str_


@stellar("CHOP")
def chop(str_: str | None) -> str | None:
    """A text without its last character; CR LF counts as one.

    str: The text
    returns: The shorter text, empty if nothing is left; null for null

        CHOP('abc')  // 'ab'
        CHOP('abc\\r\\n')  // 'abc'
        CHOP('')  // ''
        CHOP(null)  // null
    """
    if str_ is None:
        return None
    return str_[:-2] if str_.endswith("\r\n") else str_[:-1]


@stellar("COUNT_MATCHES", surplus="refuse")
def count_matches(str_: str | None, sub: str | None) -> int:
    """How often a text holds another; the places do not overlap.

    str: The text to look in
    sub: The text to look for
    returns: How often; 0 if either is null or empty

        COUNT_MATCHES('a.b.c', '.')  // 2
        COUNT_MATCHES('aaa', 'aa')  // 1
        COUNT_MATCHES('aaa', '')  // 0
        COUNT_MATCHES(null, 'a')  // 0
    """
    return str_.count(sub) if str_ and sub else 0


@stellar("FILL_LEFT")
def fill_left(input_: object, fill: object, length: object) -> str | None:
    """A text made long enough by putting a character before it.

    input: The text; of any other value, its text
    fill: The text whose first character is put there
    length: The wanted length
    returns: The longer text; the text itself if it is long enough; null for null

        FILL_LEFT(42, '0', 5)  // '00042'
        FILL_LEFT('abc', '0', 2)  // 'abc'
        FILL_LEFT(null, '0', 5)  // null
        FILL_LEFT('abc', '', 5)  // error
    """
    if input_ is None:
        return None
    text = to_text(input_)
    character, width = _filling(fill, length)
    return text.rjust(width, character)


@stellar("FILL_RIGHT")
def fill_right(input_: object, fill: object, length: object) -> str | None:
    """A text made long enough by putting a character after it.

    input: The text; of any other value, its text
    fill: The text whose first character is put there
    length: The wanted length
    returns: The longer text; the text itself if it is long enough; null for null

        FILL_RIGHT('ab', '.', 5)  // 'ab...'
        FILL_RIGHT('abc', '.', -1)  // 'abc'
        FILL_RIGHT(null, '.', 5)  // null
        FILL_RIGHT('abc', '.', 'wide')  // error
    """
    if input_ is None:
        return None
    text = to_text(input_)
    character, width = _filling(fill, length)
    return text.ljust(width, character)


def _filling(fill: object, length: object) -> tuple[str, int]:
    if fill is None or not (character := to_text(fill)[:1]):
        raise ValueError("there must be a character to fill with")
    width = to_integer(length)
    if width is None:
        raise ValueError("the length must be a whole number")
    if width > LONGEST_FILLED:
        raise ValueError(f"{width} characters are too many; {LONGEST_FILLED} is the most")
    return character, width


@stellar("GET")
def get(list_: list[Any], index: int) -> Any:
    """The element of a list at a position.

    list: The list
    index: The position, from 0
    returns: The element; null beyond the end

        GET(['a', 'b'], 1)  // 'b'
        GET(['a', 'b'], 2)  // null
        GET(['a', 'b'], -1)  // error
        GET(null, 0)  // error
    """
    if index < 0:
        raise LookupError(f"a position counts from 0, so it cannot be {index}")
    return list_[index] if index < len(list_) else None


@stellar("GET_FIRST")
def get_first(list_: list[Any]) -> Any:
    """The first element of a list.

    list: The list
    returns: The element; null if the list is empty

        GET_FIRST(['a', 'b'])  // 'a'
        GET_FIRST([])  // null
        GET_FIRST(null)  // error
    """
    return list_[0] if list_ else None


@stellar("GET_LAST")
def get_last(list_: list[Any]) -> Any:
    """The last element of a list.

    list: The list
    returns: The element; null if the list is empty

        GET_LAST(['a', 'b'])  // 'b'
        GET_LAST([])  // null
        GET_LAST('ab')  // error
    """
    return list_[-1] if list_ else None


@stellar("JOIN")
def join(items: Iterable[Any], delim: str) -> str:
    """The texts of the elements of a list or set, one after another.

    items: The list or set; nulls in it are left out
    delim: What goes between two elements
    returns: The whole text

        JOIN(['a', 'b', 'c'], ',')  // 'a,b,c'
        JOIN([1, null, 2.5, true], ' ')  // '1 2.5 true'
        JOIN([], ',')  // ''
        JOIN('abc', ',')  // error
    """
    try:
        return delim.join(items)
    except TypeError:  # not all are texts
        return delim.join([to_text(item) for item in items if item is not None])


@stellar("SPLIT")
def split(input_: object, delim: str | None) -> list[str]:
    """The parts of a text between delimiters. Empty parts are kept.

    input: The text; of any other value, its text
    delim: What stands between two parts; it is no pattern
    returns: The list of the parts; an empty one for null

        SPLIT('a,b,,c', ',')  // ['a', 'b', '', 'c']
        SPLIT('10.0.0.1', '.')  // ['10', '0', '0', '1']
        SPLIT('', ',')  // ['']
        SPLIT(null, ',')  // []
        SPLIT('a', '')  // error
    """
    if input_ is None:
        return []
    if not delim:
        raise ValueError("there must be a delimiter to split at")
    return (input_ if input_.__class__ is str else to_text(input_)).split(delim)


@stellar("STRING_ENTROPY", surplus="refuse")
def string_entropy(input_: object) -> float:
    """The entropy of a text after Shannon, in bits a character. Names made up by machines have more than words.

    input: The text; of any other value its text, of a list that of its first element
    returns: The entropy; 0.0 for null and the empty text

        STRING_ENTROPY('aaaa')  // 0.0
        STRING_ENTROPY('aabb')  // 1.0
        STRING_ENTROPY('abcdefgh')  // 3.0
        STRING_ENTROPY(null)  // 0.0
    """
    text = to_optional_text(input_)
    return _entropy(text) if text else 0.0


@remembered
def _entropy(text: str) -> float:
    counts = Counter(text)
    buckets = 16
    while len(counts) * 4 > buckets * 3:
        buckets *= 2
    # Summed up in the order of Java's hash map, so that the last digit is the same as well
    counts_in_order = (counts[character] for character in sorted(counts, key=lambda c: ord(c) % buckets))
    shares = (count / len(text) for count in counts_in_order)
    return 0.0 - sum(share * math.log(share) / math.log(2) for share in shares)


@stellar("SUBSTRING")
def substring(input_: str | None, start: float | None, end: float | None = None) -> str | None:
    """A part of a text.

    input: The text
    start: The position where the part begins, from 0
    end: The position after its end; null is the end of the text
    returns: The part; null if the text or the start is null

        SUBSTRING('apache', 2)  // 'ache'
        SUBSTRING('apache', 0, 2)  // 'ap'
        SUBSTRING(null, 2)  // null
        SUBSTRING('apache', -1)  // error
        SUBSTRING('apache', 2, 9)  // error
    """
    if input_ is None or start is None:
        return None
    if not input_:
        return ""
    first, last = _position(start), len(input_) if end is None else _position(end)
    if not 0 <= first <= last <= len(input_):
        raise LookupError(f"a text of {len(input_)} characters has no part from {first} to {last}")
    return input_[first:last]


def _position(number: float) -> int:
    position = number if number.__class__ is int else to_integer(number)
    if position is None:
        raise LookupError(f"{to_text(number)} is no position in a text")
    return position
