"""Addresses and subnets, beyond the conformance cases and the examples of IN_SUBNET."""

from __future__ import annotations

import pytest

from stellar.functions.network import in_subnet
from stellar.functions.network.subnets import parse_address, parse_subnet


@pytest.mark.parametrize(
    ("ip", "cidr"),
    [
        ("2001:db8::", "2001:db8::/32"),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.1", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "::ffff:0:0/96"),
        ("FE80::1%eth0", "fe80::/10"),
    ],
)
def test_an_address_is_a_host(ip: str, cidr: str) -> None:
    assert in_subnet(ip, cidr)


@pytest.mark.parametrize(
    ("ip", "cidr"),
    [
        ("2001:db9::", "2001:db8::/32"),
        ("::ffff:10.0.0.0", "10.0.0.0/8"),
        ("10.0.0.1", "::/0"),
        ("::", "0.0.0.0/1"),
    ],
)
def test_an_address_is_no_host(ip: str, cidr: str) -> None:
    assert not in_subnet(ip, cidr)


@pytest.mark.parametrize("cidr", ["::/129", "::1", "fe80::1%eth0/64", "10.0.0.0/0", "::/-1", "/8", "10.0.0.0/8/8"])
def test_an_invalid_subnet_is_an_error_with_the_expected_form(cidr: str) -> None:
    with pytest.raises(ValueError, match="expected a form such as"):
        parse_subnet(cidr)


@pytest.mark.parametrize("ip", ["", "1", "1.2.3.256", "１.2.3.4", ":::", "::1/64", " ::1"])
def test_an_invalid_address_is_not_parsed(ip: str) -> None:
    assert parse_address(ip) is None
