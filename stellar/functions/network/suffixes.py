"""The public suffix list, loaded on first use from an installed package; nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

# For more top-level domains than this, the whole list is parsed, which takes as long as finding their rules
FEW_DOMAINS = 16

_lists: dict[str, PublicSuffixList] = {}


def public_suffix(domain: str) -> str | None:
    """Return the public suffix of a domain in lowercase, or None if its last label is unknown."""
    suffix: str | None = _find_list(domain.rpartition(".")[2].lower()).publicsuffix(domain)
    return suffix


def _find_list(top_level_domain: str) -> PublicSuffixList:
    """Return a list with all rules for a top-level domain.

    A rule matches only domains with its last label. The whole list has ten thousand rules, and most programs meet few
    top-level domains, or only a few when they start.
    """
    found = _lists.get(top_level_domain)
    if found is None:
        if not top_level_domain or len(_lists) >= FEW_DOMAINS:
            return _load_list()
        found = _lists[top_level_domain] = _parse("\n".join(_find_rules(top_level_domain)))
    return found


def _find_rules(top_level_domain: str) -> Iterator[str]:
    """Yield the rules for a top-level domain, and maybe those for others that end likewise."""
    content = _read_list()
    for match in re.finditer(re.escape(top_level_domain) + r"(?=\s)", content):
        rule = content[content.rfind("\n", 0, match.start()) + 1 : match.end()]
        if " " not in rule:  # a rule ends at a space
            yield rule


@cache
def _read_list() -> str:
    import publicsuffixlist

    with open(publicsuffixlist.PSLFILE, encoding="utf-8") as file:
        return f"{file.read().lower()}\n"


@cache
def _load_list() -> PublicSuffixList:
    return _parse(None)


def _parse(rules: str | None) -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # it is large, and few programs need it

    return PublicSuffixList(rules, accept_unknown=False, accept_encoded_idn=False)
