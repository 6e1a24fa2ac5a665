"""Regular expressions without the `regex` package: bounded ones have the results of the package, others are refused."""

from __future__ import annotations

import sys
import time

import pytest

from stellar.java import regex
from stellar.java.regex import InvalidPattern, compile_pattern, compile_replacer, match_in_time

MEMOIZED = ("compile_pattern", "compile_matcher", "compile_replacer", "_compile_after_empty", "_compile_bounded")
STRINGS = ["", "a", "abc 12", "12-34", "x@example.com", "  two  words ", "aaaa", "A1b2", "a\nb"]
PATTERNS = [
    r"\s+", r"[a-z]+", r"^\w+@\w+\.com$", r"\d{2}-\d{2}", r"(?i)ABC", r"(\w+) (\d+)", r"a|b|12", r"\bwords\b",
    r"(?:ab)?c", r"[^\d]", r"x*", "",
]  # fmt: skip
UNBOUNDED = [r"(a+)+$", r"(ab|a|b)*x", r"\p{L}+", r"(?:a|aa)+b"]


@pytest.fixture
def without_package(monkeypatch):
    """No package `regex`, and no pattern that it compiled."""
    monkeypatch.setitem(sys.modules, "regex", None)
    for name in MEMOIZED:
        monkeypatch.setattr(regex, name, regex.memoize_for(8)(getattr(regex, name).__wrapped__))


def find_all(pattern: str) -> list[object]:
    compiled, replace = regex.compile_pattern(pattern), regex.compile_replacer(pattern)
    found: list[object] = []
    for string in STRINGS:
        search = match_in_time(compiled.search, string)
        found.append(None if search is None else (search.span(), search.groups()))
        found += [match_in_time(compiled.fullmatch, string) is not None, replace("-", string)]
        found.append([part or "" for part in match_in_time(compiled.split, string)])
    return found


def test_bounded_patterns_have_the_results_of_the_package(request):
    expected = [find_all(pattern) for pattern in PATTERNS]
    request.getfixturevalue("without_package")
    assert type(regex.compile_pattern("a")).__name__ == "BoundedPattern"
    assert [find_all(pattern) for pattern in PATTERNS] == expected


@pytest.mark.parametrize("pattern", UNBOUNDED)
def test_other_patterns_are_refused(pattern, without_package):
    with pytest.raises(
        InvalidPattern, match="it needs the package regex, which is not installed; run pip install regex"
    ):
        regex.compile_pattern(pattern)


def test_other_strings_are_refused(without_package):
    pattern = regex.compile_pattern("a+b")
    with pytest.raises(ValueError, match="carriage return or characters outside ASCII; install the package regex"):
        match_in_time(pattern.search, "a\u00e9")
    with pytest.raises(ValueError, match=rf"{pattern.longest + 1} characters, and .* is limited to {pattern.longest};"):
        match_in_time(pattern.search, "a" * (pattern.longest + 1))


def test_the_longest_string_is_searched_in_less_than_the_time_limit(without_package):
    for expression in ("a+b", "a*a*b", "^(a*)(a*)c", r"\s+$"):
        pattern = regex.compile_pattern(expression)
        begin = time.process_time()
        match_in_time(pattern.search, ("a" if "a" in expression else " ") * pattern.longest)
        assert time.process_time() - begin < 1


def test_with_the_package_it_matches_all_strings():
    assert match_in_time(compile_pattern("a+b").search, "\u00e9aab").span() == (1, 4)
    assert compile_replacer("a+b")("-", "\u00e9aab") == "\u00e9-"
