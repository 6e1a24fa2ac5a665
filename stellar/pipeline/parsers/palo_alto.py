"""The parser of Palo Alto firewall logs: separated values whose layout depends on the type and version of the log.

A layout is a string with the field of each value. `-` skips a value, and `"` after a field removes the quotes around
its value. The number of values determines the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.util.clock import now

_LEVELS = "dg_hier_level_1 dg_hier_level_2 dg_hier_level_3 dg_hier_level_4"
_LEVELS_UNQUOTED = _LEVELS.replace(" ", '" ') + '"'
_DEVICE = 'vsys_name" device_name"'
_TUNNEL = "tunnel_id monitor_tag parent_session_id parent_session_start_time tunnel_type"

_COMMON = 'palo_alto_domain receive_time serial type subtype" config_version time_generated'
_SESSION = (
    'ip_src_addr ip_dst_addr natsrc natdst rule" srcuser" dstuser" app" vsys" from" to" inbound_if" outbound_if" '
    'log_action" start sessionid repeatcnt ip_src_port ip_dst_port natsport natdport flags protocol" action"'
)
_THREAT = (
    'url" threatid category" severity" direction" seqno actionflags" srcloc" dstloc" - contenttype" pcap_id '
    'filedigest" cloud"'
)
_THREAT_FILE = 'user_agent" filetype" xff" referer" sender" subject" recipient" reportid"'
_THREAT_70 = f"url_idx {_THREAT_FILE} {_LEVELS} {_DEVICE}"
_THREAT_80 = f"- source_vm_uuid destination_vm_uuid http_method {_TUNNEL} threat_category content_version"
_TRAFFIC = (
    'bytes bytes_sent bytes_received packets start elapsed category" - seqno actionflags" srcloc" dstloc" - '
    "pkts_sent pkts_received"
)
_TRAFFIC_70 = f'{_LEVELS} {_DEVICE} action_source"'
_SYSTEM = 'vsys event_id object - - module severity" description" seqno" actionflags"'
_CONFIG = 'host vsys command admin client" result" configuration_path"'
_CONFIG_CHANGE = 'before_change_detail" after_change_detail"'
_CONFIG_80 = f'seqno" actionflags" {_LEVELS_UNQUOTED} {_DEVICE}'


@dataclass(frozen=True)
class _Kind:
    """A type of log.

    fallback: the layout for a number of values that no version has
    versions: version and layout by the number of values
    """

    fallback: str
    versions: dict[int, tuple[int, str]]


_THREAT_LOG = f"{_SESSION} {_THREAT}"
_TRAFFIC_LOG = f"{_SESSION} {_TRAFFIC}"

KINDS = {
    "THREAT": _Kind(
        _THREAT_LOG,
        {
            45: (60, _THREAT_LOG),
            53: (61, f"{_THREAT_LOG} {_THREAT_FILE}"),
            61: (70, f"{_THREAT_LOG} {_THREAT_70}"),
            72: (80, f"{_THREAT_LOG} {_THREAT_70} {_THREAT_80}"),
        },
    ),
    "TRAFFIC": _Kind(
        _TRAFFIC_LOG,
        {
            46: (60, _TRAFFIC_LOG),
            47: (61, f'{_TRAFFIC_LOG} session_end_reason"'),
            54: (70, f'{_TRAFFIC_LOG} session_end_reason" {_TRAFFIC_70}'),
            61: (
                80,
                f'{_TRAFFIC_LOG} session_end_reason" {_TRAFFIC_70} source_vm_uuid destination_vm_uuid {_TUNNEL}',
            ),
        },
    ),
    "SYSTEM": _Kind("", {17: (61, _SYSTEM), 23: (80, f"{_SYSTEM} {_LEVELS} {_DEVICE}")}),
    "CONFIG": _Kind(
        "",
        {
            16: (61, f'{_CONFIG} seqno" actionflags"'),
            18: (61, f'{_CONFIG} seqno" actionflags" {_CONFIG_CHANGE}'),
            22: (80, f"{_CONFIG} {_CONFIG_80}"),
            24: (80, f"{_CONFIG} {_CONFIG_CHANGE} {_CONFIG_80}"),
        },
    ),
}

# The schemes of Java's URL, whose host is a field
_URL = re.compile(r"(?:url:)?(?:https?|ftp|file|jar|mailto|jrt):([^#?]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\]]{2,}\]|(?:[^:\[][^:]*)?)(?::\+?[0-9]*)?")
_QUOTE_OR_COMMA = re.compile('[",]')


class PaloAltoParser:
    """Parses THREAT, TRAFFIC, SYSTEM and CONFIG logs. All values are strings, and empty ones are omitted."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        pass

    def __call__(self, text: str) -> Iterator[Record]:
        values = split_unquoted(text)
        kind = values[3].strip(JAVA_WHITESPACE) if len(values) > 3 else None
        if kind not in KINDS:
            raise ValueError(f"unknown log type {quote(kind)} in the fourth value: expected {', '.join(sorted(KINDS))}")
        version, layout = KINDS[kind].versions.get(len(values), (0, KINDS[kind].fallback))
        record = _read_fields(f"{_COMMON} {layout}".split(), values, kind)
        if "url" in record and (host := _host(record["url"])) is not None:
            record["host"] = host
        record["parser_version"] = version
        if version == 0:
            record["tokens_seen"] = len(values)
        record["timestamp"] = now()
        record["original_string"] = text
        yield record

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)


def split_unquoted(text: str) -> list[str]:
    """Split at the commas that an even number of quotes follows."""
    values, start, quotes = [], 0, text.count('"')
    for match in _QUOTE_OR_COMMA.finditer(text):
        if match[0] == '"':
            quotes -= 1
        elif quotes % 2 == 0:
            values.append(text[start : match.start()])
            start = match.end()
    return [*values, text[start:]]


def _read_fields(names: list[str], values: list[str], kind: str) -> Record:
    if len(values) < len(names):
        raise ValueError(f"{kind} log with {len(values)} values: expected at least {len(names)}")
    record: Record = {}
    for name, value in zip(names, values, strict=False):
        stripped = value.strip(JAVA_WHITESPACE)
        if name != "-" and stripped and value != '""':
            record[name.removesuffix('"')] = _unquote(name, stripped) if name.endswith('"') else stripped
    return record


def _unquote(name: str, value: str) -> str:
    if value == '"':
        raise ValueError(f"{name.removesuffix(chr(34))} is an unclosed quote")
    return value[1:-1] if value.startswith('"') and value.endswith('"') else value


def _host(url: str) -> str | None:
    """Return the host of a URL, empty if it is missing; None for an unknown scheme and an invalid port."""
    match = _URL.match(url.strip(JAVA_WHITESPACE))
    if match is None:
        return None
    if not match[1].startswith("//"):
        return ""
    authority = match[1][2:].partition("/")[0]
    users, at, host = authority.rpartition("@")
    if at and "@" in users:
        return ""
    match = _HOST_AND_PORT.fullmatch(host)
    return match[1] if match else None
