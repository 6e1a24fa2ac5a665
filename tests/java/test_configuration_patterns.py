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
    assert bool(search(compile_grok(pattern)[0], string)) is is_found


def test_a_group_of_a_grok_pattern_may_be_repeated_and_have_an_underscore():
    pattern, numbers = compile_grok("(x)(?<a_b>y)|(?<a_b>z)")
    assert numbers == {"a_b": 1}
    assert search(pattern, "xy").groups() == ("y",)
    with pytest.raises(InvalidPattern, match="unknown kind of group at character 1"):
        compile_pattern("(?<a_b>x)")
    with pytest.raises(InvalidPattern, match="duplicate group name a"):
        compile_pattern("(?<a>x)|(?<a>y)")


def test_all_groups_of_a_grok_pattern_capture_if_there_are_back_references():
    pattern, numbers = compile_grok(r"(x)(?<unread>y)(?<a>z)\1\k<a>", {"unread"})
    assert numbers == {"unread": 2, "a": 3}
    assert search(pattern, "xyzxz").groups() == ("x", "y", "z")
    with pytest.raises(InvalidPattern, match="unknown group b in a back reference at character 8"):
        compile_grok(r"(?<a>x)\k<b>")
