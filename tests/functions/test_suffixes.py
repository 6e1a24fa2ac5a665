"""Public suffixes: found in the rules of one top-level domain as in the whole list."""

from __future__ import annotations

from pathlib import Path

import publicsuffixlist
import pytest

from stellar.functions.network import suffixes
from stellar.functions.network.suffixes import FEW_DOMAINS, public_suffix


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suffixes, "_lists", {})


def list_domains() -> list[str]:
    """Return domains around each rule of the list, and others."""
    lines = Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = [line.split()[0].lower() for line in lines if line.strip() and not line.startswith("//")]
    names = [rule.removeprefix("!").replace("*", "any") for rule in rules]
    odd = ["", ".", "com", "com.", "a.com.", "a..com", "unknown", "a.unknown", "co", "a.xn--p1ai", "рф", "1.2.3.4", "m"]
    return [*names, *(f"a.{name}" for name in names), *(f"b.a.{name}" for name in names), *odd]


def test_the_rules_of_a_top_level_domain_are_enough() -> None:
    whole = publicsuffixlist.PublicSuffixList(accept_unknown=False, accept_encoded_idn=False)
    most_frequent = ("com", "uk", "jp", "ck", "no", "m", "рф", "unknown")
    checked = [domain for domain in list_domains() if domain.rpartition(".")[2] in (*most_frequent, "")]
    assert len(checked) > 5000
    assert {domain: public_suffix(domain) for domain in checked} == {
        domain: whole.publicsuffix(domain) for domain in checked
    }
    assert len(suffixes._lists) == len(most_frequent)


def test_the_whole_list_is_used_for_many_top_level_domains() -> None:
    names = ["com", "net", "org", "uk", "de", "fr", "jp", "it", "es", "pl", "ru", "cn", "br", "in", "au", "nz", "ca"]
    domains = [f"example.{name}" for name in names]
    assert len(domains) > FEW_DOMAINS
    assert [public_suffix(domain) for domain in domains] == [domain.partition(".")[2] for domain in domains]
    assert len(suffixes._lists) == FEW_DOMAINS


def test_the_case_of_a_domain_does_not_matter() -> None:
    assert public_suffix("WWW.Example.CO.UK") == "co.uk"
