"""The parser of Palo Alto firewall logs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers.palo_alto import KINDS, PaloAltoParser, split_unquoted

LOCATION = SourceLocation("parsers/paloalto.json", "parserConfig")


def parse(values: list[str]) -> dict[str, Any]:
    (record,) = PaloAltoParser(Settings({}, LOCATION))(",".join(values))
    return record


def numbered(kind: str, count: int) -> list[str]:
    values = [f"v{index}" for index in range(count)]
    values[3] = kind
    return values


@pytest.mark.parametrize(
    ("kind", "count", "version"),
    [(kind, count, version) for kind, log in KINDS.items() for count, (version, _) in log.versions.items()],
)
def test_the_number_of_values_determines_the_version(kind: str, count: int, version: int) -> None:
    record = parse(numbered(kind, count))
    assert record["parser_version"] == version
    assert "tokens_seen" not in record


@pytest.mark.parametrize(
    ("kind", "count", "field", "index"),
    [
        ("THREAT", 53, "user_agent", 45),
        ("THREAT", 61, "user_agent", 46),
        ("THREAT", 61, "url_idx", 45),
        ("THREAT", 72, "device_name", 59),
        ("THREAT", 72, "source_vm_uuid", 61),
        ("THREAT", 72, "content_version", 70),
        ("TRAFFIC", 47, "session_end_reason", 46),
        ("TRAFFIC", 61, "start", 35),
        ("TRAFFIC", 61, "tunnel_type", 60),
        ("SYSTEM", 23, "device_name", 22),
        ("CONFIG", 18, "after_change_detail", 17),
        ("CONFIG", 24, "after_change_detail", 15),
        ("CONFIG", 24, "device_name", 23),
    ],
)
def test_the_place_of_a_value_depends_on_the_version(kind: str, count: int, field: str, index: int) -> None:
    assert parse(numbered(kind, count))[field] == f"v{index}"


def test_an_unknown_number_of_values_is_counted_and_read_by_the_oldest_layout() -> None:
    record = parse(numbered("TRAFFIC", 50))
    assert (record["parser_version"], record["tokens_seen"], record["pkts_received"]) == (0, 50, "v45")
    assert parse(numbered("SYSTEM", 9))["tokens_seen"] == 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], "unknown log type null in the fourth value: expected CONFIG, SYSTEM, THREAT, TRAFFIC"),
        (numbered("threat", 53), "unknown log type 'threat' in the fourth value"),
        (numbered("TRAFFIC", 45), "TRAFFIC log with 45 values: expected at least 46"),
    ],
)
def test_an_unreadable_log_is_an_error(values: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse(values)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://www.example.com/a?b", "www.example.com"),
        ("HTTPS://user:pw@www.example.com:8443", "www.example.com"),
        ('"https://[2001:db8::1]:443/"', "[2001:db8::1]"),
        ("ftp://host?x", "host"),
        ("mailto:x", ""),
        ("http://a@b@c/", ""),
    ],
)
def test_the_host_of_a_url_is_a_field(url: str, host: str) -> None:
    values = numbered("THREAT", 45)
    values[31] = url
    assert parse(values)["host"] == host


@pytest.mark.parametrize("url", ["www.example.com/a", "gopher://host/", "http://host:port/", "http://[::1/"])
def test_an_invalid_url_has_no_host(url: str) -> None:
    values = numbered("THREAT", 45)
    values[31] = url
    record = parse(values)
    assert record["url"] == url
    assert "host" not in record


@given(st.text(alphabet='a,"'))
def test_commas_within_quotes_do_not_split(text: str) -> None:
    values = split_unquoted(text)
    assert ",".join(values) == text
    assert all(value.count('"') % 2 == 0 for value in values[1:])


def test_many_quotes_take_linear_time() -> None:
    assert split_unquoted('"' * 1_000_000) == ['"' * 1_000_000]
