"""The parser of Lancope StealthWatch alarms, which Logstash sends as JSON with the alarm in `message`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from stellar.java.date_patterns import parse_date
from stellar.java.timezones import DEFAULT
from stellar.language.conversions import JAVA_WHITESPACE, to_string
from stellar.pipeline.parsers.json_simple import format_json, parse_json
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

_DATE, _SOURCE, _DESTINATION = 5, 6, 7
_PATTERN = "yyyy-MM-dd HH:mm:ss"


class LancopeParser:
    """Parses the sixth to eighth word of `message`: date, source and destination. Other keys are unchanged."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        pass

    def __call__(self, text: str) -> Iterator[Record]:
        record = parse_json(text)
        message = _message(record)
        words = message.rstrip(" ").split(" ")
        if len(words) <= _DESTINATION:
            raise ValueError(f"message has {len(words)} words, expected at least {_DESTINATION + 1}")
        date = words[_DATE].replace("T", " ").replace("Z", " ").strip(JAVA_WHITESPACE)
        timestamp = parse_date(_PATTERN, date, DEFAULT)
        if timestamp is None:
            raise ValueError(f"invalid date {quote(words[_DATE])} in message: expected the form 2014-07-17T15:58:30Z")
        record |= {"ip_src_addr": words[_SOURCE], "ip_dst_addr": words[_DESTINATION], "timestamp": timestamp}
        record.pop("@timestamp", None)
        record.pop("message", None)
        record["original_string"] = message
        yield record

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)


def _message(record: Any) -> str:
    if not isinstance(record, dict):
        raise ValueError("expected a JSON object")
    message = record.get("message")
    if message is None:
        raise ValueError("the object has no message")
    return format_json(message) if isinstance(message, dict | list) else to_string(message)
