"""The order of Java's HashMap, on which some results of Metron depend."""

from __future__ import annotations

from collections.abc import Iterable

_CAPACITY = 16
_LOAD_FACTOR = 0.75


def sort_in_hash_order(names: Iterable[str]) -> list[str]:
    """Return different strings in the order in which a Java HashMap iterates over them.

    The order within a bucket is that of the strings given, as long as a bucket has few of them.
    """
    distinct = list(dict.fromkeys(names))
    capacity = _CAPACITY
    while len(distinct) > capacity * _LOAD_FACTOR:
        capacity *= 2
    return sorted(distinct, key=lambda name: _spread(hash_string(name)) % capacity)


def hash_string(text: str) -> int:
    """Return Java's `hashCode` of a string, as an unsigned number of 32 bits."""
    code = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(units), 2):
        code = (31 * code + units[index] * 256 + units[index + 1]) % 2**32
    return code


def _spread(code: int) -> int:
    return code ^ (code >> 16)
