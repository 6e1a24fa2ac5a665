"""String functions: case, trimming, padding, splitting, joining, searching."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from stellar.language.conversions import JAVA_WHITESPACE, to_integer, to_optional_string, to_string
from stellar.language.inline import Inline, Prepared
from stellar.language.library import UNKNOWN, stellar
from stellar.language.limits import FEW_CHARACTERS, FEW_ITEMS, check_characters, check_items, check_string, measure
from stellar.language.literals import Arguments, LiteralKind
from stellar.language.python_values import from_python
from stellar.language.runtime import describe
from stellar.util.memoize import memoize

# Joining at most this many strings takes no more than a few times their memory
_FEW_STRINGS = 16
_STRINGS = frozenset({str})


@stellar("TO_UPPER", pure=True, inline=[Inline("input_.upper()", {"input_": str}, result=str)])
def to_upper(input_: Any) -> str | None:
    """Convert a string to uppercase.

    input: The string; other values are converted to a string first
    returns: The uppercase string; null for null

        TO_UPPER('squid')  // 'SQUID'
        TO_UPPER('straße')  // 'STRASSE'
        TO_UPPER(null)  // null
    """
    if input_.__class__ is str:
        return input_.upper()
    return None if input_ is None else to_string(input_).upper()


@stellar("TO_LOWER", pure=True, inline=[Inline("input_.lower()", {"input_": str}, result=str)])
def to_lower(input_: Any) -> str | None:
    """Convert a string to lowercase.

    input: The string; other values are converted to a string first
    returns: The lowercase string; null for null

        TO_LOWER('WWW.Example.COM')  // 'www.example.com'
        TO_LOWER(true)  // 'true'
        TO_LOWER(null)  // null
    """
    if input_.__class__ is str:
        return input_.lower()
    return None if input_ is None else to_string(input_).lower()


_TRIM = Inline(
    "input_.strip(JAVA_WHITESPACE)", {"input_": str}, values={"JAVA_WHITESPACE": JAVA_WHITESPACE}, result=str
)


@stellar("TRIM", pure=True, inline=[_TRIM])
def trim(input_: Any) -> str | None:
    """Remove whitespace and control characters at both ends of a string.

    Only ASCII whitespace is removed, not other Unicode whitespace such as the no-break space.

    input: The string; other values are converted to a string first
    returns: The trimmed string; null for null

        TRIM('  GET /index ')  // 'GET /index'
        TRIM('a\\n')  // 'a'
        TRIM(null)  // null
    """
    if input_.__class__ is str:
        return input_.strip(JAVA_WHITESPACE)
    return None if input_ is None else to_string(input_).strip(JAVA_WHITESPACE)


@stellar("STARTS_WITH", pure=True, inline=[Inline("str_.startswith(prefix)", {"str_": str, "prefix": str})])
def starts_with(str_: str | None, prefix: str | None) -> bool:
    """Test a string for a prefix. Case-sensitive.

    str: The string
    prefix: The prefix
    returns: True if the string has it; false if an argument is null

        STARTS_WITH('apache', 'ap')  // true
        STARTS_WITH('apache', '')  // true
        STARTS_WITH(null, 'ap')  // false
        STARTS_WITH(12, '1')  // error
    """
    return str_ is not None and prefix is not None and str_.startswith(prefix)


@stellar("ENDS_WITH", pure=True, inline=[Inline("str_.endswith(suffix)", {"str_": str, "suffix": str})])
def ends_with(str_: str | None, suffix: str | None) -> bool:
    """Test a string for a suffix. Case-sensitive.

    str: The string
    suffix: The suffix
    returns: True if the string has it; false if an argument is null

        ENDS_WITH('evil.exe', '.exe')  // true
        ENDS_WITH('evil.EXE', '.exe')  // false
        ENDS_WITH('evil.exe', null)  // false
    """
    return str_ is not None and suffix is not None and str_.endswith(suffix)


@stellar("APPEND_IF_MISSING", pure=True, surplus="refuse")
def append_if_missing(str_: str | None, suffix: str | None, other: str | None = None) -> str | None:
    """Append a suffix to a string, unless the string already ends with it.

    str: The string
    suffix: The suffix
    other: Alternative suffix; a string that ends with it is not changed either
    returns: The string with the suffix; null for null

        APPEND_IF_MISSING('example', '.com')  // 'example.com'
        APPEND_IF_MISSING('example.com', '.com')  // 'example.com'
        APPEND_IF_MISSING('example.org', '.com', '.org')  // 'example.org'
        APPEND_IF_MISSING(null, '.com')  // null
    """
    if str_ is None or not suffix or str_.endswith(suffix) or (other is not None and str_.endswith(other)):
        return str_
    return check_string(str_ + suffix)


@stellar("PREPEND_IF_MISSING", pure=True, surplus="refuse")
def prepend_if_missing(str_: str | None, prefix: str | None, other: str | None = None) -> str | None:
    """Prepend a prefix to a string, unless the string already starts with it.

    str: The string
    prefix: The prefix
    other: Alternative prefix; a string that starts with it is not changed either
    returns: The string with the prefix; null for null

        PREPEND_IF_MISSING('example.com', 'http://')  // 'http://example.com'
        PREPEND_IF_MISSING('https://example.com', 'http://', 'https://')  // 'https://example.com'
        PREPEND_IF_MISSING(null, 'http://')  // null
    """
    if str_ is None or not prefix or str_.startswith(prefix) or (other is not None and str_.startswith(other)):
        return str_
    return check_string(prefix + str_)


@stellar("CHOMP", pure=True)
def chomp(str_: str | None) -> str | None:
    """Remove one line end (CR LF, LF or CR) from the end of a string.

    str: The string
    returns: The string without it; null for null

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


@stellar("CHOP", pure=True)
def chop(str_: str | None) -> str | None:
    """Drop the final character of a string; CR LF counts as one.

    str: The string
    returns: The shorter string; null for null

        CHOP('abc')  // 'ab'
        CHOP('abc\\r\\n')  // 'abc'
        CHOP('')  // ''
        CHOP(null)  // null
    """
    if str_ is None:
        return None
    return str_[:-2] if str_.endswith("\r\n") else str_[:-1]


@stellar("COUNT_MATCHES", pure=True, surplus="refuse")
def count_matches(str_: str | None, sub: str | None) -> int:
    """Count the non-overlapping occurrences of a substring.

    str: The string to search
    sub: The substring
    returns: The count; 0 if an argument is null or empty

        COUNT_MATCHES('a.b.c', '.')  // 2
        COUNT_MATCHES('aaa', 'aa')  // 1
        COUNT_MATCHES('aaa', '')  // 0
        COUNT_MATCHES(null, 'a')  // 0
    """
    return str_.count(sub) if str_ and sub else 0


@stellar("FILL_LEFT", pure=True)
def fill_left(input_: object, fill: object, length: object) -> str | None:
    """Pad a string on the left to a length.

    input: The string; other values are converted to a string first
    fill: String whose first character is used for padding
    length: Length of the result
    returns: The padded string; the string itself if it is long enough; null for null

        FILL_LEFT(42, '0', 5)  // '00042'
        FILL_LEFT('abc', '0', 2)  // 'abc'
        FILL_LEFT(null, '0', 5)  // null
        FILL_LEFT('abc', '', 5)  // error
    """
    if input_ is None:
        return None
    string = to_string(input_)
    character, width = _parse_padding(fill, length)
    return string.rjust(width, character)


@stellar("FILL_RIGHT", pure=True)
def fill_right(input_: object, fill: object, length: object) -> str | None:
    """Pad a string on the right to a length.

    input: The string; other values are converted to a string first
    fill: String whose first character is used for padding
    length: Length of the result
    returns: The padded string; the string itself if it is long enough; null for null

        FILL_RIGHT('ab', '.', 5)  // 'ab...'
        FILL_RIGHT('abc', '.', -1)  // 'abc'
        FILL_RIGHT(null, '.', 5)  // null
        FILL_RIGHT('abc', '.', 'wide')  // error
    """
    if input_ is None:
        return None
    string = to_string(input_)
    character, width = _parse_padding(fill, length)
    return string.ljust(width, character)


def _parse_padding(fill: object, length: object) -> tuple[str, int]:
    if fill is None or not (character := to_string(fill)[:1]):
        raise ValueError(f"expected a non-empty string as fill, got {describe(fill)}")
    width = to_integer(length)
    if width is None:
        raise ValueError(f"expected an integer as length, got {describe(length)}")
    check_characters(width)
    return character, width


_GET = Inline("list_[index] if index < len(list_) else None", {"list_": list, "index": int}, "index >= 0")


@stellar("GET", pure=True, borrows=("list",), inline=[_GET])
def get(list_: list[Any], index: int) -> Any:
    """Look up a list element by its index.

    list: The list
    index: The index, from 0
    returns: The element; null if the index is beyond the end

        GET(['a', 'b'], 1)  // 'b'
        GET(['a', 'b'], 2)  // null
        GET(['a', 'b'], -1)  // error
        GET(null, 0)  // error
    """
    if index < 0:
        raise LookupError(f"invalid index {index}: expected 0 or more")
    return list_[index] if index < len(list_) else None


@stellar("GET_FIRST", pure=True, inline=[Inline("list_[0] if list_ else None", {"list_": list})])
def get_first(list_: list[Any]) -> Any:
    """Return a list's first element.

    list: The list
    returns: The element; null if the list is empty

        GET_FIRST(['a', 'b'])  // 'a'
        GET_FIRST([])  // null
        GET_FIRST(null)  // error
    """
    return list_[0] if list_ else None


@stellar("GET_LAST", pure=True, inline=[Inline("list_[-1] if list_ else None", {"list_": list})])
def get_last(list_: list[Any]) -> Any:
    """Return a list's last element.

    list: The list
    returns: The element; null if the list is empty

        GET_LAST(['a', 'b'])  // 'b'
        GET_LAST([])  // null
        GET_LAST('ab')  // error
    """
    return list_[-1] if list_ else None


@stellar("JOIN", pure=True)
def join(items: Iterable[Any], delim: str) -> str:
    """Join the elements of a list or set into a string.

    items: The list or set; its elements are converted to strings, nulls are ignored
    delim: The delimiter
    returns: The string

        JOIN(['a', 'b', 'c'], ',')  // 'a,b,c'
        JOIN([1, null, 2.5, true], ' ')  // '1 2.5 true'
        JOIN([], ',')  // ''
        JOIN('abc', ',')  // error
    """
    if items.__class__ is list and len(items) <= _FEW_STRINGS and len(delim) <= FEW_CHARACTERS:
        try:
            string = delim.join(items)
        except TypeError:  # not all are strings
            return _join_all(items, delim)
        return string if len(string) <= FEW_CHARACTERS else check_string(string)
    return _join_all(items, delim)


def _join_all(items: Iterable[Any], delim: str) -> str:
    """Join a list or set of any size, after checking the length of the result."""
    strings = list(items)
    if not _STRINGS.issuperset(map(type, strings)):
        measure(strings)
        strings = [to_string(item) for item in strings if item is not None]
    check_characters(sum(map(len, strings)) + len(delim) * (len(strings) - 1))
    return delim.join(strings)


def _require_delimiter(delim: object, _: Arguments) -> str:
    if not isinstance(delim, str):
        raise ValueError(f"SPLIT expected a string as delim, got {describe(delim)}")
    if not delim:
        raise ValueError("SPLIT expected a non-empty string as delim")
    return delim


DELIMITER = LiteralKind(_require_delimiter, "use a string such as ','")


def _prepare_split(input_: object, delim: object, *_: object) -> Prepared | None:
    if input_ is not UNKNOWN or not isinstance(delim, str) or not delim:
        return None
    inline = Inline(
        "input_.split(delim)",
        {"input_": str},
        "len(input_) < most",
        values={"delim": delim, "most": FEW_ITEMS},
        result=list,
    )
    return Prepared(lambda value: split(value, delim), (inline,))


@stellar("SPLIT", pure=True, prepare=_prepare_split, literals={"delim": DELIMITER})
def split(input_: Any, delim: object) -> list[str]:
    """Split a string at each occurrence of a delimiter. Empty substrings are included.

    input: The string; other values are converted to a string first
    delim: The delimiter, a plain string
    returns: List of the substrings; an empty list for null, whatever the delimiter

        SPLIT('a,b,,c', ',')  // ['a', 'b', '', 'c']
        SPLIT('10.0.0.1', '.')  // ['10', '0', '0', '1']
        SPLIT('', ',')  // ['']
        SPLIT(null, ',')  // []
        SPLIT('a', '')  // error
    """
    if input_ is None:
        return []
    delimiter = delim if delim.__class__ is str and delim else _require_delimiter(from_python(delim), ())
    string = input_ if input_.__class__ is str else to_string(input_)
    if len(string) > FEW_ITEMS:
        check_items(string.count(delimiter) + 1)
    return string.split(delimiter)


@stellar("STRING_ENTROPY", pure=True, surplus="refuse")
def string_entropy(input_: object) -> float:
    """Return the Shannon entropy of a string, in bits per character. Machine-generated names have a high entropy.

    input: The string; other values are converted to a string first, of a list the first element
    returns: The entropy; 0.0 for null and the empty string

        STRING_ENTROPY('aaaa')  // 0.0
        STRING_ENTROPY('aabb')  // 1.0
        STRING_ENTROPY('abcdefgh')  // 3.0
        STRING_ENTROPY(null)  // 0.0
    """
    string = to_optional_string(input_)
    return _compute_entropy(string) if string else 0.0


@memoize
def _compute_entropy(string: str) -> float:
    counts = Counter(string)
    buckets = 16
    while len(counts) * 4 > buckets * 3:
        buckets *= 2
    # Added in the order of Java's HashMap, so that the last digit is the same
    counts_in_order = (counts[character] for character in sorted(counts, key=lambda c: ord(c) % buckets))
    shares = (count / len(string) for count in counts_in_order)
    return 0.0 - sum(share * math.log(share) / math.log(2) for share in shares)


_SUBSTRING = (
    Inline("input_[start:]", {"input_": str, "start": int}, "0 <= start <= len(input_)", result=str),
    Inline(
        "input_[start:end]", {"input_": str, "start": int, "end": int}, "0 <= start <= end <= len(input_)", result=str
    ),
)


@stellar("SUBSTRING", pure=True, inline=_SUBSTRING)
def substring(input_: str | None, start: float | None, end: float | None = None) -> str | None:
    """Cut a substring out of a string.

    input: The string
    start: Index of the first character, from 0
    end: Index after the last character; by default, and for null, the length of the string
    returns: The substring; null if the string or the start is null

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
    first, last = _to_index(start), len(input_) if end is None else _to_index(end)
    if not 0 <= first <= last <= len(input_):
        raise LookupError(f"range {first} to {last} out of bounds: the string has {len(input_)} characters")
    return input_[first:last]


def _to_index(number: float) -> int:
    index = number if number.__class__ is int else to_integer(number)
    if index is None:
        raise LookupError(f"invalid index {to_string(number)}")
    return index
