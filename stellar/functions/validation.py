"""Whether values are what they claim to be: domains, addresses, URLs, numbers, dates."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from stellar.functions.network.suffixes import public_suffix
from stellar.language.conversions import BLANKS, to_text
from stellar.language.library import stellar
from stellar.util.memoize import remembered


@stellar("IS_DOMAIN")
def is_domain(*address: object) -> bool:
    """Whether values are domains below a top-level domain that exists.

    address: The values
    returns: True if every one is a domain; false if one is null, or there is none

        IS_DOMAIN('www.example.com')  // true
        IS_DOMAIN('bücher.example.ch')  // true
        IS_DOMAIN('localhost')  // false
        IS_DOMAIN('host.unknownsuffix')  // false
        IS_DOMAIN('example.com', null)  // false
    """
    return bool(address) and all(value is not None and _is_domain(to_text(value)) for value in address)


@stellar("IS_EMAIL")
def is_email(*address: object) -> bool:
    """Whether values are e-mail addresses.

    address: The values
    returns: True if every one is an address; false if one is null, or there is none

        IS_EMAIL('mary.jones@example.com')  // true
        IS_EMAIL('mary@[192.168.0.1]')  // true
        IS_EMAIL('mary@localhost')  // false
        IS_EMAIL('mary.@example.com')  // false
        IS_EMAIL(null)  // false
    """
    return bool(address) and all(value is not None and _is_email(to_text(value)) for value in address)


@stellar("IS_URL")
def is_url(*url: object) -> bool:
    """Whether values are URLs of http, https or ftp with a domain that can exist, or an IP address.

    url: The values
    returns: True if every one is a URL; false if one is null, or there is none

        IS_URL('https://www.example.com:8443/index.html?q=1#top')  // true
        IS_URL('http://192.168.0.1/')  // true
        IS_URL('http://localhost/')  // false
        IS_URL('gopher://example.com')  // false
        IS_URL(null)  // false
    """
    return bool(url) and all(value is not None and _is_url(to_text(value)) for value in url)


@stellar("IS_INTEGER")
def is_integer(*x: object) -> bool:
    """Whether values are whole numbers, or texts of such: digits, commas between them, a minus before them.

    x: The values
    returns: True if every one is a whole number; false if one is null, or there is none

        IS_INTEGER('5', -6)  // true
        IS_INTEGER('1,000')  // true
        IS_INTEGER('5.0')  // false
        IS_INTEGER(5.0)  // false
        IS_INTEGER(null)  // false
    """
    return bool(x) and all(
        value is not None and _INTEGER.fullmatch(to_text(value).strip(BLANKS)) is not None for value in x
    )


@stellar("IS_IP")
def is_ip(ip: object = None, type_: object = None) -> bool:
    """Whether a value is an IP address.

    ip: The value
    type: IPV4 or IPV6; for anything else either will do
    returns: True if it is; false for null

        IS_IP('192.168.0.1')  // true
        IS_IP('::1', 'IPV6')  // true
        IS_IP('::1', 'IPV4')  // false
        IS_IP('192.168.0.256')  // false
        IS_IP(null)  // false
    """
    if ip is None:
        return False
    text = to_text(ip)
    return (type_ != "IPV6" and _is_ipv4(text)) or (type_ != "IPV4" and _is_ipv6(text))


# A comma may stand anywhere before a digit, and an exponent is a capital E: so reads Java's number format
_INTEGER = re.compile(r"-?(?:,*\d)+(?:E-?\d+)?")

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)


def _is_ipv4(text: str) -> bool:
    return _IPV4.fullmatch(text) is not None


@remembered
def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+((?=[a-z]){_LABEL})\.?", re.ASCII | re.IGNORECASE)


@remembered
def _is_domain(domain: str) -> bool:
    domain = _to_ascii(domain)
    if len(domain) > 253 or (match := _DOMAIN.fullmatch(domain)) is None:
        return False
    top = _from_ascii(match[1])
    return public_suffix(top) == top


def _to_ascii(domain: str) -> str:
    """The domain with its labels in Punycode; as it is if that can't be."""
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
        if depth < 0:  # it leads out of the root
            return False
    return True
