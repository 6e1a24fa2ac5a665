"""The parser of Cisco ASA firewalls: a syslog header, and messages of the kinds that have a pattern."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, tzinfo
from functools import cache
from typing import Any, ClassVar

from stellar.java.date_patterns import MONTHS
from stellar.java.grok import Grok, NoMatch
from stellar.pipeline.parsers.options import read_match_timeout
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.parsers.pattern_files import load_shipped_file
from stellar.pipeline.parsers.syslog_time import parse_syslog_time, zone_option
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

_HEADER = "CISCO_TAGGED_SYSLOG"
_TIME = re.compile(r"[A-Z][a-z]{2}(?:\s{2}\d|\s\d{2}) \d{2}:\d{2}:\d{2}", re.ASCII)
_TIME_WITH_YEAR = re.compile(r"([A-Z][a-z]{2}) (\d{2}) (\d{4}) (\d{2}:\d{2}:\d{2})", re.ASCII)
_MONTH_NUMBERS = {name[:3]: number for number, name in enumerate(MONTHS, 1)}

SEVERITIES = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
FACILITIES = {
    **dict(enumerate(("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp"))),
    10: "authpriv",
    11: "ftp",
    15: "cron",
    **{16 + number: f"local{number}" for number in range(8)},
}

# The severity of the messages that have a pattern. The tags of a pattern are those of the numbers in its name
_SEVERITIES_OF_TAGS = {
    "1": "106021",
    "2": "106001 106006 106007 106010",
    "3": "106014 313001 313004 313008",
    "4": "106023 313005 402117 402119 419001 419002 500004 733100",
    "5": "106100 713041",
    "6": "106015 110002 302010 302013 302014 302015 302016 302020 302021 305011 305012 602303 602304 713172",
    "7": "609001 609002 710001 710002 710003 710005 710006",
}
# The captures of a message that become fields
_FIELDS = {
    "src_ip": "ip_src_addr",
    "src_port": "ip_src_port",
    "dst_ip": "ip_dst_addr",
    "dst_port": "ip_dst_port",
    "protocol": "protocol",
    "action": "action",
}
_PORTS = frozenset({"src_port", "dst_port"})


class BasicAsaParser:
    """Parses records of ASA firewalls. A message of another kind has the fields of its header only."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"deviceTimeZone", "matchTimeoutMs"})

    def __init__(self, settings: Settings) -> None:
        has_zone = settings.options.get("deviceTimeZone") is not None
        self.zone: tzinfo = zone_option(settings, "deviceTimeZone") if has_zone else UTC
        self.timeout_ms = read_match_timeout(settings)
        self.header = self._compile(_HEADER)
        self.messages: dict[str, Grok] = {}  # compiled when a message of the kind occurs

    def __call__(self, text: str) -> Iterator[Record]:
        try:
            yield self._parse(text)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; increase matchTimeoutMs in parserConfig") from error

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _parse(self, text: str) -> Record:
        try:
            header = self.header.match(text)
        except NoMatch:
            raise NoMatch(f"[Metron] Message '{text}' does not match pattern '%{{{_HEADER}}}'") from None
        record = {"original_string": text, **self._read_header(header)}
        return record | self._read_message(header["CISCOTAG"], header["message"])

    def _compile(self, name: str) -> Grok:
        return Grok(f"%{{{name}}}", load_shipped_file("asa"), self.timeout_ms, name)

    def _read_header(self, header: Record) -> Record:
        priority = header["syslog_pri"]
        if not isinstance(priority, int):
            raise ValueError(f"invalid priority <{priority}>: expected an integer of 32 bits")
        fields: Record = {
            "timestamp": _parse_time(header["CISCOTIMESTAMP"], self.zone),
            "ciscotag": header["CISCOTAG"],
            "syslog_severity": SEVERITIES[priority & 7],
            "syslog_facility": FACILITIES.get(priority >> 3, "unknown"),
        }
        return fields | {name: header[name] for name in ("syslog_host", "syslog_prog") if header[name] is not None}

    def _read_message(self, tag: str, message: object) -> Record:
        """Return the fields of a message; none if the tag has no pattern, or if the pattern does not match."""
        pattern = _find_pattern(tag)
        if pattern is None:
            return {}
        if not isinstance(message, str):
            raise ValueError(f"invalid message of %{tag}: expected a string, got the number {message}")
        grok = self.messages.get(pattern)
        if grok is None:
            grok = self.messages[pattern] = self._compile(pattern)
        try:
            captures = grok.match(message)
        except NoMatch:
            return {}
        return {_FIELDS[name]: _check(name, value) for name in _FIELDS if (value := captures.get(name)) is not None}


def _check(name: str, value: Any) -> Any:
    """Return the value of a capture. Raises ValueError if it has the type of another field."""
    if isinstance(value, int) is not (name in _PORTS):
        expected = "an integer of 32 bits" if name in _PORTS else "a string"
        raise ValueError(f"invalid {name} {quote(value)}: expected {expected}")
    return value.lower() if name in ("protocol", "action") else value


def _parse_time(text: str, zone: tzinfo) -> int:
    if _TIME.fullmatch(text):
        return parse_syslog_time(text, zone)
    match = _TIME_WITH_YEAR.fullmatch(text)
    if match is None or not int(match[3]):
        raise ValueError(f"Unsupported date format: '{text}'")
    # A day that the month does not have is its last day
    month, year = match[1], int(match[3])
    day = min(int(match[2]), calendar.monthrange(year, _MONTH_NUMBERS[month])[1])
    return parse_syslog_time(f"{month} {day:02} {match[3]} {match[4]}", zone)


@cache
def _patterns_by_number() -> dict[str, str]:
    """Return the name of the pattern for each number of a message."""
    names = [name for name in load_shipped_file("asa") if name.startswith("CISCOFW")]
    return {number: name for name in names for number in name.removeprefix("CISCOFW").split("_")}


def _find_pattern(tag: str) -> str | None:
    """Return the name of the pattern for a tag, such as ASA-6-302014."""
    product, severity, number = [*tag.split("-", 2), "", ""][:3]
    if product != "ASA" or number not in _SEVERITIES_OF_TAGS.get(severity, "").split():
        return None
    return _patterns_by_number().get(number)
