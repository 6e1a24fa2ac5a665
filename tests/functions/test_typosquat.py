"""The typosquats of a domain, by strategy."""

from __future__ import annotations

import pytest

from stellar.functions.network import domain_typosquat
from stellar.functions.network.typosquat import typosquats


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("example", "examples"),  # addition
        ("example", "mxample"),  # flipped bit
        ("example", "examp1e"),  # look-alike
        ("banana", "bànànà"),  # several occurrences
        ("cafe", "xn--caf-dma"),  # in Punycode
        ("example", "ex-ample"),
        ("example", "exzample"),  # inserted neighbor key
        ("example", "exmple"),
        ("example", "exxample"),
        ("example", "wxample"),  # replaced by a neighbor key
        ("example", "ex.ample"),
        ("example", "exmaple"),
        ("example", "exomple"),
    ],
)
def test_a_domain_has_this_typosquat(domain, name):
    assert name in typosquats(domain)


@pytest.mark.parametrize(
    "name",
    [
        "xn--examle-scf",  # Ϸ had no lowercase letter in Unicode 3.2
        "xn--s-ddi",  # nor had Ⴝ
        "xn--microoft-online-rk8c",
    ],
)
def test_punycode_uses_the_letters_of_unicode_3_2(name):
    names = [*typosquats("example"), *typosquats("ss"), *typosquats("microsoft-online")]
    assert name in names


def test_a_punycode_domain_is_decoded_first():
    assert "b-cher" not in typosquats("xn--bcher-kva")
    assert "dücher" in typosquats("xn--bcher-kva")


@pytest.mark.parametrize("domain", ["", "a", ".", "-", "a.b", "é", "xn--", "xn--99999", "a" * 63, "1" * 63])
def test_a_domain_is_not_its_own_typosquat(domain, bounded):
    with bounded():
        names = typosquats(domain)
    assert domain not in names
    assert {domain + letter for letter in "abcxyz"} <= names


def test_a_domain_longer_than_a_label_is_rejected():
    with pytest.raises(ValueError, match="63 characters"):
        domain_typosquat("a" * 64)
