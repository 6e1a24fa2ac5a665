"""Orders of versions, which define the newest version of a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

VersionOrder = Callable[[str], Any]

# Suffixes that come before the bare version number, earliest first
_PRE_RELEASES = ("dev", "snapshot", "alpha", "a", "beta", "b", "milestone", "m", "preview", "pre", "cr", "rc")
_PRE_RELEASE, _END, _WORD, _NUMBER = range(4)


def natural_order(version: str) -> tuple[object, ...]:
    """Return a sort key for versions, with numbers by value and pre-releases first.

    1.0-rc1 < 1.0 < 1.0-patch < 1.0.1 < 9.0 < 10.0
    """
    words = re.findall(r"[0-9]+|[a-z]+", re.sub(r"^v(?=[0-9])", "", version.lower()))
    return ([*map(_rank, words), (_END, 0, "")], version)


def _rank(word: str) -> tuple[int, int, str]:
    if word.isdecimal():
        digits = word.lstrip("0")
        return _NUMBER, len(digits), digits
    if word in _PRE_RELEASES:
        return _PRE_RELEASE, _PRE_RELEASES.index(word), ""
    return _WORD, 0, word


VERSION_ORDERS: dict[str, VersionOrder] = {"natural": natural_order, "lexical": lambda version: version}
