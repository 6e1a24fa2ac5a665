"""The public suffix list, loaded on first use from an installed package; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


def public_suffix(domain: str) -> str | None:
    """Return the public suffix of a lowercase domain, or None if its last label is unknown."""
    suffix: str | None = _load_list().publicsuffix(domain)
    return suffix


@cache
def _load_list() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # it reads a list of ten thousand lines

    return PublicSuffixList(accept_unknown=False, accept_encoded_idn=False)
