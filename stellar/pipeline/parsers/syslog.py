"""The syslog parsers, for RFC 5424 and RFC 3164. Each line of a raw message is a record."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from stellar.pipeline.parsers.lines import is_blank, report_once, split_lines, trim
from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.parsers.syslog_time import parse_iso_time, parse_syslog_time, zone_option
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.util.clock import now
from stellar.util.suggestions import suggest_name

_PRIORITY, _FACILITY, _SEVERITY, _VERSION, _TIME, _HOST, _APPLICATION, _PROCESS, _MESSAGE_ID = (
    f"syslog.header.{name}"
    for name in ("pri", "facility", "severity", "version", "timestamp", "hostName", "appName", "procId", "msgId")
)
_NAMES_5424 = (_TIME, _HOST, _APPLICATION, _PROCESS, _MESSAGE_ID)
_NUMBERS = tuple(map(str, range(1000 // 8)))
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)"
# A name may be empty; hostname, application, process and message id are printable ASCII
_NAMES = r"([!-~]*) ([!-~]*) ([!-~]*) ([!-~]*)"
_HEADER_5424 = re.compile(rf"(?:<(\d{{1,3}})>)?(?:([1-9]\d{{0,2}}) ?)?(-|{_ISO}) {_NAMES} (?=[-\[])", re.ASCII)
_ELEMENT = re.compile(r'\[([^ \]="]+)((?: [^ \]="]+="(?:[^"\\\]]|\\.)*+")*+)\]', re.DOTALL)
_PARAMETER = re.compile(r' ([^ \]="]+)="((?:[^"\\\]]|\\.)*+)"', re.DOTALL)
_HEADER_3164 = re.compile(
    rf"(?:<(\d{{1,3}})>)? ?({_ISO}|[A-Za-z]{{3}} +\d{{1,2}}(?: +\d{{4}})? \d\d:\d\d:\d\d(?:\.\d{{1,9}})?)"
    r" ([!-~\x80-\U0010ffff]*)(?: (.*))?",
    re.ASCII | re.DOTALL,
)


class SyslogParser:
    """The common base of the syslog parsers."""

    def __init__(self, settings: Settings) -> None:
        self.zone = zone_option(settings, "deviceTimeZone")

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        if "\n" not in text and "\r" not in text and text:
            return (self._parse_line(text, text),)
        lines = split_lines(text)
        if len(lines) == 1:
            return (self._parse_line(lines[0], text),)
        return report_once(self._parse_line(line, text) for line in lines)

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _parse_line(self, line: str, text: str) -> Record | Unreadable:
        try:
            record = self._fields(line)
        except ValueError as error:
            blank = ValueError("syslogLine cannot be null: the line is blank")
            return Unreadable(line, blank if is_blank(line) else error)
        record["original_string"] = text
        return record

    def _fields(self, line: str) -> Record:
        """Return the fields of a line, with its timestamp. Raises ValueError for another form."""
        raise NotImplementedError


class Syslog5424Parser(SyslogParser):
    """Parses lines by RFC 5424."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"nilPolicy", "deviceTimeZone"})
    # The value of a header field that is `-`, or no field at all
    NIL_POLICIES: ClassVar[dict[str, tuple[str | None, ...]]] = {"OMIT": (), "NULL": (None,), "DASH": ("-",)}

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        policy = settings.text("nilPolicy", "OMIT")
        if policy not in self.NIL_POLICIES:
            hint = suggest_name(policy, self.NIL_POLICIES)
            raise (settings.location / "nilPolicy").error(f"unknown policy {quote(policy)}; {hint}")
        self.nil = self.NIL_POLICIES[policy]

    def _fields(self, line: str) -> Record:
        match = _HEADER_5424.match(line)
        if match is None:
            raise ValueError(
                "invalid syslog header: expected '<priority>version time host application process id', RFC 5424"
            )
        priority, version, time, host, application, process, message_id = values = match.groups()
        if None in values or "-" in values:
            record = self._fields_with_nil(values)
        else:
            number = int(priority)
            record = {
                _PRIORITY: priority,
                _FACILITY: _NUMBERS[number >> 3],
                _SEVERITY: _NUMBERS[number & 7],
                _VERSION: version,
                _TIME: time,
                _HOST: host,
                _APPLICATION: application,
                _PROCESS: process,
                _MESSAGE_ID: message_id,
            }
        _read_rest(line, match.end(), record)
        record["timestamp"] = now() if time == "-" else parse_iso_time(time)
        return record

    def _fields_with_nil(self, values: tuple[str | None, ...]) -> Record:
        """Return the fields of a header in which some are missing, or are `-`."""
        priority, version, *others = values
        record = _priority_fields(priority)
        if version:
            record[_VERSION] = version
        for name, value in zip(_NAMES_5424, others, strict=True):
            if value != "-":
                record[name] = value
            elif self.nil:
                (record[name],) = self.nil
        return record


def _read_rest(line: str, at: int, record: Record) -> None:
    """Read the structured data and the message, which start at an offset, into a record."""
    if line[at] == "-":
        at += 1
    else:
        element = _ELEMENT.match(line, at)
        if element is None:
            raise ValueError(f'invalid structured data at offset {at}: expected [id name="value" …]')
        while element is not None:
            prefix = f"syslog.structuredData.{element[1]}."
            for name, value in _PARAMETER.findall(line, element.end(1), element.end(2)):
                record[prefix + name] = value
            at = element.end()
            element = _ELEMENT.match(line, at) if line[at : at + 1] == "[" else None
    if message := line[at:].removeprefix(" "):
        record["syslog.message"] = trim(message)


class Syslog3164Parser(SyslogParser):
    """Parses lines by RFC 3164, with its own or an ISO time."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"nilPolicy", "deviceTimeZone"})

    def _fields(self, line: str) -> Record:
        match = _HEADER_3164.fullmatch(line)
        if match is None:
            raise ValueError("invalid syslog header: expected '<priority>time host message', RFC 3164")
        priority, time, host, message = match.groups()
        return {
            **_priority_fields(priority),
            _TIME: time,
            _HOST: host,
            "syslog.message": trim(message or ""),
            "timestamp": parse_syslog_time(time, self.zone),
        }


def _priority_fields(priority: str | None) -> Record:
    if priority is None:
        return {}
    facility, severity = divmod(int(priority), 8)
    return {_PRIORITY: priority, _FACILITY: str(facility), _SEVERITY: str(severity)}
