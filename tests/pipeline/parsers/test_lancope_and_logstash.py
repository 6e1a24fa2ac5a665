"""The parsers of Lancope alarms and Logstash events."""

from __future__ import annotations

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers.lancope import LancopeParser
from stellar.pipeline.parsers.logstash import LogstashParser

SETTINGS = Settings({}, SourceLocation("parsers/x.json", "parserConfig"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "expected a JSON object"),
        ("{}", "the object has no message"),
        ('{"message":null}', "the object has no message"),
        ('{"message":"too short"}', "message has 2 words, expected at least 8"),
        (
            '{"message":"a b c d e today 10.0.0.1 10.0.0.2"}',
            "invalid date 'today' in message: expected the form 2014-07-17T15:58:30Z",
        ),
        ("{", "invalid JSON: unexpected end"),
    ],
)
def test_an_unreadable_alarm_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        list(LancopeParser(SETTINGS)(text))
    assert str(raised.value) == message


@pytest.mark.parametrize("timestamp", ["null", "5", '"2014-07-17T15:56:05Z"', '"2014-07-17T15:56:05.992+00:00"'])
def test_an_event_without_a_readable_time_is_an_error(timestamp: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid @timestamp .*: expected the form 2014-07-17T15:56:05.992Z$"):
        list(LogstashParser(SETTINGS)(f'{{"message":"m","@timestamp":{timestamp}}}'))


def test_six_decimals_are_read_as_milliseconds() -> None:
    (record,) = LogstashParser(SETTINGS)('{"@timestamp":"1970-01-01T00:00:00.992123Z"}')
    assert record["timestamp"] == 992_123
