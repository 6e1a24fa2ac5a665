"""The allow-list of hosts: its syntax, and unusual spellings of a host that must not bypass it."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.net.allowed_hosts import AllowedHosts, find_url_problem

LISTS = [
    (["node1"], ["http://node1/", "http://NODE1:8080/", "https://node1./"], ["http://node2/", "http://x.node1/"]),
    (["node1:8080"], ["http://node1:8080/"], ["http://node1/", "http://node1:80/", "http://node1:8081/"]),
    (["node1:80"], ["http://node1/", "https://node1:80/"], ["https://node1/"]),
    (["node1:443"], ["https://node1/", "http://node1:443/"], ["http://node1/"]),
    (["Node1.Example."], ["http://node1.example/"], ["http://node1/"]),
    (["*.example"], ["http://a.example/", "http://b.a.EXAMPLE.:1/"], ["http://example/", "http://xexample/"]),
    (["*.example:8080"], ["http://a.example:8080/"], ["http://a.example/", "http://example:8080/"]),
    (["127.0.0.1"], ["http://127.0.0.1:5/", "http://[::ffff:127.0.0.1]/"], ["http://localhost/", "http://127.0.0.2/"]),
    (["127.0.0.1:8080"], ["http://127.0.0.1:8080/"], ["http://127.0.0.1/"]),
    (["[::1]"], ["http://[::1]/", "http://[0:0::1]:8080/"], ["http://[::2]/", "http://127.0.0.1/"]),
    (["[::1]:8080"], ["http://[::1]:8080/"], ["http://[::1]/"]),
    (["[::ffff:10.0.0.1]"], ["http://10.0.0.1/", "http://[::ffff:a00:1]/"], ["http://10.0.0.2/"]),
    (["10.0.0.0/8"], ["http://10.1.2.3:99/", "http://[::ffff:10.1.2.3]/"], ["http://11.0.0.1/", "http://a.10/"]),
    (["fd00::/8"], ["http://[fd12::1]/"], ["http://[fe80::1]/", "http://[fd12::1%251]/"]),
    (["xn--bcher-kva.example"], ["http://bücher.example/", "http://BÜCHER。example/"], ["http://bucher.example/"]),
    (["*"], ["http://anything/", "https://[::1]:5/", "http://2130706433/"], []),
    (["a", "b:1"], ["http://a:7/", "http://b:1/"], ["http://b:2/"]),
]


@pytest.mark.parametrize(("entries", "allowed", "refused"), LISTS)
def test_a_url_is_allowed_by_its_host_and_port(entries: list[str], allowed: list[str], refused: list[str]) -> None:
    hosts = AllowedHosts.of(entries)
    assert [url for url in allowed if find_url_problem(url, hosts) is not None] == []
    assert [url for url in refused if find_url_problem(url, hosts) is None] == []


UNUSUAL = [
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    "0",
    "0x",
]
WIDE = ["127.0.0.１", "１２７.1", "2130706433。"]


@pytest.mark.parametrize("host", [*UNUSUAL, *WIDE[1:]])
@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0", "*.1", "*.example", "localhost"])
def test_no_unusual_spelling_of_an_address_bypasses_a_rule(host: str, entry: str) -> None:
    if entry == "*.1":
        with pytest.raises(ValueError, match="a host name can't end in a number"):
            AllowedHosts.of([entry])
        return
    assert find_url_problem(f"http://{host}/", AllowedHosts.of([entry])) is not None


def test_an_address_in_wide_digits_is_that_address() -> None:
    assert find_url_problem(f"http://{WIDE[0]}/", AllowedHosts.of(["127.0.0.1"])) is None
    assert find_url_problem(f"http://{WIDE[0]}/", AllowedHosts.of(["*.example", "10.0.0.0/8"])) is not None


@pytest.mark.parametrize("host", ["straße.example", "ς.example", "a\u200db.example", "a" * 64, "a..example", "%6eode1"])
def test_an_ambiguous_host_is_rejected(host: str) -> None:
    hosts = AllowedHosts.of(["strasse.example", "*.example", "node1"])
    assert find_url_problem(f"http://{host}/", hosts) is not None


@given(st.text(alphabet="0123456789abcdefx.-_%:[]１。ß", min_size=1, max_size=24))
def test_a_host_that_the_system_resolves_as_an_address_is_checked_as_one_or_rejected(host: str) -> None:
    try:
        found = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    address = found[0][4][0]
    if AllowedHosts.of(["0.0.0.0/0", "::/0"]).allow(host):
        without_query = f"[{address}]" if ":" in address else address
        assert AllowedHosts.of([without_query]).allow(host)
    assert not AllowedHosts.of(["a", "*.a", "*.x", "*.b-c"]).allow(host)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("", "expected a host"),
        (" ", "expected a host"),
        ("node 1", "expected a host"),
        ("node1:", "expected a port from 1 to 65535, got ''"),
        ("node1:0", "expected a port from 1 to 65535, got '0'"),
        ("node1:99999", "expected a port from 1 to 65535, got '99999'"),
        ("node1:http", "expected a port from 1 to 65535, got 'http'"),
        ("*.example:0", "expected a port from 1 to 65535, got '0'"),
        ("*:80", "expected a host"),
        ("*.", "expected a host"),
        ("**", "expected a host"),
        ("*example", "expected a host"),
        ("a.*", "expected a host"),
        ("*.*.example", "expected a host"),
        ("*.[::1]", "expected a host"),
        ("a..b", "expected a host"),
        ("me@node1", "expected a host"),
        ("node1?x", "expected a host"),
        ("http://node1", "it is a URL; write only its host"),
        ("10.0.0.0/33", "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"),
        ("10.0.0.1/8", "bits after the prefix are set; the network is 10.0.0.0/8"),
        ("fd00::1/8", "bits after the prefix are set; the network is fd00::/8"),
        ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
        ("10.0.0.0/8:80", "does not appear to be"),
        ("node1/x", "does not appear to be"),
        ("::1", "write [::1]"),
        ("[::1", "expected a host"),
        ("[node1]", "[node1] is not an IP address"),
        ("[127.0.0.1]", "is not an IP address"),
        ("2130706433", "write 127.0.0.1"),
        ("127.1", "write 127.0.0.1"),
        ("0x7f.1:80", "write 127.0.0.1"),
        ("300.0.0.1", "300.0.0.1 is not an IP address"),
        ("bücher.example", "write it in ASCII: xn--bcher-kva.example"),
        ("straße", "write it in ASCII"),
    ],
)
def test_an_invalid_entry_is_rejected_with_the_expected_form(entry: str, problem: str) -> None:
    with pytest.raises(ValueError, match="expected a host, host:port") as refused:
        AllowedHosts.of(["node1", entry])
    assert str(refused.value).startswith(f"invalid entry {entry!r}: ")
    assert problem in str(refused.value)


@given(st.text(alphabet="abz019.-_*:/[]x@% é", max_size=20))
def test_every_entry_is_a_rule_or_raises_value_error(entry: str) -> None:
    try:
        rules = AllowedHosts.of([entry]).rules
    except ValueError as error:
        rules = (str(error),)
    assert len(rules) == 1
    assert not isinstance(rules[0], str) or rules[0].startswith(f"invalid entry {entry!r}: ")


@pytest.mark.parametrize("url", ["http://node1:0/", "https://[::1]:0/"])
def test_no_request_is_sent_to_port_0(url: str) -> None:
    assert "has an invalid port" in str(find_url_problem(url, AllowedHosts()))
