"""Networks and ranges of IP addresses and integers, and the index by which a store finds those that contain a value.

An interval is cut into aligned blocks: sets of values with the same leading bits. A network is one block, and a range
of IPv4 addresses at most 62. A value belongs to one block of each length. So a store indexes intervals by their blocks,
and finds those that contain a value by one exact key for each length that occurs. Unlike a search in the order of
addresses, this is as fast if intervals nest, overlap or are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from stellar.util.abbreviate import quote

_BITS = {4: 32, 6: 128, 0: 64}  # of IPv4 addresses, IPv6 addresses and integers
_OFFSET = 1 << 63  # added to integers, so that negative ones have leading bits, too
_INTEGERS = re.compile(r"\s*([+-]?[0-9]{1,19})\s*(?:-\s*([+-]?[0-9]{1,19})\s*)?", re.ASCII)


class Interval(NamedTuple):
    """The values from `first` to `last` of a family: 4 for IPv4 addresses, 6 for IPv6 addresses, 0 for integers."""

    family: int
    first: int
    last: int

    @property
    def width(self) -> int:
        """The number of values, less one."""
        return self.last - self.first

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the blocks of the interval, each with its length in bits."""
        bits, first, last = _BITS[self.family], self.first, self.last
        while first <= last:
            free = min((first & -first).bit_length() - 1 if first else bits, (last - first + 1).bit_length() - 1)
            yield bits - free, _encode(self.family, bits - free, first)
            first += 1 << free


def read_interval(text: str) -> Interval:
    """Return the interval that a string denotes: a network, a range, or a single value.

    Raises ValueError for other strings, and for a range whose end is before its start.
    """
    interval = _read_integers(text) or _read_addresses(text)
    if interval is None:
        raise ValueError(
            f"invalid interval {quote(text)}: expected a network such as 10.0.0.0/8, or a range such as "
            "10.0.0.5-10.0.0.9 or 6000-6063"
        )
    if interval.first > interval.last:
        raise ValueError(f"invalid interval {quote(text)}: the end is before the start")
    return interval


def _read_integers(text: str) -> Interval | None:
    if (match := _INTEGERS.fullmatch(text)) is None:
        return None
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if not all(-_OFFSET <= each < _OFFSET for each in (first, last)):
        return None
    return Interval(0, first + _OFFSET, last + _OFFSET)


def _read_addresses(text: str) -> Interval | None:
    try:
        if "/" in text:
            network = ip_network(text.strip(), strict=False)
            return Interval(network.version, int(network.network_address), int(network.broadcast_address))
        start, dash, end = text.partition("-")
        (family, first), (other, last) = _read_address(start), _read_address(end if dash else start)
    except ValueError:
        return None
    return Interval(family, first, last) if family == other else None


def _read_address(text: str) -> tuple[int, int]:
    """Return an address as a number, with its family; an IPv4 address mapped to IPv6 is an IPv4 address."""
    address: IPv4Address | IPv6Address = ip_address(text.strip())
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


def find_blocks(value: str, lengths: Iterable[tuple[int, int]]) -> list[bytes]:
    """Return the blocks that contain a value, one of each length; none if it is neither an address nor an integer.

    lengths: pairs of a family and a length in bits
    """
    point = _read_integers(value) or _read_addresses(value)
    if point is None or point.width:
        return []
    return [_encode(point.family, length, point.first) for family, length in lengths if family == point.family]


def _encode(family: int, length: int, value: int) -> bytes:
    """Return the block of a length that contains a value: family, length, and the value without its last bits."""
    bits = _BITS[family]
    return bytes((family, length)) + (value >> (bits - length) << (bits - length)).to_bytes(bits // 8, "big")
