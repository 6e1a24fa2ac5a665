"""Java's regular expressions, translated for the `regex` package and matched in bounded time.

Without the package, patterns whose steps are bounded are matched by the standard library (`regex_bounded.py`).

The translation replaces syntax that the two interpret differently: `.`, `^`, `$`, `\\w`, `\\s`, classes with `&&`,
quotes and comments. Syntax that Java rejects is rejected.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Callable, Container, Iterable
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

from stellar.java.regex_classes import InvalidPattern
from stellar.java.regex_size import TooLarge, check_size
from stellar.java.regex_translation import GrokTranslation, Translation
from stellar.util.memoize import memoize_for
from stellar.util.program_cache import current_cache

__all__ = [
    "TIMEOUT_MS",
    "InvalidPattern",
    "Replacement",
    "compile_for_groups",
    "compile_grok",
    "compile_matcher",
    "compile_pattern",
    "compile_quick_grok",
    "compile_replacer",
    "find_grok_groups",
    "is_full_match",
    "match_in_time",
    "replace_in_time",
    "search",
]

T = TypeVar("T")
TR = TypeVar("TR", bound=Translation)
Replacement = str | Callable[[Any], str]

TIMEOUT_MS = 1000
_CACHED_PATTERNS = 512


@memoize_for(_CACHED_PATTERNS)
def compile_pattern(expression: str) -> Any:
    """Compile a Java regular expression to a pattern of the `regex` package.

    Raises InvalidPattern.
    """
    return _compile(partial(Translation, expression))[0]


def compile_grok(expression: str, unread: Container[str] = ()) -> tuple[Any, dict[str, int]]:
    """Compile the regular expression of a Grok pattern. Return it with the number of each named group.

    Group names may be any string without angle brackets and parentheses, and may be repeated, as in the library that
    Metron's Grok parser uses. A repeated name means the first of its groups.

    unread: the named groups whose matches nobody reads

    Raises InvalidPattern.
    """
    pattern, translation = _compile(partial(GrokTranslation, expression, unread))
    return pattern, translation.numbers


class GrokGroups(NamedTuple):
    """The groups of a Grok pattern: the number of each named one, and how many there are."""

    numbers: dict[str, int]
    total: int


def find_grok_groups(expression: str, unread: Iterable[str] = ()) -> GrokGroups:
    """Return the groups of the regular expression of a Grok pattern, which `compile_grok` compiles.

    The cache of the program has those of valid patterns, since compiling one takes some milliseconds, and importing the
    `regex` package even more.

    Raises InvalidPattern.
    """
    pack = current_cache()
    key = None if pack is None else f"{_regex_fingerprint()}{sorted(unread)} {expression}"
    if pack is not None and key is not None and (found := pack.get(key)) is not None:
        numbers, total = found
        return GrokGroups(dict(numbers), total)
    pattern, numbers = compile_grok(expression, frozenset(unread))
    if pack is not None and key is not None:
        pack.put(key, (numbers, pattern.groups))
    return GrokGroups(numbers, pattern.groups)


@cache
def _regex_fingerprint() -> str:
    """Return a digest of what the groups depend on besides the pattern."""
    from stellar.util.file_digests import digest_files, find_package_file, list_sources  # only caches need it

    return digest_files([*list_sources(os.path.dirname(__file__)), *find_package_file("regex", "_main.py")])


def compile_quick_grok(expression: str, unread: Container[str] = ()) -> re.Pattern[str] | None:
    """Compile the regular expression of a Grok pattern for the standard library, several times as fast but unlimited.

    For ASCII strings without carriage returns it has the matches and the groups of `compile_grok`. None if it would
    not, or if the standard library cannot express it.

    Raises InvalidPattern.
    """
    return _compile_plain(GrokTranslation(expression, unread, plain=True))


def search(pattern: Any, string: str, timeout_ms: int = TIMEOUT_MS) -> Any:
    """Return the first match in a string, or None. Raises TimeoutError if it takes too long."""
    return pattern.search(string, timeout=timeout_ms / 1000)


def is_full_match(pattern: Any, string: str) -> bool:
    """Return True if the whole string matches. Raises TimeoutError if it takes too long."""
    return pattern.fullmatch(string, timeout=TIMEOUT_MS / 1000) is not None


def _compile(translate: Callable[..., TR]) -> tuple[Any, TR]:
    """Compile a translation; return it with the pattern.

    translate: returns a new translation
    """
    try:
        import regex  # importing it takes longer than importing the language
    except ImportError:
        return _compile_without_package(translate)
    translation = translate()
    pattern = _write(translation)
    # Java ignores the case of ASCII letters only, unless (?u) is set. This package has that flag for whole patterns
    # only, where it restricts properties as well
    if translation.needs_expansion:
        translation = translate(expands_cases=True)
        pattern = _write(translation)
    flags = regex.VERSION1 | (regex.ASCII if translation.ascii_cases else 0)
    try:
        return regex.compile(pattern, flags), translation
    except (regex.error, OverflowError) as error:
        raise InvalidPattern(translation.expression, str(error)) from error
    except RecursionError:
        raise InvalidPattern(translation.expression, _TOO_DEEP) from None


def _compile_without_package(translate: Callable[..., TR]) -> tuple[Any, TR]:
    """Compile a translation for the standard library, within a bound."""
    from stellar.java.regex_bounded import bound_pattern  # other installations do not need it

    translation = translate(plain=True)
    plain = _compile_plain(translation)
    try:
        return bound_pattern(plain), translation
    except ValueError as error:
        raise InvalidPattern(translation.expression, str(error)) from None


def _translate(translation: Translation) -> str:
    """Return the pattern of a new translation, of any size. Raises InvalidPattern."""
    try:
        return translation.translate()
    except RecursionError:
        raise InvalidPattern(translation.expression, _TOO_DEEP) from None


def _write(translation: Translation) -> str:
    """Return the pattern of a new translation. Raises InvalidPattern, also if it is too large to compile."""
    pattern = _translate(translation)
    try:
        check_size(pattern)
    except TooLarge as error:
        raise InvalidPattern(translation.expression, str(error)) from error
    return pattern


_TOO_DEEP = "it nests too deep"


@memoize_for(_CACHED_PATTERNS)
def compile_matcher(expression: str) -> Callable[[str], Any]:
    """Return a function that matches whole strings, and raises ValueError if that takes more than a second.

    Raises ValueError for an invalid expression.
    """
    found = find_quick_matcher(expression)
    if found is None:
        return partial(match_in_time, compile_pattern(expression).fullmatch)
    quick, longest = found

    def match(string: str) -> Any:
        if len(string) <= longest and string.isascii() and "\r" not in string:
            return quick(string)
        return match_in_time(compile_pattern(expression).fullmatch, string)

    return match


class QuickMatcher(NamedTuple):
    """A function that matches whole strings, if they are ASCII without carriage returns, and short enough."""

    fullmatch: Callable[[str], Any]
    longest: int


def find_quick_matcher(expression: str) -> QuickMatcher | None:
    """Return the matcher of the standard library for an expression; None if it cannot express it.

    Raises ValueError for an invalid expression.
    """
    plain = _compile_bounded(expression)
    return None if plain is None else QuickMatcher(plain.fullmatch, _harmless_length(expression))


@memoize_for(_CACHED_PATTERNS)
def compile_replacer(expression: str) -> Callable[[Replacement, str], str]:
    """Return a function that replaces all matches, and raises ValueError if that takes more than a second.

    Its arguments are the replacement and the string. A replacement is a string without backslashes, or a function that
    returns the string for a match.

    Raises ValueError for an invalid expression.
    """
    replace_slowly = partial(replace_in_time, expression)
    plain = _compile_bounded(expression)
    if plain is None:
        compile_pattern(expression)
        return replace_slowly
    search = plain.search
    quick = plain.sub
    if _can_be_empty(expression):
        quick = partial(_replace_each, lambda string, at, _: search(string, at))
    longest = _harmless_length(expression, anywhere=True)

    def replace(replacement: Replacement, string: str) -> str:
        if len(string) <= longest and string.isascii() and "\r" not in string:
            return quick(replacement, string)
        return replace_slowly(replacement, string)

    return replace


def replace_in_time(expression: str, replacement: Replacement, string: str) -> str:
    """Replace all matches with the engine that has a time limit.

    Raises ValueError if it takes more than a second.
    """
    pattern = compile_pattern(expression)
    if not _can_be_empty(expression):
        result: str = match_in_time(partial(pattern.sub, replacement), string)
        return result
    deadline = time.monotonic() + TIMEOUT_MS / 1000

    def find(string: str, at: int, follows_empty: bool) -> Any:
        used = _compile_after_empty(expression) if follows_empty else pattern
        return used.search(string, at, timeout=max(0.0, deadline - time.monotonic()))

    return match_in_time(lambda string, timeout: _replace_each(find, replacement, string), string)


@memoize_for(_CACHED_PATTERNS)
def _compile_after_empty(expression: str) -> Any:
    if "\\G" not in expression:
        return compile_pattern(expression)
    return _compile(partial(Translation, expression, after_empty=True))[0]


def _replace_each(find: Callable[[str, int, bool], Any], replacement: Replacement, string: str) -> str:
    """Replace all matches one by one, as Java does: after an empty match it continues at the next character.

    Python's own replacement would try a match that is not empty at the same character.

    find: returns the first match from an offset on, with True if the match before was empty
    """
    pieces: list[str] = []
    copied = at = 0
    is_empty = False
    while at <= len(string) and (match := find(string, at, is_empty)) is not None:
        start, end = match.span()
        is_empty = start == end
        pieces += (string[copied:start], replacement if isinstance(replacement, str) else replacement(match))
        copied, at = end, end + is_empty
    return "".join((*pieces, string[copied:]))


@memoize_for(_CACHED_PATTERNS)
def _can_be_empty(expression: str) -> bool:
    """Return True if an expression may match the empty string."""
    translation = Translation(expression)
    _translate(translation)
    return translation.can_be_empty


def compile_for_groups(expression: str) -> Any:
    """Return a pattern with the `groups` and the `groupindex` of a Java regular expression.

    Raises ValueError for an invalid expression.
    """
    return _compile_bounded(expression) or compile_pattern(expression)


@memoize_for(_CACHED_PATTERNS)
def _compile_bounded(expression: str) -> re.Pattern[str] | None:
    """Compile an expression for the standard library, which is much faster, but has no time-out.

    The pattern has the same meaning for ASCII strings without carriage returns. None for expressions for which this is
    impossible, or which may need more time than a polynomial of the length of a string.
    """
    return None if _COMPLEX.search(expression) else _compile_plain(Translation(expression, plain=True))


def _compile_plain(translation: Translation) -> re.Pattern[str] | None:
    pattern = _write(translation)
    if translation.differs_in_re or not pattern.isascii() or _NESTED_CLASS.search(pattern):
        return None
    if _HAS_ATOMIC_FAULTS and _ATOMIC.search(pattern):
        return None
    try:
        return re.compile(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError):
        return None


_HAS_ATOMIC_FAULTS = sys.version_info < (3, 11, 5)
_ATOMIC = re.compile(r"\(\?>|[*+?}]\+")
# Repeated groups, back references, look-around and atomic groups, and quotes, which may hide any of these
_COMPLEX = re.compile(r"\)(?:[*+{]|\?[+?])|\\[1-9kQE]|\(\?(?!:|<[a-zA-Z]|[idmsu]+[:)])")
_NESTED_CLASS = re.compile(r"\[\^?(?:[^\]\\\[]|\\.)*\[", re.DOTALL)
_MOST_STEPS = 500_000_000


def _harmless_length(expression: str, *, anywhere: bool = False) -> int:
    """Return the length up to which any string is matched in a fraction of a second, if no group is repeated.

    n repetitions can divide a string in about length**n / n! ways. An optional item doubles them, and alternatives
    multiply them, at most if they are distributed evenly over the groups.
    """
    repetitions = max(1, sum(map(expression.count, "*+{")) + anywhere)
    groups = expression.count("(") + 1
    ways = math.log(_MOST_STEPS / (20 + len(expression)))
    ways -= expression.count("?") * math.log(2) + groups * math.log1p(expression.count("|") / groups)
    return int(math.exp((ways + math.lgamma(repetitions + 1)) / repetitions)) - repetitions


def match_in_time(match: Callable[..., T], string: str) -> T:
    """Call a method of a compiled pattern with a string.

    Raises ValueError if it takes more than a second.
    """
    try:
        return match(string, timeout=TIMEOUT_MS / 1000)
    except TimeoutError:
        raise ValueError(f"the regular expression needs more than {TIMEOUT_MS / 1000:g} s for this string") from None
