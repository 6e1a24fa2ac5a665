"""Validation of values: domains, e-mail addresses, URLs, integers, IP addresses."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from stellar.functions.network.suffixes import public_suffix
from stellar.language.conversions import JAVA_WHITESPACE, to_string
from stellar.language.library import stellar
from stellar.util.memoize import memoize


@stellar("IS_DOMAIN", pure=True)
def is_domain(*address: object) -> bool:
    """Test whether values are domains with an existing top-level domain.

    address: The values
    returns: True if all values are domains; false if one is null, or if there are no values

        IS_DOMAIN('www.example.com')  // true
        IS_DOMAIN('bücher.example.ch')  // true
        IS_DOMAIN('localhost')  // false
        IS_DOMAIN('host.unknownsuffix')  // false
        IS_DOMAIN('example.com', null)  // false
    """
    return bool(address) and all(value is not None and _is_domain(to_string(value)) for value in address)


@stellar("IS_EMAIL", pure=True)
def is_email(*address: object) -> bool:
    """Test whether values are e-mail addresses.

    address: The values
    returns: True if all values are e-mail addresses; false if one is null, or if there are no values

        IS_EMAIL('mary.jones@example.com')  // true
        IS_EMAIL('mary@[192.168.0.1]')  // true
        IS_EMAIL('mary@localhost')  // false
        IS_EMAIL('mary.@example.com')  // false
        IS_EMAIL(null)  // false
    """
    return bool(address) and all(value is not None and _is_email(to_string(value)) for value in address)


@stellar("IS_URL", pure=True)
def is_url(*url: object) -> bool:
    """Test whether values are http, https or ftp URLs, with a valid domain or an IP address as host.

    url: The values
    returns: True if all values are URLs; false if one is null, or if there are no values

        IS_URL('https://www.example.com:8443/index.html?q=1#top')  // true
        IS_URL('http://192.168.0.1/')  // true
        IS_URL('http://localhost/')  // false
        IS_URL('gopher://example.com')  // false
        IS_URL(null)  // false
    """
    return bool(url) and all(value is not None and _is_url(to_string(value)) for value in url)


@stellar("IS_INTEGER", pure=True)
def is_integer(*x: object) -> bool:
    """Test whether values are integers, or strings of an integer: digits, with commas and a leading minus sign allowed.

    x: The values
    returns: True if all values are integers; false if one is null, or if there are no values

        IS_INTEGER('5', -6)  // true
        IS_INTEGER('1,000')  // true
        IS_INTEGER('5.0')  // false
        IS_INTEGER(5.0)  // false
        IS_INTEGER(null)  // false
    """
    return bool(x) and all(
        value is not None and _INTEGER.fullmatch(to_string(value).strip(JAVA_WHITESPACE)) is not None for value in x
    )


@stellar("IS_IP", pure=True)
def is_ip(ip: object = None, type_: object = None) -> bool:
    """Test whether a value is an IP address.

    ip: The value
    type: IPV4 or IPV6; for any other value both are accepted
    returns: True if it is; false for null

        IS_IP('192.168.0.1')  // true
        IS_IP('::1', 'IPV6')  // true
        IS_IP('::1', 'IPV4')  // false
        IS_IP('192.168.0.256')  // false
        IS_IP(null)  // false
    """
    if ip is None:
        return False
    address = to_string(ip)
    return (type_ != "IPV6" and _is_ipv4(address)) or (type_ != "IPV4" and _is_ipv6(address))


# As in Java's NumberFormat, a comma is allowed before any digit, and an exponent begins with an uppercase E
_INTEGER = re.compile(r"-?(?:,*\d)+(?:E-?\d+)?")

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)


def _is_ipv4(address: str) -> bool:
    return _IPV4.fullmatch(address) is not None


@memoize
def _is_ipv6(address: str) -> bool:
    try:
        return IPv6Address(address).scope_id is None
    except AddressValueError:
        return False


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+((?=[a-z]){_LABEL})\.?", re.ASCII | re.IGNORECASE)


@memoize
def _is_domain(domain: str) -> bool:
    domain = _to_ascii(domain)
    if len(domain) > 253 or (match := _DOMAIN.fullmatch(domain)) is None:
        return False
    top = _from_ascii(match[1])
    return public_suffix(top) == top


def _to_ascii(domain: str) -> str:
    """Return the domain with its labels in Punycode, or unchanged if that is not possible."""
    if domain.isascii():
        return domain
    try:
        return b".".join(label.encode("idna") for label in re.split("[.。．｡]", domain)).decode()
    except UnicodeError:
        return domain


def _from_ascii(label: str) -> str:
    try:
        return label.lower().encode().decode("idna")
    except UnicodeError:
        return label.lower()


_WORD = r"""(?:(?:\\.|[^\s\x00-\x1f\x7f()<>@,;:'\\".\[\]]|')+|"(?:\\"|[^"])*")"""
_USER = re.compile(rf"\s*{_WORD}(?:\.{_WORD})*", re.ASCII)
_LONGEST_USER = 64


def _is_email(address: str) -> bool:
    user, _, domain = address.rstrip().rpartition("@")
    if address.endswith(".") or len(user) > _LONGEST_USER or "\n" in user or _USER.fullmatch(user) is None:
        return False
    if domain.startswith("[") and domain.endswith("]"):
        return is_ip(domain[1:-1])
    return _is_domain(domain)


_URL = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?")
_AUTHORITY = re.compile(
    r"(?:\[([0-9a-f:]+)\]|(?:[\w%-.~!$;=]+(?::[\w%-.~!$;=]*)?@)?([a-z0-9.-]*))(?::(\d*))?\s*", re.ASCII | re.IGNORECASE
)
_PATH = re.compile(r"(?:/[-\w:@&?=+,.!/~*'%$;()]*)?", re.ASCII)
_SCHEMES = ("http", "https", "ftp")


def _is_url(url: str) -> bool:
    match = _URL.fullmatch(url)
    if match is None:
        return False
    scheme, authority, path, query = match.groups()
    return (
        scheme is not None
        and scheme.lower() in _SCHEMES
        and authority is not None
        and _is_authority(_to_ascii(authority))
        and _is_path(path)
        and (query is None or not re.search(r"\s", query, re.ASCII))
    )


def _is_authority(authority: str) -> bool:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return False
    ipv6, host, port = match.groups()
    if port and not (len(digits := port.lstrip("0")) <= 5 and int(digits or 0) <= 65535):
        return False
    return _is_ipv6(ipv6) if ipv6 else _is_domain(host) or _is_ipv4(host)


def _is_path(path: str) -> bool:
    if _PATH.fullmatch(path) is None or "//" in path:
        return False
    depth = 0
    for segment in path.split("/")[1:]:
        depth += {"..": -1, ".": 0}.get(segment, 1)
        if depth < 0:  # above the root
            return False
    return True
