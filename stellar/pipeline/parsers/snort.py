"""The parser of Snort alerts: 27 separated values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import ClassVar

from stellar.java.time_patterns import TimePattern, compile_time_pattern
from stellar.java.zone_ids import find_region
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.csv import RowSplitter
from stellar.pipeline.parsers.lines import trim
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.parsers.raw_text import raw_text_of
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

COLUMNS = (
    "timestamp", "sig_generator", "sig_id", "sig_rev", "msg", "protocol", "ip_src_addr", "ip_src_port", "ip_dst_addr",
    "ip_dst_port", "ethsrc", "ethdst", "ethlen", "tcpflags", "tcpseq", "tcpack", "tcplen", "tcpwindow", "ttl", "tos",
    "id", "dgmlen", "iplen", "icmptype", "icmpcode", "icmpid", "icmpseq",
)  # fmt: skip
_PATTERN = "MM/dd/yy-HH:mm:ss.SSSSSS"


class SnortParser:
    """Parses alerts. All values but `timestamp` are strings, and `is_alert` is "true"."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"dateFormat", "timeZone"})

    def __init__(self, settings: Settings) -> None:
        self.split = RowSplitter(",")
        self.show = raw_text_of(settings)
        self.location = settings.location / "dateFormat"
        self.pattern = _pattern(settings, self.location)
        self.zone = _zone(settings)

    def __call__(self, text: str) -> Iterator[Record]:
        try:
            yield self._record(text)
        except ValueError as error:
            raise ValueError(f"Unable to parse message: {self.show(text)}") from error

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def find_warnings(self) -> Iterator[tuple[SourceLocation, str]]:
        """Yield a warning if the date pattern cannot read a complete date."""
        if missing := self.pattern.missing:
            yield self.location, f"no alert has a readable date: the pattern lacks {' and '.join(missing)}"

    def _record(self, text: str) -> Record:
        if trim(text).startswith("#"):
            raise ValueError("the line is a comment")
        values = self.split(text)
        if len(values) < len(COLUMNS):
            raise ValueError(f"expected {len(COLUMNS)} values, got {len(values)}")
        record: Record = dict(zip(COLUMNS, map(trim, values), strict=False))
        record["timestamp"] = self.pattern.parse(record["timestamp"], self.zone)
        record["is_alert"] = "true"
        record["original_string"] = text
        return record


def _pattern(settings: Settings, location: SourceLocation) -> TimePattern:
    if settings.options.get("dateFormat") is None:
        return compile_time_pattern(_PATTERN)
    pattern = settings.text("dateFormat") or _PATTERN
    try:
        return compile_time_pattern(pattern)
    except ValueError as error:
        raise location.error(f"invalid date pattern {quote(pattern)}: {error}") from error


def _zone(settings: Settings) -> tzinfo:
    name = settings.text("timeZone") if settings.options.get("timeZone") is not None else ""
    zone = find_region(name or "UTC")
    if zone is None:
        raise (settings.location / "timeZone").error(
            f"Unable to find ZoneId {quote(name)}: expected a region such as 'America/New_York'"
        )
    return zone
