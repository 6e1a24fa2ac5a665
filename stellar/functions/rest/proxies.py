"""Which server an address names: hosts are compared in the form in which they will be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import httpx

_PORTS = {"http": 80, "https": 443}


def parsed(address: str | httpx.URL, base: httpx.URL | None = None) -> httpx.URL:
    """The parts of an address, which may be relative to another.

    Raises ValueError if it is no http:// or https:// address.
    """
    try:
        url = httpx.URL(address) if base is None else base.join(address)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(str(error)) from error
    if url.scheme not in _PORTS or not url.host:
        raise ValueError("it does not begin with http:// or https:// and a host")
    if b"%" in url.raw_host:
        raise ValueError("no host has blanks or signs in it")
    if not 0 < port(url) < 65_536:
        raise ValueError(f"there is no port {url.port}")
    return url


def host(url: httpx.URL) -> str:
    """The host, as it will be asked: in ASCII, small letters, without the dot at its end."""
    return url.raw_host.decode("ascii").lower().removesuffix(".")


def port(url: httpx.URL) -> int:
    """The port, also where the address does not name it."""
    return _PORTS[url.scheme] if url.port is None else url.port


def server(url: httpx.URL) -> str:
    """The host and port, such as `example.com:80` or `[::1]:8080`."""
    name = host(url)
    return f"[{name}]:{port(url)}" if ":" in name else f"{name}:{port(url)}"


def without_secrets(url: httpx.URL) -> str:
    """An address as it may be shown."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers that a pattern such as `example.com`, `*.example.com:8080`, `[::1]` or `*` stands for.

    within: whether it stands for the hosts in that domain, rather than the host
    port: None for any
    """

    host: str
    port: int | None
    within: bool

    def __contains__(self, url: httpx.URL) -> bool:
        if self.port not in (None, port(url)):
            return False
        return host(url).endswith(f".{self.host}") if self.within else host(url) == self.host


class _Every(Servers):
    __slots__ = ()

    def __contains__(self, url: httpx.URL) -> bool:
        return True


_PATTERN = re.compile(r"(\*\.)?(\[[0-9a-fA-F:.]+\]|[^\s*/?#@:%\\\[\]]+)(?::([0-9]{1,5}))?")


@lru_cache(1000)
def servers(pattern: str) -> Servers:
    """The servers that a pattern stands for. Raises ValueError if it is none."""
    if pattern == "*":
        return _Every("", None, within=True)
    if (found := _PATTERN.fullmatch(pattern)) is None:
        raise ValueError("a host, such as example.com or *.example.com:8080, is wanted")
    star, name, number = found.groups()
    return Servers(host(parsed(f"http://{name}")), int(number) if number else None, within=bool(star))
