"""Regular expressions are read as Java reads them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import stellar
from stellar.functions.regexps import regexp_group_val, regexp_match, regexp_replace
from stellar.java import regex as _java_regex
from stellar.java.regex import compiled, everywhere, whole

MATCHES = [
    (r"a.b", "a\tb", True),
    (r"a.b", "a\nb", False),
    (r"a.b", "a\u2028b", False),
    (r"(?d)a.b", "a\rb", True),
    (r"(?s)a.b", "a\nb", True),
    (r"a$\r\n", "a\r\n", True),
    (r"a\Z\n", "a\n", True),
    (r"a\z\n", "a\n", False),
    (r"(?m)a$\n^b", "a\nb", True),
    (r"(?m)a$\r\n^b", "a\r\nb", True),
    (r"(?m)a\r$\n^b", "a\r\nb", False),
    (r"(?dm)a\r$\n^b", "a\r\nb", True),
    (r"\w+", "caf\u00e9", False),
    (r"(?U)\w+", "caf\u00e9", True),
    (r"\W", "\u00e9", True),
    (r"\d", "\u0663", False),
    (r"\s\h\v\R", " \u00a0\x0b\r\n", True),
    (r"\S\H\V\D", "aaaa", True),
    (r"(?i)straSSe", "STRASSE", True),
    (r"(?i)straße", "strasse", False),
    (r"(?i)É", "é", False),
    (r"(?iu)É", "é", True),
    (r"a(?i)b", "aB", True),
    (r"a(?i)b", "AB", False),
    (r"a(?i:b)c", "aBc", True),
    (r"a(?i:b)c", "aBC", False),
    (r"(a(?i)b)c", "aBC", False),
    (r"(?i)a(?-i)b", "AB", False),
    (r"[a-z&&[^aeiou]]+", "xyz", True),
    (r"[a-z&&[^aeiou]]+", "xaz", False),
    (r"[^a-c&&[b-d]]", "b", False),
    (r"[^a-c&&[b-d]]", "a", True),
    (r"[a-c[x-z]]+", "ayz", True),
    (r"[]a]+", "a]", True),
    (r"[a\]-]+", "]-a", True),
    (r"[a-]+", "-a", True),
    (r"[\d\-.]+", "1-2.3", True),
    (r"[\D]+", "ab", True),
    (r"[--9]+", "-.0", True),
    (r"[a~~b]+", "a~b", True),
    (r"[\Q^]\E]+", "^]", True),
    (r"\p{Punct}+", "!~^", True),
    (r"\p{Alpha}", "é", False),
    (r"\p{L}\p{Lu}\pL", "éÉe", True),
    (r"\p{IsGreek}", "λ", True),
    (r"\p{IsAlphabetic}", "λ", True),
    (r"\P{Lower}", "a", False),
    (r"[\p{Digit}\p{javaUpperCase}]+", "1A", True),
    (r"\x41\u0042\x{1F600}\0101\cA\e\t", "AB\U0001f600A\x01\x1b\t", True),
    (r"\Qa.b\E+", "a.bb", True),
    (r"\Qa.b", "a.b", True),
    (r"(a)(b)\2\1", "abba", True),
    (r"(a)\10", "aa0", True),
    (r"(?<x>a)\k<x>", "aa", True),
    (r"(?:a)\1", "a", False),
    (r"a++a", "aaa", False),
    (r"(?>a+)b", "aab", True),
    (r"(?=ab)a(?!c)b(?<=b)(?<!a)", "ab", True),
    (r"a{2}b{1,}c{0,1}", "aabb", True),
    (r"a}", "a}", True),
    ("(?x) a b # a comment\n c", "abc", True),
    ("(?x)[a b]+\\ ", "ab ", True),
    (r"#-&&~", "#-&&~", True),
    (r"\bcafé\b", "café", True),
]


@pytest.mark.parametrize(("pattern", "text", "matches"), MATCHES)
def test_a_pattern_matches_what_it_matches_in_java(pattern, text, matches):
    assert regexp_match(text, pattern) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "[", "[]", "a{", "a{,3}", "a{e<=1}", "{1}", "*a", r"\y", "\\", r"\k", "(?P<n>a)", "(?#c)"),
        *(r"\p{Nonsense}", r"\x{110000}", "[b-a]", r"\u12", "(?<1>a)", "(?<n>a)(?<n>b)", "(" * 3000 + ")" * 3000),
    ],
)
def test_what_is_no_pattern_of_java_is_refused(pattern):
    with pytest.raises(ValueError, match="regular expression"):
        compiled(pattern)


def test_a_match_that_takes_too_long_is_refused():
    with pytest.raises(ValueError, match="more than 1 s"):
        regexp_match("a" * 40, "(a|aa)+b")


@pytest.mark.parametrize(
    ("text", "pattern", "value", "result"),
    [
        ("abc", "x*", "-", "-a-b-c-"),
        ("a1b22", r"(?<n>\d)(\d)?", "<${n}$2>", "a<1>b<22>"),
        ("abcdefghijk", "(a)(b)", "$2$11", "baa1cdefghijk".replace("aa1", "a1")),
        ("a.b", r"\.", r"\\\$", r"a\$b"),
        ("one\ntwo", "(?m)^", "> ", "> one\n> two"),
        ("aaa", "b", "$9", "aaa"),
    ],
)
def test_a_replacement_is_read_as_in_java(text, pattern, value, result):
    assert regexp_replace(text, pattern, value) == result


@pytest.mark.parametrize("value", ["$", "$x", "${", "${n", "${x}", "$9", "a\\"])
def test_a_replacement_that_java_would_not_have_is_refused(value):
    with pytest.raises((ValueError, LookupError), match=re.compile("replacement|group")):
        regexp_replace("a", "(?<n>a)", value)


def test_a_group_that_took_no_part_is_null():
    assert regexp_group_val("b", "(a)?b", 1) is None


ATOMS = [
    *("a", "b", ".", r"\d", r"\w", r"\W", r"\S", "[ab]", "[^a]", r"[\w.-]", r"[\D]", "(a|b)", "(?:ab|a)", "(.*)"),
    *("$", "^", r"\b", r"\R", r"\.", "(?i)", "(?m)", "(?s)", "(?i:A)", r"\Qa.\E", "[a&&[ab]]", "(?=a)", "|", r"\1"),
    r"\p{Alpha}",
    *("(?<n>b)", "(a*)"),
]
REPEATS = ["", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "{2}", "{1,2}"]
PATTERNS = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(REPEATS)).map("".join), max_size=7).map("".join)
TEXTS = st.text("abAB1. -\n\r\té", max_size=12)


@settings(deadline=None)
@given(PATTERNS, TEXTS)
def test_the_quick_way_to_match_finds_what_the_other_finds(pattern: str, text: str) -> None:
    exact = _compiled_or_none(pattern)
    assume(exact is not None)
    expected, match = exact.fullmatch(text), whole(pattern)(text)
    assert (match and (match[0], match.groups())) == (expected and (expected[0], expected.groups()))
    assert everywhere(pattern)(lambda found: f"<{found[0]}>", text) == exact.sub(lambda found: f"<{found[0]}>", text)
    assert everywhere(pattern)("#", text) == exact.sub("#", text)


def _compiled_or_none(pattern: str) -> Any:
    return _outcome(compiled, pattern)


def _outcome(read: Callable[[str], Any], pattern: str) -> Any:
    try:
        return read(pattern)
    except ValueError:
        return None


@settings(deadline=None)
@given(PATTERNS, st.sampled_from(["(", ")", "[b-a]", "(?#c)", r"\y", "{", "?+", "(?<n>a)"]))
def test_what_is_no_pattern_is_refused_by_the_quick_way_too(pattern: str, end: str) -> None:
    refused = _compiled_or_none(pattern + end) is None
    for read in (whole, everywhere):
        assert (_outcome(read, pattern + end) is None) is refused


@pytest.mark.parametrize(
    "pattern",
    [
        "a*b",
        ".*.*b",
        ".*a.*a.*b",
        "a*a*a*a*b",
        "(a*)(a*)(a*)(a*)(a*)b",
        "a?a?a?a?a?a?a?a?.*b",
        "(a|a|a)(a|a)(a|a).*a.*b",
    ],
)
def test_the_quick_way_is_taken_only_where_it_is_quick(pattern: str) -> None:
    plain = _java_regex._plain(pattern)
    for anywhere, search in ((False, plain.fullmatch), (True, plain.search)):
        text = "a" * min(100_000, _java_regex._harmless_length(pattern, anywhere=anywhere))
        begin = time.process_time()
        search(text)
        assert time.process_time() - begin < 0.9


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)+b", r"(a*)\Q\E*b", "(?x)(a*) *b", r"(a*)\1*b", "(a+){2,}b", "(a|b)?+"]
)
def test_what_may_take_for_ever_is_left_to_the_engine_that_looks_at_the_clock(pattern: str) -> None:
    assert _java_regex._plain(pattern) is None


def test_a_pattern_with_very_many_choices_is_left_to_that_engine_for_all_but_short_texts() -> None:
    assert _java_regex._harmless_length("a?" * 500) < 1
    assert _java_regex._harmless_length("a*" * 500) < 500
    assert whole("a?" * 500)("a") is not None


@pytest.mark.parametrize("letters", ["a", "ab", ".", "\\."])
def test_a_long_pattern_without_choices_takes_no_long_time(letters):
    # The package needs 10 s for 3,000 letters that repeat, and its time-out does not end that
    pattern, text = letters * 4000, letters.replace("\\", "") * 4000
    record = {"pattern": pattern, "text": text, "other": text[:-1] + "#"}
    assert stellar.evaluate("REGEXP_MATCH(text, pattern)", record) is True
    assert stellar.evaluate("REGEXP_REPLACE(text, pattern, '-')", record) == "-"
    assert stellar.evaluate("REGEXP_MATCH(other, pattern)", record) is (letters == ".")


@pytest.mark.parametrize("quantifier", ["*", "+", "?", "{2}", "*?"])
def test_a_quantifier_after_many_letters_belongs_to_the_last_of_them(quantifier):
    for count in (99, 100, 101, 200):
        pattern = "x" * (count - 1) + "y" + quantifier
        record = {"pattern": pattern, "text": "x" * (count - 1) + "yy"}
        assert stellar.evaluate("REGEXP_MATCH(text, pattern)", record) is (quantifier != "?")
