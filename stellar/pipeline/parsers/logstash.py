"""The parser of Logstash events: JSON objects with `message` and `@timestamp`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from stellar.java.date_patterns import parse_date
from stellar.java.timezones import DEFAULT
from stellar.pipeline.parsers.json_simple import format_json, parse_json
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.records import Record

_REMOVED = ("@version", "type", "host", "tags")
_RENAMED = {
    "message": "original_string",
    "src_ip": "ip_src_addr",
    "dst_ip": "ip_dst_addr",
    "src_port": "ip_src_port",
    "dst_port": "ip_dst_port",
}
_PATTERN = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"


class LogstashParser:
    """Parses events: Logstash's own keys are removed, and those of the connection get Metron's names."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        pass

    def __call__(self, text: str) -> Iterator[Record]:
        record = parse_json(text)
        if not isinstance(record, dict):
            raise ValueError("expected a JSON object")
        for key in _REMOVED:
            record.pop(key, None)
        for key, field in _RENAMED.items():
            if key in record:
                record[field] = record.pop(key)
        record["timestamp"] = _timestamp(record.pop("@timestamp", None))
        yield record

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)


def _timestamp(value: object) -> int:
    timestamp = parse_date(_PATTERN, value, DEFAULT) if isinstance(value, str) else None
    if timestamp is None:
        raise ValueError(f"invalid @timestamp {format_json(value)}: expected the form 2014-07-17T15:56:05.992Z")
    return timestamp
