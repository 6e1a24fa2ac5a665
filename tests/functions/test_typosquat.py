"""The names that may be taken for another, one strategy after the other."""

from __future__ import annotations

import pytest

from stellar.functions.network import domain_typosquat
from stellar.functions.network.typosquat import typosquats


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("example", "examples"),  # addition
        ("example", "mxample"),  # a flipped bit
        ("example", "examp1e"),  # a look-alike
        ("banana", "bànànà"),  # in several places
        ("cafe", "xn--caf-dma"),  # in Punycode
        ("example", "ex-ample"),
        ("example", "exzample"),  # a key beside another
        ("example", "exmple"),
        ("example", "exxample"),
        ("example", "wxample"),  # a key in place of another
        ("example", "ex.ample"),
        ("example", "exmaple"),
        ("example", "exomple"),
    ],
)
def test_a_name_is_among_those_of_a_domain(domain, name):
    assert name in typosquats(domain)


def test_a_name_in_punycode_is_read_first():
    assert "b-cher" not in typosquats("xn--bcher-kva")
    assert "dücher" in typosquats("xn--bcher-kva")


@pytest.mark.parametrize("domain", ["", "a", ".", "-", "a.b", "é", "xn--", "xn--99999", "a" * 63, "1" * 63])
def test_any_name_has_names_other_than_itself(domain, bounded):
    with bounded():
        names = typosquats(domain)
    assert domain not in names
    assert {domain + letter for letter in "abcxyz"} <= names


def test_a_name_longer_than_a_label_is_refused():
    with pytest.raises(ValueError, match="63 characters"):
        domain_typosquat("a" * 64)
