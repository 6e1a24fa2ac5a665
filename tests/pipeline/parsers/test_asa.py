"""The parser of Cisco ASA firewalls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest import mock

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.asa import BasicAsaParser
from stellar.pipeline.parsers.parser import Settings

A, B = "10.0.0.1", "2001:db8::2"
SENT = {"ip_src_addr": A, "ip_dst_addr": B}
PORTS = {**SENT, "ip_src_port": 1024, "ip_dst_port": 443}

# A message of each kind that has a pattern, with its fields
MESSAGES = [
    (
        "ASA-2-106001",
        f": Inbound TCP connection denied from {A}/1024 to {B}/443 flags SYN  on interface in",
        {**PORTS, "protocol": "tcp", "action": "denied"},
    ),
    *(
        (
            f"ASA-2-{number}",
            f": Deny inbound UDP from {A}/1024(LOCAL\\u) to {B}/443 due to DNS Query",
            {**PORTS, "protocol": "udp", "action": "deny"},
        )
        for number in (106006, 106007, 106010)
    ),
    (
        "ASA-3-106014",
        f": Deny inbound icmp src in:{A} dst out:{B} (type 8, code 0)",
        {**SENT, "protocol": "icmp", "action": "deny"},
    ),
    (
        "ASA-6-106015",
        f": Deny TCP (no connection) from {A}/1024 to {B}/443 flags ACK  on interface in",
        {**PORTS, "protocol": "tcp", "action": "deny"},
    ),
    (
        "ASA-1-106021",
        f": Deny UDP reverse path check from {A} to {B} on interface in",
        {**SENT, "protocol": "udp", "action": "deny"},
    ),
    (
        "ASA-4-106023",
        f': Deny tcp src in:{A}/1024 dst out:{B}/443 by access-group "acl" [0x1, 0x0]',
        {**PORTS, "protocol": "tcp", "action": "deny"},
    ),
    (
        "ASA-5-106100",
        f": access-list acl permitted tcp in/{A}(1024) -> out/{B}(443) hit-cnt 1 first hit [0x1, 0x0]",
        {**PORTS, "protocol": "tcp", "action": "permitted"},
    ),
    (
        "ASA-6-110002",
        f": Failed to locate egress interface for UDP from in:{A}/1024 to {B}/443",
        {**PORTS, "protocol": "udp"},
    ),
    ("ASA-6-302010", ": 5 in use, 60 most used", {}),
    *(
        (
            f"ASA-6-{number}",
            f": Teardown TCP connection 7 for in:{A}/1024 (10.9.9.9/1)(u) to out:{B}/443 ({B}/443)(v) "
            "duration 0:00:07 bytes 3433 TCP FINs (w)",
            {**PORTS, "protocol": "tcp", "action": "teardown"},
        )
        for number in (302013, 302014, 302015, 302016)
    ),
    *(
        (
            f"ASA-6-{number}",
            f": Built inbound ICMP connection for faddr {B}/0(u) gaddr 10.9.9.9/0 laddr {A}/0 (v)",
            {**SENT, "protocol": "icmp", "action": "built"},
        )
        for number in (302020, 302021)
    ),
    (
        "ASA-6-305011",
        f": Built dynamic TCP translation from in:{A}/1024 to out:10.9.9.9/1",
        {"ip_src_addr": A, "ip_src_port": 1024, "protocol": "tcp", "action": "built"},
    ),
    (
        "ASA-6-305012",
        f": Teardown dynamic UDP translation from in:{A}/1024 to out:10.9.9.9/1 duration 0:02:30",
        {"ip_src_addr": A, "ip_src_port": 1024, "protocol": "udp", "action": "teardown"},
    ),
    *(
        (
            f"ASA-3-{number}",
            f": Denied ICMP type=3, code=3 from {A} on interface in to {B}",
            {"ip_src_addr": A, "protocol": "icmp", "action": "denied"},  # the interface is matched lazily, by nothing
        )
        for number in (313001, 313004, 313008)
    ),
    (
        "ASA-4-313005",
        f": No matching connection for ICMP error message: icmp src in:{A} dst out:{B} (type 3, code 3) on in "
        f"interface.  Original IP payload: udp src {A}/1 dst {B}/2",
        {"protocol": "icmp"},
    ),
    (
        "ASA-4-402117",
        f": IPSEC: Received a non-IPSec packet (protocol= ICMP) from {A} to {B}",
        {**SENT, "protocol": "ipsec"},
    ),
    (
        "ASA-4-402119",
        f": IPSEC: Received an ESP packet (SPI= 0x1, sequence number= 0x2) from {A} (user= u) to {B} that failed "
        "anti-replay checking",
        {**SENT, "protocol": "ipsec"},
    ),
    (
        "ASA-4-419001",
        f": Dropping TCP packet from in:{A}/1024 to out:{B}/443, reason: MSS exceeded",
        {**PORTS, "protocol": "tcp", "action": "dropping"},
    ),
    (
        "ASA-4-419002",
        f": Duplicate TCP SYN from in:{A}/1024 to out:{B}/443 with different initial sequence number",
        PORTS,
    ),
    (
        "ASA-4-500004",
        f": Invalid transport field for protocol=UDP, from {A}/1024 to {B}/443",
        {**PORTS, "protocol": "udp"},
    ),
    *(
        (
            f"ASA-6-{number}",
            f": IPSEC: An inbound LAN-to-LAN SA (SPI= 0x1) between {A} and {B} (user= u) has been created",
            {**SENT, "protocol": "ipsec", "action": "created"},
        )
        for number in (602303, 602304)
    ),
    (
        "ASA-7-609001",
        f": Built local-host in:{A}/1024(u)",
        {},  # a hyphen is in no word, which the protocol is
    ),
    ("ASA-7-609001", f": Built localhost in:{A}", {"ip_src_addr": A, "protocol": "localhost", "action": "built"}),
    (
        "ASA-7-609002",
        f": Teardown localhost in:{A} duration 0:00:00",
        {"ip_src_addr": A, "protocol": "localhost", "action": "teardown"},
    ),
    *(
        (
            f"ASA-7-{number}",
            f": UDP request discarded from {A}/1024 to out:{B}/443",
            {**PORTS, "protocol": "udp", "action": "discarded"},
        )
        for number in (710001, 710002, 710003, 710005, 710006)
    ),
    (
        "ASA-5-713041",
        f": Group = g, IP = {A}, IKE Initiator: Rekeying Phase 2, Intf in, IKE Peer 10.9.9.9  local Proxy Address {A}, "
        f"remote Proxy Address {B},  Crypto map (m)",
        {"ip_src_addr": A},
    ),
    (
        "ASA-6-713172",
        f": Group = g, IP = {A}, Automatic NAT Detection Status:     Remote end is NOT behind a NAT device     This   "
        "end is behind a NAT device",
        {"ip_src_addr": A},
    ),
    (
        "ASA-4-733100",
        ": [ Scanning] drop rate-1 exceeded. Current burst rate is 1 per second, max configured rate is 2; Current "
        "average rate is 3 per second, max configured rate is 4; Cumulative total count is 5",
        {},
    ),
]


def parse(text: str, now: str = "2026-06-15T12:00:00Z", **options: Any) -> dict[str, Any]:
    with mock.patch("time.time_ns", return_value=milliseconds(now) * 1_000_000):
        (record,) = PARSER(text) if not options else parser(**options)(text)
    return record


def parser(**options: Any) -> BasicAsaParser:
    return BasicAsaParser(Settings(options, SourceLocation("x")))


PARSER = parser()


def milliseconds(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


@pytest.mark.parametrize(("tag", "message", "fields"), MESSAGES)
def test_a_message_has_the_fields_of_its_kind(tag: str, message: str, fields: dict[str, Any]) -> None:
    text = f"<166>Jan  5 08:52:35 fw1 %{tag}{message}"
    assert parse(text) == {
        "original_string": text,
        "timestamp": milliseconds("2026-01-05T08:52:35Z"),
        "ciscotag": tag,
        "syslog_host": "fw1",
        "syslog_severity": "info",
        "syslog_facility": "local4",
        **fields,
    }


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (
            "<8>Jan  5 2016 08:52:35: %PIX-9-1: x",
            None,  # the day has two digits before a year
        ),
        ("<8>Jan 05 2016 08:52:35: %PIX-9-1: x", {"ciscotag": "PIX-9-1", "syslog_facility": "user"}),
        ("<77>Jan 05 2016 08:52:35: %X-1-Y", {"syslog_facility": "unknown", "syslog_severity": "notice"}),
        ("<120>Jan 05 2016 08:52:35 5 prog[7]: %X-1-Y", {"syslog_facility": "cron", "syslog_host": 5}),
        ("<2000>Jan 05 2016 08:52:35 h prog[7]: %X-1-Y", {"syslog_facility": "unknown", "syslog_prog": "prog[7]"}),
        ("<8>Jan 05 2016 08:52:35: %ASA-5-302014: Built", {"ciscotag": "ASA-5-302014"}),  # another severity
    ],
)
def test_a_header_has_its_fields(text: str, fields: dict[str, Any] | None) -> None:
    if fields is None:
        with pytest.raises(ValueError, match="Unsupported date format: 'Jan  5 2016 08:52:35'"):
            parse(text)
        return
    record = parse(text)
    assert fields.items() <= record.items()
    assert PARSER.complaint(record) is None


@pytest.mark.parametrize(
    ("time", "now", "timestamp"),
    [
        ("Dec 31 23:59:59", "2026-01-01T00:00:05Z", "2025-12-31T23:59:59Z"),
        ("Feb 29 00:00:00", "2026-06-15T12:00:00Z", "2024-02-29T00:00:00Z"),  # the latest year that has the day
        ("Feb 30 2016 00:00:00", "2026-06-15T12:00:00Z", "2016-02-29T00:00:00Z"),
        ("Apr 31 2015 00:00:00", "2026-06-15T12:00:00Z", "2015-04-30T00:00:00Z"),
    ],
)
def test_a_time_is_in_the_past(time: str, now: str, timestamp: str) -> None:
    assert parse(f"<8>{time} %X-1-Y", now)["timestamp"] == milliseconds(timestamp)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"\[Metron\] Message '' does not match pattern '%{CISCO_TAGGED_SYSLOG}'"),
        ("x\u2028", r"\[Metron\] Message 'x\u2028' does not match pattern '%{CISCO_TAGGED_SYSLOG}'"),
        ("<0>Jan 05 2016 08:52:35: %X-1-Y", "does not match pattern"),
        ("<8>Feb 30 08:52:35: %X-1-Y", "Invalid date 'FEBRUARY 30'"),
        ("<8>January 05 2016 08:52:35: %X-1-Y", "Unsupported date format: 'January 05 2016 08:52:35'"),
        ("<8>Jan 05 0000 08:52:35: %X-1-Y", "Unsupported date format: 'Jan 05 0000 08:52:35'"),
        ("<8>Jan 05 2016 08:52:60: %X-1-Y", "SecondOfMinute"),
        ("<2147483648>Jan 05 2016 08:52:35: %X-1-Y", "invalid priority <2147483648>: expected an integer of 32 bits"),
        (
            f"<8>Jan 05 2016 08:52:35: %ASA-7-710005: UDP request discarded from {A}/2147483648 to out:{B}/1",
            "invalid src_port '2147483648': expected an integer of 32 bits",
        ),
        (
            f"<8>Jan 05 2016 08:52:35: %ASA-7-710005: 17 request discarded from {A}/1 to out:{B}/1",
            "invalid protocol 17: expected a string",
        ),
        (
            "<8>Jan 05 2016 08:52:35: %ASA-7-710005-12",
            "invalid message of %ASA-7-710005: expected a string, got the number -12",
        ),
    ],
)
def test_an_unreadable_record_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deviceTimeZone": "Nowhere"}, "x: deviceTimeZone: unknown time zone 'Nowhere'"),
        ({"deviceTimeZone": 5}, "x: deviceTimeZone: expected a string, got 5"),
        ({"matchTimeoutMs": -1}, "x: matchTimeoutMs: expected a positive integer of milliseconds, got -1"),
    ],
)
def test_an_invalid_option_is_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parser(**options)
    assert str(refused.value).startswith(message)


def test_a_zone_of_null_is_utc() -> None:
    assert parse("<8>Jan 05 2016 08:52:35 %X-1-Y", deviceTimeZone=None)["timestamp"] == 1451983955000


def test_the_time_for_a_record_is_limited(bounded: Callable[[], AbstractContextManager[None]]) -> None:
    line = "<8>Jan 05 2016 08:52:35: %ASA-4-419002: "
    with bounded(), pytest.raises(TimeoutError, match=r"took longer than 50 ms; increase matchTimeoutMs"):
        parse(line + "a " * 2_000_000, matchTimeoutMs=50)


def test_a_long_record_is_parsed() -> None:
    text = f"<8>Jan 05 2016 08:52:35: %ASA-6-302010: {'x' * 10_000_000}"
    assert parse(text)["original_string"] == text
