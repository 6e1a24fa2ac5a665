"""URLs of web services: hosts are compared in the form in which they will be requested."""

from __future__ import annotations

import httpx

from stellar.net.allowed_hosts import PORTS
from stellar.net.connection_pool import Address


def parse_url(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse a URL, which may be relative to another.

    Raises ValueError if it is not an http:// or https:// URL.
    """
    try:
        parsed = httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(str(error)) from error
    if parsed.scheme not in PORTS or not parsed.host:
        raise ValueError("it does not begin with http:// or https:// and a host")
    if b"%" in parsed.raw_host:
        raise ValueError("its host contains whitespace or special characters")
    if not 0 < port_of(parsed) < 65_536:
        raise ValueError(f"its port {parsed.port} is not between 1 and 65535")
    return parsed


def host_of(url: httpx.URL) -> str:
    """Return the host as it will be requested: in ASCII, lowercase, without a dot at its end."""
    return url.raw_host.decode("ascii").lower().removesuffix(".")


def port_of(url: httpx.URL) -> int:
    """Return the port, which may be that of the scheme."""
    return PORTS[url.scheme] if url.port is None else url.port


def server_of(url: httpx.URL) -> str:
    """Return the host and port, such as `example.com:80` or `[::1]:8080`."""
    name = host_of(url)
    return f"[{name}]:{port_of(url)}" if ":" in name else f"{name}:{port_of(url)}"


def address_of(url: httpx.URL) -> Address:
    """Return the address to connect to."""
    return Address(url.raw_host.decode("ascii"), port_of(url), url.scheme == "https")


def without_secrets(url: httpx.URL) -> str:
    """Return a URL as it may be logged: without user, password, query and fragment."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))
