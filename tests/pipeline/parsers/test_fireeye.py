"""The parser of FireEye notices."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers import fireeye as module
from stellar.pipeline.parsers.fireeye import FireEyeParser

LOCATION = SourceLocation("parsers/fireeye.json", "parserConfig")
NOTICE = (
    "<164>Mar 19 05:24:39 10.220.15.15 fenotify-1.alert: CEF:0|FireEye|CMS|7|DM|domain-match|1|rt=Feb 09 2015 "
    "12:28:26 UTC dvc=10.201.78.57 cn3Label=cncPort cn3=53 spt=54527 dst=10.0.0.9 cs1=Trojan.Generic.DNS"
)
NOW = 1_781_524_800_000  # 15 June 2026


def parse(text: str, **options: Any) -> dict[str, Any]:
    (record,) = FireEyeParser(Settings(options, LOCATION))(text)
    return record


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now", lambda: NOW)


def test_metron_loses_the_last_pairs_and_the_destination_port() -> None:
    record = parse(NOTICE)
    assert record["dst_potimestamp"] == "53"
    assert record["ip_src_port"] == "54527"
    assert not record.keys() & {"ip_dst_port", "ip_dst_addr", "malware"}


def test_corrected_keeps_all_pairs() -> None:
    record = parse(NOTICE, corrected=True)
    assert record["ip_dst_port"] == "53"
    assert record["ip_dst_addr"] == "10.0.0.9"
    assert record["malware"] == "Trojan.Generic.DNS"


def test_a_notice_without_a_time_has_the_timestamp_0_or_now_if_corrected() -> None:
    text = "a b c d e.f g"
    assert parse(text)["timestamp"] == 0
    assert parse(text, corrected=True)["timestamp"] == NOW


def test_a_time_more_than_four_days_ahead_is_of_last_year_if_corrected() -> None:
    text = NOTICE.replace("Mar 19", "Dec 31")
    year = 365 * 86_400_000
    assert parse(text)["timestamp"] - parse(text, corrected=True)["timestamp"] == year


def test_the_loss_is_a_warning_of_the_configuration() -> None:
    ((location, message),) = FireEyeParser(Settings({}, LOCATION)).find_warnings()
    assert location == LOCATION
    assert "set corrected to true" in message
    assert not list(FireEyeParser(Settings({"corrected": True}, LOCATION)).find_warnings())


def test_a_short_notice_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^Unable to parse a b: expected at least 5 words, got 2$"):
        parse("a b")


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a-" * 500_000, "=" * 1_000_000, "a b c d e.f |" + "a=b " * 300_000])
def test_long_messages_take_linear_time(text: str) -> None:
    """Metron's regular expression for pairs takes quadratic time here: hours."""
    if len(text.split()) < 5:
        with pytest.raises(ValueError, match="expected at least 5 words"):
            parse(text)
    else:
        assert parse(text)["original_string"] == text
