"""The parser of the Common Event Format. Each line of a raw message is a record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from typing import ClassVar

from stellar.pipeline.parsers.extensions import (
    PortReader,
    add_labelled,
    parse_device_time,
    parse_header_time,
    parse_usual_time,
    read_extension,
    read_syslog_header,
    rename,
    to_int,
)
from stellar.pipeline.parsers.lines import parse_lines
from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.parsers.syslog_time import parse_syslog_time
from stellar.pipeline.records import Record

_START = re.compile(r"CEF: ?\d+(?:\.\d+)?\|", re.ASCII)
# Six parts with a bar after each, which `\` protects
_HEADER = re.compile(r"((?:\\[\\|]|[^|])*+)\|" * 6)
_FIELDS = ("DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEvent", "Name")
_ESCAPED = re.compile(r"\\([\\|])")
_SEVERITIES = {"Low": 2, "Medium": 5, "High": 8, "Very-High": 10}
_RENAMED = (("dst", "ip_dst_addr"), ("src", "ip_src_addr"), ("act", "deviceAction"), ("app", "protocol"))
_PORTS = (("dpt", "ip_dst_port"), ("spt", "ip_src_port"))
_DATES = [
    *(f"MMM dd {year}HH:mm:ss{rest}" for year in ("yyyy ", "") for rest in (".SSS zzz", ".SSS", " zzz", "")),
    "dd MMMM yyyy HH:mm:ss",
]


class CefParser:
    """Parses lines of CEF, with or without a syslog header."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        self._read_port = PortReader()

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        return parse_lines(text, self._record)

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _record(self, line: str) -> Record:
        start, match = _find_header(line)
        *parts, severity = match.groups()
        record: Record = {
            name: _ESCAPED.sub(r"\1", part) if "\\" in part else part for name, part in zip(_FIELDS, parts, strict=True)
        }
        record["Severity"] = _parse_severity(severity)
        time, host = read_syslog_header(line[:start])
        if host is not None:
            record["host"] = host
        add_labelled(read_extension(line[match.end() :]), record)
        for old, new in _RENAMED:
            rename(record, old, new)
        for old, new in _PORTS:
            self._read_port(record, old, new)
        record["timestamp"] = _parse_receipt_time(record["rt"]) if "rt" in record else parse_header_time(time)
        record["original_string"] = line
        return record


def _find_header(line: str) -> tuple[int, re.Match[str]]:
    """Return the start and the parts of the last complete header in a line."""
    starts = list(_START.finditer(line))
    for start in reversed(starts):
        if match := _HEADER.match(line, start.end()):
            return start.start(), match
    if starts:
        raise ValueError("invalid CEF header: expected 'CEF:0|vendor|product|version|event|name|severity|'")
    raise ValueError("no CEF header: expected 'CEF:0|' in the line")


def _parse_severity(text: str) -> int:
    if len(text) >= 3:
        return _SEVERITIES.get(text, 0)
    number = to_int(text)
    if number is None:
        raise ValueError(f'For input string: "{text}": expected a severity of 0 to 10, Low, Medium, High or Very-High')
    return number


def _parse_receipt_time(text: str) -> int:
    found = parse_usual_time(text)
    if found is None:
        found = parse_device_time(text, _DATES)
    if found is not None:
        return found
    try:
        return parse_syslog_time(text, UTC)
    except ValueError as error:
        raise ValueError(f"rt field present in CEF but cannot be parsed: {error}") from error
