"""IP addresses and subnets, of IPv4 and IPv6."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from stellar.util.abbreviate import quote
from stellar.util.memoize import memoize

_IPV4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_SUBNET = re.compile(r"([^/%]+)/(\d{1,3})", re.ASCII)
_BITS = {4: range(1, 33), 6: range(129)}


class Subnet(NamedTuple):
    """The hosts of a subnet.

    family: 4 or 6
    first, last: the first and the last address; both are 0 in an IPv4 subnet without hosts
    """

    family: int
    first: int
    last: int


@memoize
def parse_address(ip: str) -> dict[int, int] | None:
    """Return the number of an address by family, or None if it is invalid.

    An IPv6 address that contains an IPv4 address, such as `::ffff:10.0.0.1`, has both.
    """
    if match := _IPV4.fullmatch(ip):
        octets = [int(octet) for octet in match.groups()]
        return {4: int.from_bytes(octets)} if max(octets) < 256 else None
    try:
        address = IPv6Address(ip)
    except AddressValueError:
        return None
    numbers = {6: int(address)}
    if address.ipv4_mapped is not None:
        numbers[4] = int(address.ipv4_mapped)
    return numbers


@memoize
def require_address(ip: str) -> dict[int, int]:
    """Return the numbers of an address as `parse_address` does. Raises ValueError for an invalid one."""
    numbers = parse_address(ip)
    if numbers is None:
        raise ValueError(f"invalid IP address {quote(ip)}: expected an address such as '10.1.2.3' or '2001:db8::1'")
    return numbers


@memoize
def parse_subnet(cidr: str) -> Subnet:
    """Return the subnet of a string such as `10.0.0.0/8`. Raises ValueError for an invalid one."""
    match = _SUBNET.fullmatch(cidr)
    numbers = parse_address(match[1]) if match else None
    if match is None or numbers is None or int(match[2]) not in _BITS[family := max(numbers)]:
        raise ValueError(f"invalid subnet {quote(cidr)}: expected a form such as '10.0.0.0/8' or '2001:db8::/32'")
    size = 1 << ((32 if family == 4 else 128) - int(match[2]))
    network = numbers[family] & -size
    if family == 6:
        return Subnet(family, network, network + size - 1)
    # In a subnet without hosts, Metron finds the address 0.0.0.0
    return Subnet(family, network + 1, network + size - 2) if size > 2 else Subnet(family, 0, 0)
