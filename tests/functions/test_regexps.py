"""Regular expressions have Java's syntax and semantics."""

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
from stellar.java.regex import compile_matcher, compile_pattern, compile_replacer, replace_in_time

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
    ("[[:alpha:]]", "b", False),
    ("[[:alpha:]]", ":", True),
    ("{2}a{1}{3}", "a", True),
    (r"(?x)a{2 }", "aa", True),
    ("(?i-:A)(?-)(?c)b", "ab", True),
    (r"\p{Script=Greek}\p{sc=grek}\p{InGreek}\p{block=Greek and Coptic}", "λλλλ", True),
    (r"\p{general_category=Lu}\p{gc=Ll}\p{LC}\p{L1}\p{all}", "AaAé\u20ac", True),
    (r"\p{javaMirrored}\p{javaWhitespace}\p{IsHex_Digit}", "(\x1cf", True),
    (r"\p{javaWhitespace}", "\xa0", False),
    (r"(?U)\p{Alpha}\p{lower}", "éé", True),
    (r"(?i)\p{Lower}\p{Lu}", "Aa", True),
    (r"\N{GREEK SMALL LETTER LAMDA}", "λ", True),
    (r"\uD83D\uDE00", "\U0001f600", True),
    (r"[\Qa\E-\Qc\E]", "b", True),
    (r"(a)\1\Q0\E", "aa0", True),
    ("[a&&&b]", "b", True),
    ("[a-f&&d-z&&e]", "e", True),
    ("(?iu)ß", "ss", False),
    ("(?iu)ß", "\u1e9e", False),
    ("(?iu)\u1e9e", "ß", True),
    ("(?iu)i", "İ", True),
    ("(?iu)[i]", "ı", True),
    ("(?iu)ﬅ", "ﬆ", False),
    (r"(?iu)\w", "ſ", False),
    (r"(?i)\bk[a-c]\b", "KB", True),
    (r"(?i)\bk\b", "\u212a", False),
    (r"(?i)\b[^a-c]\b", "B", False),
    (r"\B", "", True),
    ("(?m)^", "", False),
    (r"\bcafé\b", "café", True),
    (r"\R\n", "\r\n", True),
    (r"(\R)\s", "\r\n", True),
    (r"\R{1}\n", "\r\n", False),
    (r"\R++\n", "\r\n", False),
    ("(?i)ſ", "ſ", True),
    ("(?i)ſ", "s", False),
    ("(?i)[\u017f-\u0180]K", "ſk", True),
    ("(?i)\u212a", "k", False),
    ("(?i)[\u212a]", "\u212a", True),
    ("a(?<=é?(?m)^*+ ?a)", "a", True),
]


@pytest.mark.parametrize(("pattern", "string", "matches"), MATCHES)
def test_a_pattern_matches_like_in_java(pattern, string, matches):
    assert regexp_match(string, pattern) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "[", "[]", "a{", "a{,3}", "a{e<=1}", "*a", r"\y", "\\", r"\k", "(?P<n>a)", "(?#c)"),
        *("(*FAIL)", "(*PRUNE)a", "(?|(a)|(b))", "a|*b", "a**", "a+?+", "(?i)*", "{2}*", r"\b{g}", r"\N{NO SUCH NAME}"),
        *(r"\p{Greek}", r"\p{Alphabetic}", r"\p{ascii}", r"\p{IsEmoji}", r"\p{Is_Latin}", r"\p{ L}", r"\p{IsQaai}"),
        *(r"\k<a>(?<a>a)", r"(?<=(?:ab)+)c", r"(?<=(a)\1)b", r"(?<=\R+)b", r"(?<=\X)a", "a{2,1}", "[&&]"),
        *(r"\p{Nonsense}", r"\x{110000}", "[b-a]", r"\u12", "(?<1>a)", "(?<n>a)(?<n>b)", "(" * 3000 + ")" * 3000),
    ],
)
def test_an_invalid_java_pattern_is_rejected(pattern):
    with pytest.raises(ValueError, match="regular expression"):
        compile_pattern(pattern)


def test_a_match_is_limited_in_time():
    with pytest.raises(ValueError, match="more than 1 s"):
        regexp_match("a" * 40, "(a|aa)+b")


@pytest.mark.parametrize(
    ("string", "pattern", "value", "result"),
    [
        ("abc", "x*", "-", "-a-b-c-"),
        ("aa", "a??", "-", "-a-a-"),
        ("aé", "a*?", "-", "-a-é-"),
        ("ab", "|a", "-", "-a-b-"),
        ("baac", "a*", "-", "-b--c-"),
        ("ab", r"\G", "-", "-ab"),
        ("aab", r"\Ga", "-", "--b"),
        ("a1b22", r"(?<n>\d)(\d)?", "<${n}$2>", "a<1>b<22>"),
        ("abcdefghijk", "(a)(b)", "$2$11", "baa1cdefghijk".replace("aa1", "a1")),
        ("a.b", r"\.", r"\\\$", r"a\$b"),
        ("one\ntwo", "(?m)^", "> ", "> one\n> two"),
        ("aaa", "b", "$9", "aaa"),
    ],
)
def test_a_replacement_is_parsed_like_in_java(string, pattern, value, result):
    assert regexp_replace(string, pattern, value) == result


@pytest.mark.parametrize("value", ["$", "$x", "${", "${n", "${x}", "$9", "a\\"])
def test_an_invalid_java_replacement_is_rejected(value):
    with pytest.raises((ValueError, LookupError), match=re.compile("replacement|group")):
        regexp_replace("a", "(?<n>a)", value)


def test_a_group_without_a_capture_is_null():
    assert regexp_group_val("b", "(a)?b", 1) is None


ATOMS = [
    *("a", "b", ".", r"\d", r"\w", r"\W", r"\S", "[ab]", "[^a]", r"[\w.-]", r"[\D]", "(a|b)", "(?:ab|a)", "(.*)"),
    *("$", "^", r"\b", r"\R", r"\.", "(?i)", "(?m)", "(?s)", "(?i:A)", r"\Qa.\E", "[a&&[ab]]", "(?=a)", "|", r"\1"),
    r"\p{Alpha}",
    *("(?<n>b)", "(a*)"),
]
REPEATS = ["", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "{2}", "{1,2}"]
PATTERNS = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(REPEATS)).map("".join), max_size=7).map("".join)
STRINGS = st.text("abAB1. -\n\r\té", max_size=12)


@settings(deadline=None)
@given(PATTERNS, STRINGS)
def test_the_fast_path_matches_like_the_general_one(pattern: str, string: str) -> None:
    exact = _compile_or_none(pattern)
    assume(exact is not None)
    expected, match = exact.fullmatch(string), compile_matcher(pattern)(string)
    assert (match and (match[0], match.groups())) == (expected and (expected[0], expected.groups()))
    for replacement in (_bracket, "#"):
        assert compile_replacer(pattern)(replacement, string) == replace_in_time(pattern, replacement, string)


def _bracket(match: Any) -> str:
    return f"<{match[0]}>"


def _compile_or_none(pattern: str) -> Any:
    return _outcome(compile_pattern, pattern)


def _outcome(compile_pattern: Callable[[str], Any], pattern: str) -> Any:
    try:
        return compile_pattern(pattern)
    except ValueError:
        return None


@settings(deadline=None)
@given(PATTERNS, st.sampled_from(["(", ")", "[b-a]", "(?#c)", r"\y", "{", "?+", "(?<n>a)"]))
def test_the_fast_path_rejects_the_same_patterns(pattern: str, end: str) -> None:
    invalid = _compile_or_none(pattern + end) is None
    for compile_fast in (compile_matcher, compile_replacer):
        assert (_outcome(compile_fast, pattern + end) is None) is invalid


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
def test_the_fast_path_is_used_only_for_short_run_times(pattern: str) -> None:
    plain = _java_regex._compile_bounded(pattern)
    for anywhere, search in ((False, plain.fullmatch), (True, plain.search)):
        text = "a" * min(100_000, _java_regex._harmless_length(pattern, anywhere=anywhere))
        begin = time.process_time()
        search(text)
        assert time.process_time() - begin < 0.9


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)+b", r"(a*)\Q\E*b", "(?x)(a*) *b", r"(a*)\1*b", "(a+){2,}b", "(a|b)?+"]
)
def test_exponential_patterns_use_the_engine_with_a_time_limit(pattern: str) -> None:
    assert _java_regex._compile_bounded(pattern) is None


def test_highly_ambiguous_patterns_use_that_engine_except_for_short_strings() -> None:
    assert _java_regex._harmless_length("a?" * 500) < 1
    assert _java_regex._harmless_length("a*" * 500) < 500
    assert compile_matcher("a?" * 500)("a") is not None


@pytest.mark.parametrize("letters", ["a", "ab", ".", "\\."])
def test_a_long_literal_pattern_is_fast(letters):
    # The regex package takes 10 s for 3,000 repeated letters, and its time-out does not interrupt that
    pattern, text = letters * 4000, letters.replace("\\", "") * 4000
    record = {"pattern": pattern, "text": text, "other": text[:-1] + "#"}
    assert stellar.evaluate("REGEXP_MATCH(text, pattern)", record) is True
    assert stellar.evaluate("REGEXP_REPLACE(text, pattern, '-')", record) == "-"
    assert stellar.evaluate("REGEXP_MATCH(other, pattern)", record) is (letters == ".")


@pytest.mark.parametrize("quantifier", ["*", "+", "?", "{2}", "*?"])
def test_a_quantifier_after_many_letters_applies_to_the_last_one(quantifier):
    for count in (99, 100, 101, 200):
        pattern = "x" * (count - 1) + "y" + quantifier
        record = {"pattern": pattern, "text": "x" * (count - 1) + "yy"}
        assert stellar.evaluate("REGEXP_MATCH(text, pattern)", record) is (quantifier != "?")


@pytest.mark.parametrize(
    "compile_form",
    [
        _java_regex.compile_pattern,
        _java_regex.compile_matcher,
        _java_regex.compile_replacer,
        _java_regex.compile_for_groups,
        _java_regex.compile_grok,
        _java_regex.compile_quick_grok,
        _java_regex._can_be_empty,
    ],
)
def test_a_pattern_that_nests_too_deep_is_invalid_in_every_form(compile_form) -> None:
    with pytest.raises(_java_regex.InvalidPattern, match="it nests too deep"):
        compile_form("[" * 2000 + "a" + "]" * 2000)
