"""The parser of Sourcefire alerts."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers.sourcefire import SourcefireParser

LOCATION = SourceLocation("parsers/sourcefire.json", "parserConfig")
FORM = "expected an alert that ends with '{TCP} 10.0.0.1:80 -> 10.0.0.2:1024'"


def parse(text: str) -> dict[str, Any]:
    (record,) = SourcefireParser(Settings({}, LOCATION))(text)
    return record


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no connection", f"no '{{' in the alert: {FORM}"),
        ("{TCP 1.1.1.1 -> 2.2.2.2", f"no '}}' in the alert: {FORM}"),
        ("{TCP} 1.1.1.1", f"no '->' in the alert: {FORM}"),
        ("{a->b} c", f"'->' precedes '}}': {FORM}"),
        ("{TCP} 1.1.1.1: -> 2.2.2.2:5", f"endpoint '1.1.1.1:' has no port: {FORM}"),
    ],
)
def test_an_unreadable_alert_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        parse(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "signature", "original"),
    [
        ("x [1:2:3] y {TCP} a -> b\n", "[1:2:3]", "x  [1:2:3]  y {TCP} a -> b"),
        ("x [1:2:3] y [4:5:6] z {TCP} a -> b", "[4:5:6]", "x [1:2:3] y  [4:5:6]  z {TCP} a -> b"),
        ("x [1:2:3]\ny {TCP} a -> b", "", "x [1:2:3]\ny {TCP} a -> b"),
        ("x [1:2:34] {TCP} a -> b", "", "x [1:2:34] {TCP} a -> b"),
    ],
)
def test_the_signature_is_the_last_one_of_the_last_line(text: str, signature: str, original: str) -> None:
    record = parse(text)
    assert record["signature_id"] == signature
    assert record["original_string"] == original


def test_a_long_alert_takes_linear_time() -> None:
    assert parse("[1:2:3" * 300_000 + "{TCP} a -> b")["signature_id"] == ""
