"""The parser of Bro, now Zeek."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers.bro import BroParser, format_decimal

LOCATION = SourceLocation("parsers/bro.json", "parserConfig")


def parse(text: str, **options: Any) -> dict[str, Any]:
    (record,) = BroParser(Settings(options, LOCATION))(text)
    return record


def test_the_original_string_has_the_keys_in_the_order_of_the_log() -> None:
    record = parse('{"conn":{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","tags":["a/b",1.0E-7]}}')
    assert record["original_string"] == 'CONN | ts:1.5 uid:C1 id.orig_h:10.0.0.1 tags:["a\\/b",1.0E-7]'
    assert record["ip_src_addr"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("keys", "protocol"),
    [
        (("dns", "http"), "dns"),
        (("http", "dns"), "dns"),
        (("ssl", "x509", "conn"), "x509"),
    ],
)
def test_of_several_protocols_the_first_in_javas_hash_order_counts(keys: tuple[str, ...], protocol: str) -> None:
    text = "{" + ",".join(f'"{key}":{{"ts":1}}' for key in keys) + "}"
    assert parse(text)["protocol"] == protocol


def test_a_null_is_an_error_that_names_the_field_and_the_option() -> None:
    with pytest.raises(ValueError, match=r'^Unable to parse Message: \{"http":\{"ts":1,"user":null\}\}$') as raised:
        parse('{"http":{"ts":1,"user":null}}')
    assert str(raised.value.__cause__) == "user is null; set corrected to true in parserConfig to accept null"


def test_nulls_are_kept_if_corrected() -> None:
    record = parse('{"http":{"ts":1,"user":null}}', corrected=True)
    assert record["user"] is None
    assert record["timestamp"] == 1000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "expected an object"),
        ("{}", "the object is empty"),
        ('{"type":null}', "type is null"),
        ('{"http":5}', "the value of http is not an object"),
        ('{"http":{"ts":true}}', "the time true is not a number"),
        ('{"http":{"ts":1,"tx_hosts":"10.0.0.1"}}', "tx_hosts is not a list"),
        ('{"http":{"ts":1}} x', "invalid JSON at character 19: unexpected 'x'"),
    ],
)
def test_the_reason_of_an_error_is_its_cause(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^Unable to parse Message: ") as raised:
        parse(text)
    assert str(raised.value.__cause__) == reason


def test_an_infinite_time_is_the_last_one() -> None:
    record = parse('{"http":{"ts":1e400}}')
    assert (record["timestamp"], record["bro_timestamp"]) == (2**63 - 1, "∞")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e23, "100000000000000000000000.0"),
        (0.0000005, "0.0"),  # exactly half of the last digit would be even, but the value is less
        (0.0000015, "0.000002"),
        (-0.0, "-0.0"),
        (1402307733.4735789, "1402307733.473579"),
    ],
)
def test_a_number_has_one_to_six_decimals(value: float, text: str) -> None:
    assert format_decimal(value) == text
