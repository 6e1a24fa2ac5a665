"""Which addresses are asked: what is written in a registry may come from anybody who can write there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that may be asked; all of them if none is named.

    names: exact names, and addresses
    suffixes: ends of names, such as `.models.example.org`
    networks: of these, hosts that are written as addresses; names are not looked up, for what they mean may change
    """

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """From names, `*.suffix` and networks such as `10.0.0.0/8`. Raises ValueError, naming what is none of these."""
        names, suffixes, networks = set(), [], []
        for pattern in patterns:
            if "/" in pattern:
                networks.append(_network(pattern))
            elif pattern.startswith("*."):
                suffixes.append(_name(pattern[1:], pattern))
            else:
                names.add(_name(pattern.removeprefix("[").removesuffix("]"), pattern))
        return cls(frozenset(names), tuple(suffixes), tuple(networks))

    def __bool__(self) -> bool:
        return bool(self.names or self.suffixes or self.networks)

    def allow(self, host: str) -> bool:
        """Whether a host may be asked."""
        if not self:
            return True
        host = host.lower().rstrip(".")
        if host in self.names or host.endswith(self.suffixes):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address  # ::ffff:10.0.0.1 is 10.0.0.1
        return any(plain in network for network in self.networks)


def _network(pattern: str) -> Network:
    try:
        return ipaddress.ip_network(pattern)
    except ValueError as error:
        raise ValueError(f"{pattern!r} is no network: {error}") from None


def _name(name: str, pattern: str) -> str:
    if not name.strip(".") or not name.isascii() or set(name) & set("*/@?#[]\\ "):
        raise ValueError(f"{pattern!r} is no host name, *.suffix or network")
    return name.lower().rstrip(".")


@lru_cache(4096)
def trouble_with(url: str, allowed: AllowedHosts) -> str | None:
    """Why an address is not to be asked; None if it is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"{url!r} is no address: {error}"
    if parts.scheme not in ("http", "https") or not host:
        return f"{url!r} is not an http or https address"
    if not url.isprintable() or set(url) & set(" \\"):
        return f"{url!r} has blanks, backslashes or control characters in it"
    if "@" in parts.netloc:
        return f"{parts.scheme}://…@{host} has a user's name in it"
    if not allowed.allow(host):
        return f"{url!r} is not at a host of maas.hosts.allowed"
    return None
