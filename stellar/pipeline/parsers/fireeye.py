"""The parser of FireEye notices: CEF with pairs such as `dvc=10.201.78.57 cn3=53`, in syslog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from stellar.java.calendar import LocalDateTime
from stellar.java.date_patterns import parse_date
from stellar.java.timezones import DEFAULT
from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.parsers.raw_text import raw_text_of
from stellar.pipeline.records import Record
from stellar.util.clock import now

_PRIORITY = re.compile(r"<[1-9][0-9]*>")
_SPACE = re.compile(r"\s+", re.ASCII)
_TIME = re.compile(r"([a-zA-Z]{3})\s+(\d+)\s+(\d+:\d+:\d+)\s+\d+\.\d+\.\d+\.\d+", re.ASCII)
_WORD = re.compile(r"\w*", re.ASCII)
_KINDS_OF_SPACE = " \t\n\r\f\v"
_FOUR_DAYS = 4 * 86_400_000

# In this order, anywhere in the notice. So Metron turns `cn3=53` into `dst_portimestamp=53`
_REPLACEMENTS = (
    ("cn3", "dst_port"),
    ("cs5", "cncHost"),
    ("proto", "protocol"),
    ("rt=", "timestamp="),
    ("cs1", "malware"),
    ("dst=", "dst_ip="),
    ("shost", "src_hostname"),
    ("dmac", "dst_mac"),
    ("smac", "src_mac"),
    ("spt", "src_port"),
)
_SOURCE = re.compile(r"\bsrc\b")
_COPIES = {"ip_src_addr": "dvc", "ip_src_port": "src_port", "ip_dst_addr": "dst_ip", "ip_dst_port": "dst_port"}


class FireEyeParser:
    """Parses the pairs of notices in one message. Of notices in several messages it parses only the time.

    corrected: keep the last pairs and the port of the destination, which Metron loses; set `timestamp` to now if the
        notice has no time, rather than to 0; and take a time that is more than 4 days ahead as one of last year
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"corrected"})

    def __init__(self, settings: Settings) -> None:
        self.corrected = settings.truth("corrected")
        self.location = settings.location
        self.show = raw_text_of(settings)

    def __call__(self, text: str) -> Iterator[Record]:
        notice = _after_last_priority(text)
        try:
            words = _drop_trailing_empty(_SPACE.split(notice))
            if len(words) < 5:
                raise ValueError(f"expected at least 5 words, got {len(words)}")
            record = self._pairs(words) if len(_drop_trailing_empty(words[4].split("."))) == 2 else {}
            record["original_string"] = notice
            record |= {field: record[key] for field, key in _COPIES.items() if key in record}
            record["timestamp"] = self._timestamp(notice)
        except ValueError as error:
            raise ValueError(f"Unable to parse {self.show(text)}: {error}") from error
        yield record

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def find_warnings(self) -> Iterator[tuple[SourceLocation, str]]:
        """Yield a warning if the parser loses fields, as Metron's does."""
        if not self.corrected:
            yield (
                self.location,
                "as in Metron, the last pairs of each notice and the destination port are lost, and a notice without "
                "a time gets the timestamp 0; set corrected to true to keep them",
            )

    def _pairs(self, words: list[str]) -> Record:
        text = " ".join(words[1:] if self.corrected else words[1:-1])
        for old, new in _REPLACEMENTS:
            text = re.sub(rf"\b{old}", new, text) if self.corrected and old == "rt=" else text.replace(old, new)
        parts = _drop_trailing_empty(_SOURCE.sub("src_ip", text).split("|"))
        last = f"{parts[-1]} " if parts and self.corrected else "".join(parts[-1:])
        values: dict[str, list[str]] = {}
        for key, value in _find_pairs(last):
            values.setdefault(key, []).append(value)
        return {key: ",".join(each).strip(JAVA_WHITESPACE) for key, each in values.items()}

    def _timestamp(self, notice: str) -> int:
        match = _TIME.search(notice)
        if match is None:
            return now() if self.corrected else 0
        year = LocalDateTime(now()).year
        timestamp = _read_time(year, *match.groups())
        if self.corrected and timestamp - now() > _FOUR_DAYS:
            timestamp = _read_time(year - 1, *match.groups())
        return timestamp


def _read_time(year: int, month: str, day: str, time: str) -> int:
    timestamp = parse_date("yyyy-MMM-dd HH:mm:ss", f"{year}-{month}-{day} {time}", DEFAULT)
    if timestamp is None:
        raise ValueError(f'Unparseable date: "{month}"')
    return timestamp


def _after_last_priority(text: str) -> str:
    """Return a message from the first occurrence of the last priority in it, up to its next occurrence."""
    priorities = _PRIORITY.findall(text)
    if not priorities:
        return text
    parts = _drop_trailing_empty(text.split(priorities[-1]))
    return priorities[-1] + parts[1] if len(parts) > 1 else text


def _drop_trailing_empty(parts: list[str]) -> list[str]:
    """Return strings without the empty ones at the end, as Java's split does."""
    count = len(parts)
    while count and not parts[count - 1]:
        count -= 1
    return parts[:count]


def _find_pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield keys and values. A value has no `=`, and is followed by a space and the next key, or by the end.

    This is the regular expression `(\\w+)=([^=]*)(?=\\s*\\w+=|\\s*$) ` in linear time.
    """
    pieces = text.split("=")
    keys = [_last_word(piece) for piece in pieces]
    for index, after in enumerate(pieces[1:], 1):
        is_last = index == len(pieces) - 1
        value = after if is_last else after[: len(after) - len(keys[index])]
        spaces = value[len(value.rstrip(_KINDS_OF_SPACE)) :]
        if keys[index - 1] and " " in spaces and (is_last or keys[index]):
            yield keys[index - 1], value[: len(value) - len(spaces) + spaces.rindex(" ") + 1]


def _last_word(text: str) -> str:
    match = _WORD.match(text[::-1])
    return text[len(text) - match.end() :] if match else ""
