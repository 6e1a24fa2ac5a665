"""The public suffix list, read when it is first asked; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


def public_suffix(domain: str) -> str | None:
    """The public suffix of a domain in small letters; None if its last label is not known."""
    suffix: str | None = _list().publicsuffix(domain)
    return suffix


@cache
def _list() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # it reads a list of ten thousand lines

    return PublicSuffixList(accept_unknown=False, accept_encoded_idn=False)
