"""Parsers of the pipeline, compared with equivalent Python functions that use `re`, `csv` and `json`.

The functions parse lines of the measured form only, where a parser accepts every form of its format. The JVM's times
are those of Metron's parsers, measured on another machine, so they show only the order of magnitude.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.language import BY_HAND
from benchmarks.measure import Slice, interleave, over
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.tasks import Record

DATA = Path(__file__).parent / "data" / "java_parser_speed.json"
REPEATS = 10

Parse = Callable[[str], Record]


# -- By hand ----------------------------------------------------------------------------------------------------------

_SQUID = re.compile(r"(\d+\.\d+) +(\d+) (\S+) (\w+)/(\d+) (\d+) (\S+) (\S+) - \w+/(\S+) \S+")
_SQUID_FIELDS = ("timestamp", "elapsed", "ip_src_addr", "action", "code", "bytes", "method", "url", "ip_dst_addr")


def squid(line: str) -> Record:
    match = _SQUID.search(line)
    assert match is not None
    record: Record = dict(zip(_SQUID_FIELDS, match.groups(), strict=True))
    for name in ("elapsed", "code", "bytes"):
        record[name] = int(record[name])
    record["timestamp"] = int(record["timestamp"].replace(".", ""))
    record["original_string"] = line
    return record


_COLUMNS = ("timestamp", "ip_src_addr", "ip_dst_addr", "ip_dst_port", "protocol", "msg", "bytes")


def row(line: str) -> Record:
    (values,) = csv.reader([line])
    record: Record = {name: value.strip() for name, value in zip(_COLUMNS, values, strict=True)}
    record["timestamp"] = int(record["timestamp"])
    record["original_string"] = line
    return record


def json_object(line: str) -> Record:
    record: Record = {}
    _flatten(json.loads(line), "", record)
    return record


def _flatten(value: Record, prefix: str, record: Record) -> None:
    for name, item in value.items():
        if isinstance(item, dict):
            _flatten(item, f"{prefix}{name}.", record)
        else:
            record[prefix + name] = item


_CEF = re.compile(r"<\d+>\w+ +\d+ [\d:]+ (\S+) CEF: ?0\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|(\d+)\|(.*)")
_PAIR = re.compile(r"(\S+)=(.*?)(?=\s+\S+=|$)")
_CEF_FIELDS = ("host", "DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEvent", "Name")
_RENAMED = {"src": "ip_src_addr", "dst": "ip_dst_addr", "act": "deviceAction", "app": "protocol"}
_PORTS = {"spt": "ip_src_port", "dpt": "ip_dst_port"}


def cef(line: str) -> Record:
    match = _CEF.fullmatch(line)
    assert match is not None
    record: Record = dict(zip(_CEF_FIELDS, match.groups(), strict=False))
    record["Severity"] = int(match[7])
    labels = {}
    for name, value in _PAIR.findall(match[8]):
        if name.endswith("Label"):
            labels[name[:-5]] = value
        else:
            record[name] = value
    for name, label in (*labels.items(), *_RENAMED.items()):
        if name in record:
            record[label] = record.pop(name)
    for name, port in _PORTS.items():
        record[port] = int(record.pop(name))
    time = datetime.strptime(record["rt"], "%b %d %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    record["timestamp"] = int(time.timestamp()) * 1000
    record["original_string"] = line
    return record


_SYSLOG = re.compile(r"<(\d+)>(\d+) (\S+) (\S+) (\S+) (\S+) (\S+) ((?:\[.*?\])+) ?(.*)")
_ELEMENT = re.compile(r"\[(\S+) ([^\]]*)\]")
_PARAMETER = re.compile(r'(\S+)="(.*?)"')
_SYSLOG_FIELDS = ("pri", "version", "timestamp", "hostName", "appName", "procId", "msgId")


def syslog(line: str) -> Record:
    match = _SYSLOG.fullmatch(line)
    assert match is not None
    record: Record = {
        f"syslog.header.{name}": value for name, value in zip(_SYSLOG_FIELDS, match.groups(), strict=False)
    }
    priority = int(match[1])
    record["syslog.header.facility"] = str(priority >> 3)
    record["syslog.header.severity"] = str(priority & 7)
    for identifier, parameters in _ELEMENT.findall(match[8]):
        for name, value in _PARAMETER.findall(parameters):
            record[f"syslog.structuredData.{identifier}.{name}"] = value
    record["syslog.message"] = match[9].strip()
    record["timestamp"] = int(datetime.fromisoformat(match[3]).timestamp() * 1000)
    record["original_string"] = line
    return record


FUNCTIONS: dict[str, Parse] = {
    "grok_squid": squid,
    "csv": row,
    "json": json_object,
    "cef": cef,
    "syslog5424": syslog,
}
LIMITS = {name: Limit(f"the parser of {name}, to Python written by hand", must=2, aim=1.5) for name in FUNCTIONS}


# -- Measurement ------------------------------------------------------------------------------------------------------


@cache
def cases() -> list[dict[str, Any]]:
    """Return the measured parsers, with their options, lines and times on the JVM."""
    found: list[dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return found


def make_parser(case: dict[str, Any]) -> Parse:
    """Return a function that parses a line by the parser of a case."""
    from stellar.pipeline.config.locations import SourceLocation
    from stellar.pipeline.parsers import Settings, find_parser_factory

    location = SourceLocation("benchmark")
    parser = find_parser_factory(case["parser"], location)(Settings(case["options"], location))

    def parse(line: str) -> Any:
        (record,) = parser(line)
        return record

    return parse


def parsers(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure each parser and the equivalent Python function."""
    if peers["stellar"] is None:
        return GroupResult(["stellar is not installed\n"], [])
    from stellar.java.match_timer import match_timer

    slices: dict[tuple[str, str], Slice] = {}
    for case in cases():
        lines = case["lines"] * REPEATS
        slices[case["name"], BY_HAND] = over(FUNCTIONS[case["name"]], lines)
        slices[case["name"], "stellar"] = over(make_parser(case), lines)
    counts = {case["name"]: len(case["lines"]) * REPEATS for case in cases()}
    with match_timer():  # as in the command `run`
        taken = {key: fewest / counts[key[0]] for key, fewest in interleave(slices, share).items()}
    rows = [
        [
            case["name"],
            Quantity(taken[case["name"], BY_HAND] / 1000, "µs"),
            Quantity(taken[case["name"], "stellar"] / 1000, "µs"),
            ratio(taken[case["name"], "stellar"] / taken[case["name"], BY_HAND]),
            Quantity(case["java_ns"] / 1000, "µs"),
        ]
        for case in cases()
    ]
    table = Table(
        "Parsers: CPU time of a line; that of the JVM is from another machine",
        ["parser", BY_HAND, "stellar", "stellar / by hand", "JVM"],
        rows,
    )
    return GroupResult(
        [table],
        [Finding(limit, taken[name, "stellar"] / taken[name, BY_HAND]) for name, limit in LIMITS.items()],
    )
