"""Properties of the strings that groups of regular expressions can match."""

from __future__ import annotations

import random
import re

import pytest

from stellar.java.regex_traits import GroupTraits, find_traits

STARTS = "+-\"'"


@pytest.mark.parametrize(
    ("expression", "may_be_digits", "may_start_so"),
    [
        (r"(\d+)", True, False),
        (r"([+-]?\d+)", True, True),
        (r"(\w+)", True, False),
        (r"(\S+)", True, True),
        (r"([^ ]+)", True, True),
        (r"([a-z]+)", False, False),
        (r"([A-Za-z]+\d*)", False, False),
        (r"(\d+\.\d+)", False, False),
        (r"((?:\d+\.)?\d+)", True, False),
        (r"(\d+(?:\.\d+)?)", True, False),
        (r"(GET|POST|-)", False, True),
        (r"((?:GET|1)+)", True, False),
        (r"(\b\w+\b)", True, False),
        (r"((?<![0-9])\d++)", True, False),
        (r"((?>a|b))", False, False),
        (r"(\s*-x)", False, True),
        (r"(\s+-x)", False, False),
        (r"(a*)", True, False),
        (r"(?:x)(['\"]?\w)", True, True),
        (r"(.)", True, True),
        (r"(\W)", True, True),
        (r"([\d.]+)", True, False),
        (r"([%-/])", False, True),
    ],
)
def test_traits_of_a_group(expression: str, may_be_digits: bool, may_start_so: bool) -> None:
    assert find_traits(re.compile(expression, re.ASCII), STARTS)[1] == GroupTraits(may_be_digits, may_start_so)


def test_nested_groups_and_back_references_have_traits() -> None:
    traits = find_traits(re.compile(r"((\d+)-(\2))?(?=(x))", re.ASCII), STARTS)
    assert traits == {
        1: GroupTraits(may_be_digits=False, may_start_so=False),
        2: GroupTraits(may_be_digits=True, may_start_so=False),
        3: GroupTraits(may_be_digits=True, may_start_so=True),
    }


ATOMS = ("a", "1", r"\d", r"\w", ".", r"\S", "[^1]", "[a1-]", "-", "'", r"\s", "(?:a|1)", r"\b", "(?=1)", "(?!-)")


@pytest.mark.parametrize("seed", range(4))
def test_a_capture_has_no_property_that_its_group_cannot_have(seed: int) -> None:
    rnd = random.Random(seed)
    seen = set()
    for _ in range(1500):
        atoms = (rnd.choice(ATOMS) + rnd.choice(("", "", "*", "+", "?", "{2}", "+?")) for _ in range(rnd.randint(1, 4)))
        try:
            pattern = re.compile(f"({''.join(atoms)})", re.ASCII)
        except re.error:  # a repeated assertion
            continue
        traits = find_traits(pattern, STARTS)[1]
        for _ in range(20):
            text = "".join(rnd.choice("a1-' ") for _ in range(rnd.randint(1, 6)))
            for capture in pattern.findall(text):
                assert traits.may_be_digits or not capture.isdecimal(), (pattern, text)
                assert traits.may_start_so or capture[:1] not in (*STARTS,), (pattern, text)
                seen.add(traits)
    assert len(seen) == 4
