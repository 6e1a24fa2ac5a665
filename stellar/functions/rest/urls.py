"""URLs of REST calls, whose hosts are compared in the form in which they are requested."""

from __future__ import annotations

import httpx

from stellar.net.allowed_hosts import PORTS
from stellar.net.connection_pool import Address


def parse_url(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse an http or https URL.

    base: the URL to which it can be relative

    Raises ValueError for an invalid or other URL.
    """
    try:
        parsed = httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(str(error)) from error
    if parsed.scheme not in PORTS or not parsed.host:
        raise ValueError("expected http:// or https:// and a host")
    if b"%" in parsed.raw_host:
        raise ValueError("the host contains whitespace or special characters")
    if not 0 < port_of(parsed) < 65_536:
        raise ValueError(f"expected a port from 1 to 65535, got {parsed.port}")
    return parsed


def host_of(url: httpx.URL) -> str:
    """Return the host in the form in which it is requested: in ASCII, lowercase, without a trailing dot."""
    return url.raw_host.decode("ascii").lower().removesuffix(".")


def port_of(url: httpx.URL) -> int:
    """Return the port, by default that of the scheme."""
    return PORTS[url.scheme] if url.port is None else url.port


def server_of(url: httpx.URL) -> str:
    """Return the host and port, such as `example.com:80` or `[::1]:8080`."""
    name = host_of(url)
    return f"[{name}]:{port_of(url)}" if ":" in name else f"{name}:{port_of(url)}"


def address_of(url: httpx.URL) -> Address:
    """Return the address to connect to."""
    return Address(url.raw_host.decode("ascii"), port_of(url), url.scheme == "https")


def without_secrets(url: httpx.URL) -> str:
    """Return a URL for logs: without user, password, query and fragment."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))
