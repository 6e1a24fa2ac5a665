"""IP addresses, domains, URLs and protocol numbers."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Any, NamedTuple

from stellar.functions.network.protocols import PROTOCOLS
from stellar.functions.network.subnets import parse_address, parse_subnet, require_address
from stellar.functions.network.suffixes import public_suffix
from stellar.functions.network.typosquat import typosquats
from stellar.language.conversions import JAVA_WHITESPACE, to_integer
from stellar.language.library import stellar
from stellar.language.literals import Arguments, LiteralKind, Pitfalls, check_strings
from stellar.language.runtime import describe
from stellar.util.memoize import memoize

_LONGEST_LABEL = 63

# -- IP addresses -----------------------------------------------------------------------------------------------------


def _validate_subnet(cidr: str) -> None:
    parse_subnet(cidr)


def _find_pitfalls_of_subnet(cidr: object, arguments: Arguments) -> Pitfalls:
    try:
        subnet = parse_subnet(str(cidr))
    except ValueError:  # reported as an invalid literal
        return
    if subnet.family == 4 and subnet.first == subnet.last == 0:
        bits = str(cidr).rpartition("/")[2]
        yield f"a subnet of {bits} bits has no hosts, so this is never true", "use a shorter prefix, or compare with =="
    if subnet.family == 6:
        yield "Metron's IN_SUBNET fails for an IPv6 subnet; here it works", "use an IPv4 subnet in rules for Metron"
    ip, *_ = arguments
    if isinstance(ip, str) and (address := parse_address(ip)) is not None and subnet.family not in address:
        yield "an address is never in a subnet of the other IP version", "compare addresses and subnets of one version"


SUBNET = LiteralKind(
    check_strings(_validate_subnet),
    "use an IPv4 address and 1 to 32 bits, such as '10.0.0.0/8', or an IPv6 address and 0 to 128 bits",
    _find_pitfalls_of_subnet,
)


@stellar("IN_SUBNET", pure=True, literals={"cidr": SUBNET, "more": SUBNET})
def in_subnet(ip: str | None, cidr: object, *more: object) -> bool:
    """Test whether an IP address is a host of one of several subnets.

    The first and the last address of an IPv4 subnet are its network and broadcast addresses, and not hosts, so IPv4
    subnets of 31 or 32 bits have no hosts. All addresses of an IPv6 subnet are hosts. An IPv4 address is never in an
    IPv6 subnet, and an IPv6 address only in an IPv4 subnet if it contains an IPv4 address, such as `::ffff:10.0.0.1`.

    ip: The address
    cidr: A subnet as `address/bits`, with 1 to 32 bits for IPv4 and 0 to 128 for IPv6; null has no hosts
    more: Further subnets, which are tested until one contains the address
    returns: True if a subnet contains the address; false if the address is null

        IN_SUBNET('192.168.0.1', '192.168.0.0/24')  // true
        IN_SUBNET('192.168.0.0', '192.168.0.0/24')  // false
        IN_SUBNET('10.1.2.3', '192.168.0.0/24', '10.0.0.0/8')  // true
        IN_SUBNET('2001:db8::1', '2001:db8::/32')  // true
        IN_SUBNET('::1', '10.0.0.0/8')  // false
        IN_SUBNET(null, '192.168.0.0/24')  // false
        IN_SUBNET('10.1.2', '10.0.0.0/8')  // error
    """
    if ip is None:
        return False
    numbers = None
    for subnet in (cidr, *more) if more else (cidr,):
        if subnet is None:
            continue
        if not isinstance(subnet, str):
            raise ValueError(f"IN_SUBNET expected a subnet such as '10.0.0.0/8', got {describe(subnet)}")
        family, first, last = parse_subnet(subnet)
        if numbers is None:
            numbers = require_address(ip)
        if first <= numbers.get(family, -1) <= last:
            return True
    return False


# -- Domains ----------------------------------------------------------------------------------------------------------

_DOTS = ".。．｡"


def _find_trailing_dot(domain: object, _: Arguments) -> Pitfalls:
    if isinstance(domain, str) and domain.endswith(tuple(_DOTS)) and _is_domain(domain):
        yield (
            "a domain with a trailing dot means the same as without it; Metron returns other results, such as '.com'",
            "remove the trailing dot",
        )


DOMAIN = LiteralKind(lambda *_: None, "", _find_trailing_dot)


@stellar("DOMAIN_REMOVE_SUBDOMAINS", pure=True, literals={"domain": DOMAIN})
def domain_remove_subdomains(domain: str | None = None) -> str | None:
    """Reduce a domain to its registered domain: the public suffix and the label before it.

    domain: The domain; a trailing dot is ignored
    returns: The registered domain; null for null and for an invalid domain

        DOMAIN_REMOVE_SUBDOMAINS('mail.example.co.uk')  // 'example.co.uk'
        DOMAIN_REMOVE_SUBDOMAINS('WWW.Example.COM')  // 'Example.com'
        DOMAIN_REMOVE_SUBDOMAINS('www.example.com.')  // 'example.com'
        DOMAIN_REMOVE_SUBDOMAINS('com')  // 'com'
        DOMAIN_REMOVE_SUBDOMAINS('10.0.0.1')  // null
        DOMAIN_REMOVE_SUBDOMAINS(null)  // null
    """
    return None if domain is None else _find_registered_domain(domain)


@stellar("DOMAIN_REMOVE_TLD", pure=True, literals={"domain": DOMAIN})
def domain_remove_tld(domain: str | None) -> str | None:
    """Remove the public suffix of a domain.

    domain: The domain; a trailing dot is ignored
    returns: The labels before the suffix; null for null and for an invalid domain

        DOMAIN_REMOVE_TLD('mail.example.co.uk')  // 'mail.example'
        DOMAIN_REMOVE_TLD('example.com.')  // 'example'
        DOMAIN_REMOVE_TLD('com')  // ''
        DOMAIN_REMOVE_TLD('a b.com')  // null
        DOMAIN_REMOVE_TLD(null)  // null
    """
    if domain is None or not _is_domain(domain):
        return None
    name = domain[:-1] if domain[-1] in _DOTS else domain
    return name[: max(0, len(name) - len(_find_suffix(name)) - 1)]


@stellar("DOMAIN_TO_TLD", pure=True, literals={"domain": DOMAIN})
def domain_to_tld(domain: str | None) -> str:
    """Return the public suffix of a domain, such as `com` or `co.uk`.

    domain: The domain; a trailing dot is ignored
    returns: The suffix; the last label if the suffix is unknown

        DOMAIN_TO_TLD('mail.example.co.uk')  // 'co.uk'
        DOMAIN_TO_TLD('WWW.EXAMPLE.COM')  // 'com'
        DOMAIN_TO_TLD('example.unknownsuffix.')  // 'unknownsuffix'
        DOMAIN_TO_TLD('host.unknownsuffix')  // 'unknownsuffix'
        DOMAIN_TO_TLD(null)  // 'null'
        DOMAIN_TO_TLD(7)  // error
    """
    return "null" if domain is None else _find_suffix(domain)  # Metron returns the string null here


@stellar("DOMAIN_TYPOSQUAT", pure=True)
def domain_typosquat(domain: str | None = None) -> set[str] | None:
    """Return names that can be mistaken for a domain: typing errors, look-alike characters, flipped bits.

    domain: The domain without subdomains and public suffix, at most 63 characters
    returns: Set of the names, non-ASCII ones in Punycode as well; null for null

        'examp1e' in DOMAIN_TYPOSQUAT('example')  // true
        'example' in DOMAIN_TYPOSQUAT('example')  // false
        LENGTH(DOMAIN_TYPOSQUAT('google'))  // 305
        DOMAIN_TYPOSQUAT(null)  // null
        DOMAIN_TYPOSQUAT(5)  // error
    """
    if domain is None:
        return None
    if len(domain) > _LONGEST_LABEL:
        raise ValueError(f"domain too long: a label has at most {_LONGEST_LABEL} characters, got {len(domain)}")
    return typosquats(domain)


@memoize
def _find_registered_domain(domain: str) -> str | None:
    name = _normalize_dots(domain)
    if not _is_name(name):
        return None
    domain = domain[: len(name)]
    suffix = public_suffix(name) or domain.rpartition(".")[2]
    if len(suffix) == len(domain):
        return domain
    return f"{domain[: -len(suffix) - 1].rpartition('.')[2]}.{suffix}"


@memoize
def _find_suffix(domain: str) -> str:
    name = _normalize_dots(domain)
    if not _is_name(name):
        return domain.rpartition(".")[2]
    return public_suffix(name) or domain[: len(name)].rpartition(".")[2]


_LABEL = re.compile(r"(?!-|_)[^\x00-,./:-@\[-^`{-\x7f]{1,63}(?<![-_])")


@memoize
def _is_domain(domain: str) -> bool:
    return _is_name(_normalize_dots(domain))


def _is_name(name: str) -> bool:
    labels = name.split(".")
    return (
        len(name) <= 253 and len(labels) <= 127 and all(map(_LABEL.fullmatch, labels)) and not labels[-1][0].isdecimal()
    )


def _normalize_dots(domain: str) -> str:
    """Return the domain with ASCII dots, and without a trailing one."""
    if not domain.isascii():
        for dot in _DOTS:
            domain = domain.replace(dot, ".")
    return domain.removesuffix(".")


# -- URLs -------------------------------------------------------------------------------------------------------------


@stellar("URL_TO_HOST", pure=True)
def url_to_host(url: str | None) -> str | None:
    """Return the host of a URL.

    url: The URL
    returns: The host, without user and port; empty if it is missing; null for null and for an invalid URL

        URL_TO_HOST('http://user@www.example.com:8080/index.html')  // 'www.example.com'
        URL_TO_HOST('http://[::1]:80/')  // '[::1]'
        URL_TO_HOST('file:///etc/passwd')  // ''
        URL_TO_HOST('www.example.com')  // null
        URL_TO_HOST('http://www.example.com\\n/')  // null
        URL_TO_HOST(null)  // null
    """
    parts = None if url is None else _split_url(url)
    return parts and parts.host


@stellar("URL_TO_PATH", pure=True)
def url_to_path(url: str | None) -> str | None:
    """Return the path of a URL.

    url: The URL
    returns: The path, not decoded; empty if it is missing; null for null and for an invalid URL

        URL_TO_PATH('http://www.example.com/a%20b/index.html?q=1#top')  // '/a%20b/index.html'
        URL_TO_PATH('http://www.example.com')  // ''
        URL_TO_PATH('www.example.com/index.html')  // null
        URL_TO_PATH(null)  // null
    """
    parts = None if url is None else _split_url(url)
    return parts and parts.path


@stellar("URL_TO_PORT", pure=True)
def url_to_port(url: str | None) -> int | None:
    """Return the port of a URL.

    url: The URL
    returns: The port; by default that of the protocol, or -1; null for null and for an invalid URL

        URL_TO_PORT('http://www.example.com:8080/')  // 8080
        URL_TO_PORT('https://www.example.com/')  // 443
        URL_TO_PORT('file:///etc/passwd')  // -1
        URL_TO_PORT('http://www.example.com:http/')  // null
        URL_TO_PORT(null)  // null
    """
    parts = None if url is None else _split_url(url)
    return parts and parts.port


@stellar("URL_TO_PROTOCOL", pure=True)
def url_to_protocol(url: str | None) -> str | None:
    """Return the protocol of a URL.

    url: The URL
    returns: One of http, https, ftp, file, jar and mailto; null for null and for an invalid URL

        URL_TO_PROTOCOL('HTTP://www.example.com/')  // 'http'
        URL_TO_PROTOCOL('gopher://www.example.com/')  // null
        URL_TO_PROTOCOL(null)  // null
    """
    parts = None if url is None else _split_url(url)
    return parts and parts.protocol


class _Url(NamedTuple):
    protocol: str
    host: str
    port: int
    path: str


_DEEPEST_ARCHIVE = 8
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21, "file": -1, "jar": -1, "mailto": -1}
_PROTOCOL = re.compile(r"(?:url:)?([a-z][a-z0-9.+-]*):", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?!////)//([^/]*)")
_HOST = re.compile(r"(\[[^\]]{2,}\]|(?!\[)[^:]*)(?::(?:([+-]?\d+)\Z)?|\Z)")
# Control characters, and characters that a normalization would replace by a delimiter of URLs
_NOT_IN_HOSTS = re.compile("[\x00-\x1f\x7f⁇⁈⁉℀℁℅℆⩴﹕﹖﹟﹫＃／：？＠]")


@memoize
def _split_url(url: str) -> _Url | None:
    """Split a URL like Java's URL class. Return None if that class rejects it."""
    url = url.strip(JAVA_WHITESPACE)
    match = _PROTOCOL.match(url)
    protocol = match[1].lower() if match else ""
    if match is None or protocol not in _DEFAULT_PORTS:
        return None
    rest = url[match.end() :].partition("#")[0]
    if protocol in ("mailto", "jar"):
        valid = rest.strip() if protocol == "mailto" else _is_jar_entry(rest)
        return _Url(protocol, "", -1, rest.rsplit("?", 1)[0]) if valid else None
    return _split_hierarchical(protocol, rest.partition("?")[0])


def _is_jar_entry(rest: str) -> bool:
    archive, separator, _ = rest.rpartition("!/")
    return bool(separator) and archive.count("!/") < _DEEPEST_ARCHIVE and _split_url(archive) is not None


def _split_hierarchical(protocol: str, rest: str) -> _Url | None:
    host, port = "", _DEFAULT_PORTS[protocol]
    if authority := _AUTHORITY.match(rest):
        rest = rest[authority.end() :]
        host_and_port = _split_authority(authority[1])
        if host_and_port is None:
            return None
        host, port = host_and_port[0], port if host_and_port[1] == -1 else host_and_port[1]
    return _Url(protocol, host, port, rest)


def _split_authority(authority: str) -> tuple[str, int] | None:
    if authority.count("@") > 1:  # Java finds no host in it
        return "", -1
    match = _HOST.match(authority.rpartition("@")[2])
    if match is None:
        return None
    host = match[1]
    if not (host.isascii() and host.isprintable()) and _NOT_IN_HOSTS.search(host):
        return None
    if host.startswith("[") and not _is_ipv6(host[1:-1]):
        return None
    if match[2] is None:
        return (host, -1) if match.end() == len(match.string) else None
    port = to_integer(match[2])
    return (host, port) if port is not None and port >= -1 else None


def _is_ipv6(address: str) -> bool:
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True


# -- Protocol numbers -------------------------------------------------------------------------------------------------


@stellar("PROTOCOL_TO_NAME", pure=True)
def protocol_to_name(number: Any) -> Any:
    """Return the name of an IP protocol.

    number: Protocol number, as assigned by IANA
    returns: The name; the argument itself if the number is unknown

        PROTOCOL_TO_NAME(6)  // 'TCP'
        PROTOCOL_TO_NAME('17')  // 'UDP'
        PROTOCOL_TO_NAME(255)  // 255
        PROTOCOL_TO_NAME('icmp')  // 'icmp'
        PROTOCOL_TO_NAME(null)  // null
    """
    known = to_integer(number)
    return number if known is None else PROTOCOLS.get(known, number)
