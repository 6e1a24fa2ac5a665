"""Java's regular expressions for configurations."""

from __future__ import annotations

import pytest

from stellar.java.regex import InvalidPattern, compile_grok, compile_pattern, search

JAVA_SYNTAX = [
    (r"a\h+b", "a \tb", True),
    (r"[a-z&&[^x]]+", "xx", False),
    (r"\Qa.b\E", "a.b", True),
    (r"\Qa.b\E", "acb", False),
    (r"\w+", "é", False),
    (r"a.b", "a\u0085b", False),
    (r"a$", "a\r\n", True),
    (r"\p{Alpha}+", "é", False),
    (r"\R", "\r\n", True),
    (r"(?i)É", "é", False),
]


@pytest.mark.parametrize(("pattern", "string", "is_found"), JAVA_SYNTAX)
def test_patterns_of_configurations_are_java_regular_expressions(pattern, string, is_found):
    assert bool(search(compile_pattern(pattern), string)) is is_found
    assert bool(search(compile_grok(pattern), string)) is is_found


def test_a_group_of_a_grok_pattern_may_be_repeated_and_have_an_underscore():
    match = search(compile_grok("(?<a_b>x)|(?<a_b>y)"), "y")
    assert match.groupdict() == {"a_b": "y"}
    with pytest.raises(InvalidPattern, match="unknown kind of group at character 1"):
        compile_pattern("(?<a_b>x)")
    with pytest.raises(InvalidPattern, match="duplicate group name a"):
        compile_pattern("(?<a>x)|(?<a>y)")
