"""The allow-list of hosts, for URLs from registries and records, which others can write.

A host is compared in the form that the resolver uses: lowercase, in ASCII, without a trailing dot. IPv4 addresses in an
unusual notation (`2130706433`, `0x7f.1`, `127.1`) never match an entry, because systems interpret them differently.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import urlsplit

from stellar.util.abbreviate import quote
from stellar.util.memoize import memoize_for

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "https": 443}
EXPECTED = "expected a host, host:port, *.suffix, an IPv6 address in brackets, a network such as 10.0.0.0/8, or *"
_ENTRY = re.compile(r"(\*\.)?(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# IDNA 2003 and 2008 encode these differently, so libraries disagree about the host
_AMBIGUOUS = frozenset("ßς\u200c\u200d")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class HostRule(Protocol):
    """An entry of the allow-list."""

    def matches(self, host: str | Address, port: int | None) -> bool:
        """Return True if the entry contains a host (a name or an address) and port; port None for an unknown port."""


@dataclass(frozen=True, slots=True)
class _AnyHost:
    """`*`"""

    def matches(self, host: str | Address, port: int | None) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _NameRule:
    """A host name, or with a leading dot all names with that suffix; port None for any port."""

    name: str
    port: int | None = None

    def matches(self, host: str | Address, port: int | None) -> bool:
        if not isinstance(host, str) or self.port not in (None, port):
            return False
        return host.endswith(self.name) if self.name.startswith(".") else host == self.name


@dataclass(frozen=True, slots=True)
class _NetworkRule:
    """The addresses of a network; port None for any port. Names are not looked up, as their addresses can change."""

    network: Network
    port: int | None = None

    def matches(self, host: str | Address, port: int | None) -> bool:
        return not isinstance(host, str) and self.port in (None, port) and host in self.network


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts to which requests may be sent; without rules, all hosts."""

    rules: tuple[HostRule, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Parse an allow-list.

        entries: `host`, `host:8080`, `*.suffix` for the hosts within a domain, `*.suffix:8080`, `[::1]`, `[::1]:8080`,
            networks such as `10.0.0.0/8`, or `*` for all hosts. An entry without a port allows all ports.

        Raises ValueError for an invalid entry.
        """
        return cls(tuple(_parse_entry(entry) for entry in entries))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def allow(self, host: str, port: int | None = None) -> bool:
        """Return True if requests may be sent to a host and port. Without a port, no entry with a port matches."""
        if not self or _AnyHost() in self.rules:
            return True
        found = _normalize(host)
        return found is not None and any(rule.matches(found, port) for rule in self.rules)


def _normalize(host: str) -> str | Address | None:
    """Return the address or the normalized name of a host; None if it is invalid or ambiguous."""
    try:
        if ":" in host:
            return _unmap_ipv4(ipaddress.IPv6Address(host)) if "%" not in host else None
        name = _to_ascii(host)
        if is_numeric(name):
            return ipaddress.IPv4Address(name)
    except ValueError:
        return None
    name = name.removesuffix(".")
    return name if _NAME.fullmatch(name) else None


def _to_ascii(host: str) -> str:
    """Return a host in the encoding of the resolver. Raises ValueError if that is impossible or ambiguous."""
    if host.isascii():
        return host.lower()
    if _AMBIGUOUS & set(host):
        raise ValueError("ambiguous characters")
    return host.encode("idna").decode("ascii").lower()


def is_numeric(name: str) -> bool:
    """Return True if a lowercase host ends in a number, so that the resolver may read it as an IPv4 address."""
    return _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]) is not None


def _unmap_ipv4(address: Address) -> Address:
    """Return the IPv4 address of an IPv4-mapped one such as ::ffff:10.0.0.1; others unchanged."""
    return getattr(address, "ipv4_mapped", None) or address


# --- entries


def _parse_entry(entry: str) -> HostRule:
    if entry == "*":
        return _AnyHost()
    if "://" in entry:
        raise _entry_error(entry, "it is a URL; write only its host")
    if "/" in entry:
        return _NetworkRule(_parse_network(entry))
    if (found := _ENTRY.fullmatch(entry)) is None:
        raise _entry_error(entry, _bare_ipv6_hint(entry))
    star, host, port = found.groups()
    number = None if port is None else _parse_port(entry, port)
    if star is not None:
        return _NameRule("." + _parse_name(entry, host), number)
    if (address := _parse_address(entry, host)) is not None:
        return _NetworkRule(ipaddress.ip_network(address), number)
    return _NameRule(_parse_name(entry, host), number)


def _entry_error(entry: str, problem: str = "") -> ValueError:
    return ValueError(f"invalid entry {quote(entry)}: {problem + '; ' if problem else ''}{EXPECTED}")


def _bare_ipv6_hint(entry: str) -> str:
    try:
        return f"write [{ipaddress.IPv6Address(entry)}]"
    except ValueError:
        return ""


def _parse_port(entry: str, text: str) -> int:
    if _bare_ipv6_hint(entry):
        raise _entry_error(entry, _bare_ipv6_hint(entry))
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65_536:
        raise _entry_error(entry, f"expected a port from 1 to 65535, got {quote(text)}")
    return int(text)


def _parse_network(entry: str) -> Network:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise _entry_error(entry, str(error)) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        plain = ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        raise _entry_error(entry, f"an IPv4 address in IPv6 is compared as IPv4; write {plain}")
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        raise _entry_error(entry, f"bits after the prefix are set; the network is {network}") from None


def _parse_address(entry: str, host: str) -> Address | None:
    """Return the address of an entry; None if its host is a name."""
    try:
        if host.startswith("["):
            return _unmap_ipv4(ipaddress.IPv6Address(host[1:-1]))
        return ipaddress.IPv4Address(host) if is_numeric(host.lower()) else None
    except ValueError:
        raise _entry_error(entry, _ipv4_hint(host)) from None


def _ipv4_hint(host: str) -> str:
    try:
        return f"write {socket.inet_ntoa(socket.inet_aton(host))}"
    except OSError:
        return f"{host} is not an IP address"


def _parse_name(entry: str, host: str) -> str:
    if not host.isascii():
        raise _entry_error(entry, _ascii_hint(host))
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise _entry_error(entry)
    if is_numeric(name):
        raise _entry_error(entry, f"a host name can't end in a number, as in {host}")
    return name


def _ascii_hint(host: str) -> str:
    try:
        return f"write it in ASCII: {_to_ascii(host)}"
    except ValueError:
        return "write it in ASCII"


# --- URLs


@memoize_for(4096)
def find_url_problem(url: str, allowed: AllowedHosts) -> str | None:
    """Return the reason for which no request may be sent to a URL; None if it is allowed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"{quote(url)} is not a valid URL: {error}"
    if parts.scheme not in PORTS or not host:
        return f"{quote(url)} is not an http or https URL with a host"
    if port == 0:
        return f"{quote(url)} has an invalid port: expected 1 to 65535, got 0"
    if not url.isprintable() or set(url) & set(" \\"):
        return f"{quote(url)} contains whitespace, backslashes or control characters"
    if "@" in parts.netloc:
        return f"{parts.scheme}://…@{host} contains a user name"
    if not allowed.allow(host, port or PORTS[parts.scheme]):
        return f"{quote(url)} is not allowed by maas.hosts.allowed"
    return None
