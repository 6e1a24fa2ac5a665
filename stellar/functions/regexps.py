"""Regular expressions in Java's dialect. Matching is limited to one second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from stellar.java.regex import (
    TIMEOUT_MS,
    Replacement,
    compile_for_groups,
    compile_matcher,
    compile_replacer,
    find_quick_matcher,
)
from stellar.language.conversions import to_integer, to_string
from stellar.language.inline import Inline, Prepared
from stellar.language.library import UNKNOWN, stellar
from stellar.language.limits import FEW_CHARACTERS, check_characters, check_string
from stellar.language.literals import Arguments, LiteralKind, check_strings
from stellar.util.abbreviate import quote
from stellar.util.memoize import memoize_for

_CACHE_SIZE = 512

REGULAR_EXPRESSION = LiteralKind(
    check_strings(compile_matcher), "the syntax is that of Java; a backslash is written as two: '\\\\('"
)


# What the quick engine is used for; see compile_matcher
_IS_QUICK = "len(str_) <= longest and str_.isascii() and '\\r' not in str_"


def _prepare_match(str_: object, pattern: object, *_: object) -> Prepared | None:
    if str_ is not UNKNOWN or not isinstance(pattern, str):
        return None
    try:
        fullmatch = compile_matcher(pattern)
    except ValueError:
        return None
    quick = find_quick_matcher(pattern)
    inline = Inline("fullmatch(str_) is not None", {"str_": str}, _IS_QUICK, quick._asdict()) if quick else None
    return Prepared(
        lambda string: string is not None and fullmatch(string) is not None, () if inline is None else (inline,)
    )


@stellar("REGEXP_MATCH", pure=True, prepare=_prepare_match, literals={"pattern": REGULAR_EXPRESSION})
def regexp_match(str_: str | None, pattern: object) -> bool:
    """Test whether a whole string matches a regular expression.

    str: The string
    pattern: The regular expression, or a list or set of several, any of which may match
    returns: True if it matches; false if an argument is null

        REGEXP_MATCH('evil.exe', '.*\\\\.(exe|dll)')  // true
        REGEXP_MATCH('evil.exe.txt', '.*\\\\.(exe|dll)')  // false
        REGEXP_MATCH('GET', ['POST', '(?i)get'])  // true
        REGEXP_MATCH(null, '.*')  // false
        REGEXP_MATCH('a', '(')  // error
    """
    if str_ is None or pattern is None:
        return False
    if isinstance(pattern, str):
        return compile_matcher(pattern)(str_) is not None
    if not isinstance(pattern, list | tuple | set | frozenset):
        return False
    alternatives: Iterable[object] = pattern
    return _matches_any(str_, alternatives)


def _matches_any(string: str, patterns: Iterable[object]) -> bool:
    """Return True if a string matches one of several patterns. Raises ValueError if it takes more than two seconds."""
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    for pattern in patterns:
        if pattern is not None and compile_matcher(to_string(pattern))(string) is not None:
            return True
        if time.monotonic() > deadline:
            raise ValueError(f"the regular expressions need more than {TIMEOUT_MS / 1000:g} s for this string")
    return False


def _prepare_group_val(str_: object, pattern: object, group: object) -> Prepared | None:
    number = None if group is UNKNOWN else to_integer(group)
    if str_ is not UNKNOWN or not isinstance(pattern, str) or number is None or number < 1:
        return None
    try:
        fullmatch, groups = compile_matcher(pattern), compile_for_groups(pattern).groups
    except ValueError:
        return None

    def group_val(string: str | None) -> str | None:
        match = None if string is None else fullmatch(string)
        return None if match is None or number > groups else match[number]

    if number > groups or (quick := find_quick_matcher(pattern)) is None:
        return Prepared(group_val)
    values = {**quick._asdict(), "number": number}
    inline = Inline("None if (match := fullmatch(str_)) is None else match[number]", {"str_": str}, _IS_QUICK, values)
    return Prepared(group_val, (inline,))


def _validate_group(group: object, arguments: Arguments) -> None:
    _, pattern, *_ = arguments
    number = to_integer(group)
    if number is None or not isinstance(pattern, str):
        return
    groups = compile_for_groups(pattern).groups
    if not 0 <= number <= groups:
        raise LookupError(f"the regular expression has no group {number}: it has {groups or 'none'}")


GROUP = LiteralKind(_validate_group, "groups are numbered from 1, by their opening parentheses")


@stellar(
    "REGEXP_GROUP_VAL",
    pure=True,
    surplus="refuse",
    prepare=_prepare_group_val,
    literals={"pattern": REGULAR_EXPRESSION, "group": GROUP},
)
def regexp_group_val(str_: str | None, pattern: str | None, group: object) -> str | None:
    """Return the capture of a group, if a whole string matches a regular expression.

    str: The string
    pattern: The regular expression
    group: Number of the group, from 1; 0 returns the string, even without a match
    returns: The capture; null if the string does not match or the group does not exist

        REGEXP_GROUP_VAL('user=mary', 'user=(\\\\w+)', 1)  // 'mary'
        REGEXP_GROUP_VAL('user=mary', 'user=(\\\\w+)', 2)  // null
        REGEXP_GROUP_VAL('mary', 'user=(\\\\w+)', 1)  // null
        REGEXP_GROUP_VAL(null, 'user=(\\\\w+)', 1)  // null
        REGEXP_GROUP_VAL('user=mary', 'user=(\\\\w+)', -1)  // error
    """
    number = to_integer(group)
    if number == 0:
        return str_
    if number is None or str_ is None or pattern is None:
        return None
    match = compile_matcher(pattern)(str_)
    groups = match.re.groups if match else 0
    if groups == 0 or number > groups:
        return None
    if number < 0:
        raise LookupError(f"invalid group {number}: groups are numbered from 0")
    capture: str | None = match[number]
    return capture


def _prepare_replace(str_: object, pattern: object, value: object) -> Callable[[str | None], str | None] | None:
    if str_ is not UNKNOWN or not (isinstance(pattern, str) and pattern and isinstance(value, str) and value):
        return None
    try:
        replace_all, replacement = compile_replacer(pattern), _compile_replacement(value, compile_for_groups(pattern))
    except ValueError:
        return None
    longest = _longest_unchecked(value, replacement)

    def replace(string: str | None) -> str | None:
        if not string:
            return None
        return replace_all(replacement if len(string) <= longest else _limit_length(replacement), string)

    return replace


def _longest_unchecked(template: str, replacement: Replacement) -> int:
    """Return the length up to which no string becomes so long by a replacement that its length must be checked."""
    if isinstance(replacement, str):
        return FEW_CHARACTERS // (len(template) + 1) - 1
    return math.isqrt(FEW_CHARACTERS // (len(template) + 1)) - 1  # a match has captures of up to the whole string


def _limit_length(replacement: Replacement) -> Replacement:
    """Return a replacement that raises LimitExceeded if all its results together have too many characters."""
    total = 0

    def limited(match: Any) -> str:
        nonlocal total
        string = replacement if isinstance(replacement, str) else replacement(match)
        total += len(string)
        check_characters(total)
        return string

    return limited


def _validate_replacement(value: object, arguments: Arguments) -> None:
    _, pattern, *_ = arguments
    if isinstance(value, str) and isinstance(pattern, str):
        _parse_replacement(value, compile_for_groups(pattern))


REPLACEMENT = LiteralKind(_validate_replacement, "insert a group by $1 or ${name}; write a dollar sign as '\\\\$'")


@stellar(
    "REGEXP_REPLACE",
    pure=True,
    surplus="refuse",
    prepare=_prepare_replace,
    literals={"pattern": REGULAR_EXPRESSION, "value": REPLACEMENT},
)
def regexp_replace(str_: str | None, pattern: str | None, value: str | None) -> str | None:
    """Replace all matches of a regular expression in a string.

    str: The string
    pattern: The regular expression
    value: The replacement. `$1` and `${name}` insert the capture of a group; `\\$` is a dollar sign
    returns: The new string; null for null and the empty string; the string itself if pattern or value is null or empty

        REGEXP_REPLACE('card 4111-1111', '\\\\d', '#')  // 'card ####-####'
        REGEXP_REPLACE('mary@example.com', '(\\\\w+)@(.*)', '$2: $1')  // 'example.com: mary'
        REGEXP_REPLACE('cost 5', '\\\\d', '\\\\$')  // 'cost $'
        REGEXP_REPLACE(null, '\\\\d', '#')  // null
        REGEXP_REPLACE('a', 'a', '$1')  // error
    """
    if not str_:
        return None
    if not pattern or not value:
        return str_
    replacement = _compile_replacement(value, compile_for_groups(pattern))
    if len(str_) > _longest_unchecked(value, replacement):
        replacement = _limit_length(replacement)
    return check_string(compile_replacer(pattern)(replacement, str_))


def _compile_replacement(template: str, expression: Any) -> Replacement:
    """Return a literal replacement, or a function of a match that expands it. Errors are raised at the first match."""
    if "$" not in template and "\\" not in template:
        return template

    def expand(match: Any) -> str:
        parts = _parse_replacement(template, expression)
        return "".join([part if isinstance(part, str) else match[part[0]] or "" for part in parts])

    return expand


@memoize_for(_CACHE_SIZE)
def _parse_replacement(template: str, expression: Any) -> list[str | tuple[int]]:
    """Split a replacement into literal strings, and one-element tuples with the number of a group."""
    parts: list[str | tuple[int]] = []
    at = 0
    while at < len(template):
        character = template[at]
        if character == "$":
            group, at = _parse_group(template, at + 1, expression)
            parts.append((group,))
            continue
        if character == "\\":
            at += 1
            if at == len(template):
                raise ValueError("invalid replacement: it ends in a backslash")
        parts.append(template[at])
        at += 1
    return parts


def _parse_group(template: str, at: int, expression: Any) -> tuple[int, int]:
    """Return the number of the group that follows `$`, and the offset after it."""
    if template.startswith("{", at):
        return _parse_group_name(template, at, expression)
    end = at
    while (
        end < len(template)
        and "0" <= template[end] <= "9"
        and (end == at or int(template[at : end + 1]) <= expression.groups)
    ):
        end += 1
    if end == at:
        raise ValueError(
            "invalid replacement: expected the number or the {name} of a group after $; use \\$ for a dollar sign"
        )
    group = int(template[at:end])
    if group > expression.groups:
        raise LookupError(f"the regular expression has no group {group}")
    return group, end


def _parse_group_name(template: str, at: int, expression: Any) -> tuple[int, int]:
    name, brace, _ = template[at + 1 :].partition("}")
    if not brace or name not in expression.groupindex:
        raise LookupError(f"the regular expression has no group named {quote(name)}")
    return expression.groupindex[name], at + len(name) + 2
