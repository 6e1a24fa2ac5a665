"""Which hosts may be sent requests: what is written in a registry may come from anybody who can write there.

A host is compared in the form in which the resolver takes it: lowercase, in ASCII, without the dot at its end. What it
would take for an IPv4 address in an unusual notation (`2130706433`, `0x7f.1`, `127.1`) is never allowed by a list, for
systems do not agree on what these mean.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, Self
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "https": 443}
EXPECTED = "expected a host, host:port, *.suffix, an IPv6 address in brackets, a network such as 10.0.0.0/8, or *"
_ENTRY = re.compile(r"(\*\.)?(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# IDNA 2003 and 2008 encode these differently, so libraries do not agree on which host is meant
_AMBIGUOUS = frozenset("ßς\u200c\u200d")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class Rule(Protocol):
    """An entry of the list."""

    def matches(self, host: str | Address, port: int | None) -> bool:
        """Return whether a host, a name or an address, may be sent requests at a port."""


@dataclass(frozen=True, slots=True)
class _Anything:
    """`*`"""

    def matches(self, host: str | Address, port: int | None) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Name:
    """A name, or with a dot at its beginning all names that end so; port None for any."""

    name: str
    port: int | None = None

    def matches(self, host: str | Address, port: int | None) -> bool:
        if not isinstance(host, str) or self.port not in (None, port):
            return False
        return host.endswith(self.name) if self.name.startswith(".") else host == self.name


@dataclass(frozen=True, slots=True)
class _Addresses:
    """The addresses of a network. Names are not looked up, since what they resolve to may change."""

    network: Network
    port: int | None = None

    def matches(self, host: str | Address, port: int | None) -> bool:
        return not isinstance(host, str) and self.port in (None, port) and host in self.network


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that may be sent requests; all of them if there are no rules."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Return the rules of a list of entries.

        entries: `host`, `host:8080`, `*.suffix` for the hosts within a domain, `*.suffix:8080`, `[::1]`, `[::1]:8080`,
            networks such as `10.0.0.0/8`, or `*` for all hosts. Without a port all ports are allowed.

        Raises ValueError for an invalid entry.
        """
        return cls(tuple(_rule(entry) for entry in entries))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def allow(self, host: str, port: int | None = None) -> bool:
        """Return whether a host may be sent requests at a port. Without a port, no entry with one matches."""
        if not self or _Anything() in self.rules:
            return True
        found = _normalize(host)
        return found is not None and any(rule.matches(found, port) for rule in self.rules)


def _normalize(host: str) -> str | Address | None:
    """Return the address or the name that a host means; None if that is not certain."""
    try:
        if ":" in host:
            return _plain(ipaddress.IPv6Address(host)) if "%" not in host else None
        name = _to_ascii(host)
        if is_numeric(name):
            return ipaddress.IPv4Address(name)
    except ValueError:
        return None
    name = name.removesuffix(".")
    return name if _NAME.fullmatch(name) else None


def _to_ascii(host: str) -> str:
    """Return a host as the resolver encodes it. Raises ValueError for what can't be encoded, or only ambiguously."""
    if host.isascii():
        return host.lower()
    if _AMBIGUOUS & set(host):
        raise ValueError("ambiguous characters")
    return host.encode("idna").decode("ascii").lower()


def is_numeric(name: str) -> bool:
    """Return whether a lowercase host ends in a number, so that the resolver may take it for an IPv4 address."""
    return _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]) is not None


def _plain(address: Address) -> Address:
    """Return the IPv4 address of one such as ::ffff:10.0.0.1."""
    return getattr(address, "ipv4_mapped", None) or address


# --- entries


def _rule(entry: str) -> Rule:
    if entry == "*":
        return _Anything()
    if "://" in entry:
        raise _invalid(entry, "it is a URL; write its host alone")
    if "/" in entry:
        return _Addresses(_network(entry))
    if (found := _ENTRY.fullmatch(entry)) is None:
        raise _invalid(entry, _bare_ipv6_hint(entry))
    star, host, port = found.groups()
    number = None if port is None else _port(entry, port)
    if star is not None:
        return _Name("." + _name(entry, host), number)
    if (address := _address(entry, host)) is not None:
        return _Addresses(ipaddress.ip_network(address), number)
    return _Name(_name(entry, host), number)


def _invalid(entry: str, problem: str = "") -> ValueError:
    return ValueError(f"invalid entry {entry!r}: {problem + '; ' if problem else ''}{EXPECTED}")


def _bare_ipv6_hint(entry: str) -> str:
    try:
        return f"write [{ipaddress.IPv6Address(entry)}]"
    except ValueError:
        return ""


def _port(entry: str, text: str) -> int:
    if _bare_ipv6_hint(entry):
        raise _invalid(entry, _bare_ipv6_hint(entry))
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65_536:
        raise _invalid(entry, f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def _network(entry: str) -> Network:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise _invalid(entry, str(error)) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        plain = ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        raise _invalid(entry, f"an IPv4 address in IPv6 is compared as IPv4; write {plain}")
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        raise _invalid(entry, f"bits after the prefix are set; the network is {network}") from None


def _address(entry: str, host: str) -> Address | None:
    """Return the address that the host of an entry is; None for a name."""
    try:
        if host.startswith("["):
            return _plain(ipaddress.IPv6Address(host[1:-1]))
        return ipaddress.IPv4Address(host) if is_numeric(host.lower()) else None
    except ValueError:
        raise _invalid(entry, _ipv4_hint(host)) from None


def _ipv4_hint(host: str) -> str:
    try:
        return f"write {socket.inet_ntoa(socket.inet_aton(host))}"
    except OSError:
        return f"{host} is not an IP address"


def _name(entry: str, host: str) -> str:
    if not host.isascii():
        raise _invalid(entry, _ascii_hint(host))
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise _invalid(entry)
    if is_numeric(name):
        raise _invalid(entry, f"{host} is not the end of a host name")
    return name


def _ascii_hint(host: str) -> str:
    try:
        return f"write it in ASCII: {_to_ascii(host)}"
    except ValueError:
        return "write it in ASCII"


# --- URLs


@lru_cache(4096)
def trouble_with(url: str, allowed: AllowedHosts) -> str | None:
    """Return why no request may be sent to a URL; None if it may."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"{url!r} is no address: {error}"
    if parts.scheme not in PORTS or not host:
        return f"{url!r} is not an http or https address"
    if port == 0:
        return f"{url!r} has the port 0; expected one from 1 to 65535"
    if not url.isprintable() or set(url) & set(" \\"):
        return f"{url!r} has whitespace, backslashes or control characters in it"
    if "@" in parts.netloc:
        return f"{parts.scheme}://…@{host} has a user's name in it"
    if not allowed.allow(host, port or PORTS[parts.scheme]):
        return f"{url!r} is not at a host of maas.hosts.allowed"
    return None
