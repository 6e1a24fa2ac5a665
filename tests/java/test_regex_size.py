"""Tests of the size of regular expressions: compiling one takes little time and memory, or is an error."""

from __future__ import annotations

import re

import pytest

from stellar.functions.grok import load_common_definitions
from stellar.java.grok import Grok
from stellar.java.regex import compile_matcher, compile_pattern, compile_replacer
from stellar.java.regex_size import MOST_CHARACTERS, MOST_ITEMS, MOST_LEVELS, TooLarge, check_size

REPEATS = f"it repeats more than {MOST_ITEMS:,} items"
GROUPS = f"more than {MOST_LEVELS} levels of groups"
TOO_LARGE = {
    "(a{1000}){1000}": REPEATS,
    "((a{100}){100}){100}": REPEATS,
    "a{1000000}": REPEATS,
    "(?:ab){2147483647}": REPEATS,
    "[ab]{60000}": REPEATS,
    "\\p{Alpha}{60000,}": REPEATS,
    "(?:" * 20 + "a" + ")+" * 20: REPEATS,
    "(" * 12 + "a" + "){2,3}" * 12: REPEATS,
    "(?:(?:(?:a?){100}){100}){100}": REPEATS,
    "(" * 101 + "a" + ")" * 101: GROUPS,
    "(?=a" * 101 + ")" * 101: GROUPS,
    "[a" * 101 + "]" * 101: f"more than {MOST_LEVELS} levels of classes",
    "a" * (MOST_CHARACTERS + 1): f"more than {MOST_CHARACTERS:,} characters",
}


@pytest.mark.parametrize("compile_one", [compile_pattern, compile_matcher, compile_replacer])
@pytest.mark.parametrize("expression", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_an_expression_that_is_too_large_is_rejected(expression, compile_one):
    with pytest.raises(ValueError, match=f"invalid regular expression .*: {re.escape(TOO_LARGE[expression])}"):
        compile_one(expression)


@pytest.mark.parametrize(
    ("expression", "string"),
    [
        ("(a{200}){200}", "a" * 40_000),
        ("(?:a{0,1000}){0,1000}b", "aab"),
        ("a{0,2000000000}", "aa"),
        ("(" * 99 + "a" + ")" * 99, "a"),
        ("(?:" * 60 + "a" + ")?" * 60, "a"),
        ("(?:(?:a*+)++)*+", "aa"),
        ("(?:a{2}+b??)+?", "aaaa"),
        ("[a-c&&[^b]]{3}", "aca"),
        ("(?i)(?-i:a)B|c", "ab"),
        ("\\Q{9999999}\\E", "{9999999}"),
        ("[{]9999999}", "{9999999}"),
        ("(?<=a{2})b|aab", "aab"),
        ("[\\]]\\)\\(", "])("),
    ],
    ids=range(13),
)
def test_other_expressions_match(expression, string):
    assert compile_matcher(expression)(string) is not None
    assert compile_pattern(expression).fullmatch(string) is not None


def test_an_unclosed_class_is_measured_to_the_end():
    check_size("[" + "a" * 100)
    with pytest.raises(TooLarge):
        check_size("a{50001}[" + "a" * 100)


def test_the_common_grok_patterns_are_within_the_limits():
    definitions = load_common_definitions()
    assert all(Grok(f"%{{{name}}}", definitions).pattern for name in definitions)
