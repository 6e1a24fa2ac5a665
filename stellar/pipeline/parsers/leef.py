"""The parser of the Log Event Extended Format. Each line of a raw message is a record."""

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
)
from stellar.pipeline.parsers.lines import parse_lines
from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.parsers.syslog_time import parse_syslog_time
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

_START = re.compile(r"LEEF: ?([^|]{0,20})\|")
_HEADER = re.compile(r"([^|]*)\|" * 4)
_DELIMITER = re.compile(r"([^|=]*)\|")
_HEX_DELIMITER = re.compile(r"0?x([0-9A-Fa-f]{2,4})", re.ASCII)
_FIELDS = ("DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEvent")
_DATES = [f"MMM dd yyyy HH:mm:ss{rest}" for rest in (".SSS zzz", ".SSS", "")]


class LeefParser:
    """Parses lines of LEEF 1.0 and 2.0, and of version 0, which has the extensions of CEF."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        self._read_port = PortReader()

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        return parse_lines(text, self._record)

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _record(self, line: str) -> Record:
        start, match = _find_header(line)
        record: Record = dict(zip(_FIELDS, match.groups(), strict=True))
        time, host = read_syslog_header(line[: start.start()])
        if host is not None:
            record["host"] = host
        _read_attributes(start[1], line, match.end(), record)
        rename(record, "dst", "ip_dst_addr")
        rename(record, "src", "ip_src_addr")
        self._read_port(record, "dstPort", "ip_dst_port")
        self._read_port(record, "srcPort", "ip_src_port")
        record["timestamp"] = _parse_time(record) if "devTime" in record else parse_header_time(time)
        record["original_string"] = line
        return record


def _find_header(line: str) -> tuple[re.Match[str], re.Match[str]]:
    """Return the start, with the version, and the parts of the last complete header in a line."""
    starts = list(_START.finditer(line))
    for start in reversed(starts):
        match = _HEADER.match(line, start.end())
        if match and start[1] in ("", "0", "1.0", "2.0"):
            return start, match
    if not starts:
        raise ValueError("no LEEF header: expected 'LEEF:1.0|' or 'LEEF:2.0|' in the line")
    if starts[-1][1] not in ("", "0", "1.0", "2.0"):
        raise ValueError(f"unknown LEEF version {quote(starts[-1][1])}: expected 1.0, 2.0 or 0")
    raise ValueError("invalid LEEF header: expected 'LEEF:1.0|vendor|product|version|event|'")


def _read_attributes(version: str, line: str, at: int, record: Record) -> None:
    """Read the attributes, which start at an offset, into a record."""
    delimiters = "\t"
    if version in ("0", "2.0") and (match := _DELIMITER.match(line, at)):
        at = match.end()
        delimiters = _parse_delimiter(match[1]) or "\t"
    attributes = line[at:].removeprefix(" ")
    if version == "0":
        add_labelled(read_extension(attributes), record)
        return
    for pair in re.split(rf"(?<!\\)[{re.escape(delimiters)}]", attributes):
        key, equals, value = pair.partition("=")
        if equals:
            record[key] = value
        elif pair:
            raise ValueError(
                f"invalid attribute {quote(pair)}: expected key=value, with {quote(delimiters)} between attributes"
            )


def _parse_delimiter(text: str) -> str:
    """Return the characters of which each is a delimiter; one character, or its code as x09 or 0x09, is usual."""
    match = _HEX_DELIMITER.fullmatch(text)
    return chr(int(match[1], 16)) if match else text


def _parse_time(record: Record) -> int:
    text = record["devTime"]
    pattern = record.get("devTimeFormat")
    found = parse_usual_time(text) if pattern is None else None
    if found is None:
        found = parse_device_time(text, _DATES if pattern is None else [pattern])
    if found is not None:
        return found
    try:
        return parse_syslog_time(text, UTC)
    except ValueError as error:
        raise ValueError(f"devTime field present in LEEF but cannot be parsed: {quote(text)}") from error
