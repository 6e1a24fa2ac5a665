"""The Grok parser: the captures of a pattern become the fields of a record."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stellar.java.grok import (
    SHIPPED,
    Grok,
    GrokError,
    NoMatch,
    find_oniguruma_syntax,
    load_common_definitions,
    parse_definitions,
)
from stellar.java.regex import TIMEOUT_MS
from stellar.language.errors import ConfigError
from stellar.pipeline.config.compile import make_date_parser
from stellar.pipeline.config.locations import SourceLocation, read_text
from stellar.pipeline.parsers.parser import Settings, Unreadable
from stellar.pipeline.records import Record
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

# In milliseconds this is 3 March 1973; a smaller number is probably in seconds
SUSPICIOUSLY_EARLY = 10**11


class GrokParser:
    """Parses lines with a Grok pattern."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.text("grokPath")
        label = settings.text("patternLabel")
        file, own = _pattern_file(self.path, settings)
        self.file = file
        known = {**_common(settings.directory), **own}
        if label not in known:
            message = f"unknown pattern {label!r} in {file}; {suggest_name(label, own or known)}"
            raise (settings.location / "patternLabel").error(message)
        try:
            self.grok = Grok(label, known, _timeout(settings))
        except GrokError as error:
            raise SourceLocation(file, label).error(str(error)) from error
        self.timestamp_field = settings.text("timestampField", "") or None
        zone = settings.text("timeZone", settings.text("timezone", "UTC"))
        self.time_fields = settings.texts("timeFields")
        if self.time_fields:
            pattern = settings.text("dateFormat", "yyyy-MM-dd HH:mm:ss.S z")
            self.read_date = make_date_parser(pattern, zone, settings.location / "dateFormat")
        self.multi_line = settings.truth("multiLine")
        self._warned = False

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        if not self.multi_line:
            yield self._record(text)
            return
        for line in text.splitlines():
            try:
                yield self._record(line)
            except (ValueError, TimeoutError) as error:
                yield Unreadable(line, error)

    def find_warnings(self) -> Iterator[tuple[SourceLocation, str]]:
        """Yield warnings about the definitions that the pattern consists of, with their locations."""
        for name, definition in self.grok.used.items():
            for message in find_oniguruma_syntax(definition):
                yield SourceLocation(self.file, name), message

    def complaint(self, record: Record) -> str | None:
        """Check the timestamp, which must be a positive integer, in milliseconds since 1970."""
        timestamp = record.get("timestamp")
        if timestamp.__class__ is int and timestamp > 0:
            return None
        if timestamp is None and self.timestamp_field is None:
            return "record has no timestamp; set timestampField in parserConfig to the field with the time"
        return f"invalid timestamp {timestamp!r}: expected milliseconds since 1970, a positive integer"

    def _record(self, line: str) -> Record:
        try:
            record = self.grok.match(line)
        except NoMatch:
            message = (
                f"Grok statement produced a null message. Original message was: {line} "
                f"and the parsed message was: {{}} . Check the pattern at: {self.path}"
            )
            raise NoMatch(message) from None
        except TimeoutError as error:
            raise TimeoutError(f"{error}; simplify the pattern or increase matchTimeoutMs") from error
        record["original_string"] = line
        for name in self.time_fields:
            if (value := record.get(name)) is not None:
                record[name] = self.read_date(str(value))
        if self.timestamp_field is not None:
            record["timestamp"] = self._timestamp(record.get(self.timestamp_field), line)
        return record

    def _timestamp(self, value: object, line: str) -> int | float:
        if value is None:
            label, field = self.grok.label, self.timestamp_field
            raise ValueError(f"Grok parser Error: {label} pattern does not include field {field} on {line}")
        if isinstance(value, int | float):
            timestamp = value
        else:
            digits = str(value).replace(".", "")  # converts seconds with three decimals to milliseconds
            if not re.fullmatch(r"[+-]?[0-9]+", digits):
                raise ValueError(f"Grok parser Error: {self.timestamp_field} is {value!r}, not a timestamp, on {line}")
            timestamp = int(digits)
        if timestamp < SUSPICIOUSLY_EARLY and not self._warned:
            self._warned = True
            log.warning(
                "%s is %s, which is interpreted as milliseconds since 1970; it may be in seconds",
                self.timestamp_field,
                timestamp,
            )
        return timestamp


def _timeout(settings: Settings) -> int:
    value = settings.options.get("matchTimeoutMs", TIMEOUT_MS)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise (settings.location / "matchTimeoutMs").error(
            f"expected a positive integer of milliseconds, got {value!r}"
        )
    return value


def _common(directory: Path | None) -> Mapping[str, str]:
    """Return the patterns available to all files: the built-in ones and `patterns/common` of the configuration."""
    own = directory / "patterns" / "common" if directory else None
    return (
        {**load_common_definitions(), **parse_definitions(read_text(own))}
        if own and own.is_file()
        else load_common_definitions()
    )


def _pattern_file(grok_path: str, settings: Settings) -> tuple[str, dict[str, str]]:
    """Return the path and the patterns of a pattern file.

    It is searched in the configuration directory, then in the file system, then among the built-in files.
    """
    relative = grok_path.lstrip("/")
    candidates = [settings.directory / relative] if settings.directory else []
    candidates.append(Path(grok_path))
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate), parse_definitions(read_text(candidate))
    shipped = {f"patterns/{file.name}": file for file in SHIPPED.iterdir()}
    if relative in shipped:
        return grok_path, parse_definitions(shipped[relative].read_text(encoding="utf-8"))
    raise _no_pattern_file(grok_path, candidates, sorted(shipped), settings.location / "grokPath")


def _no_pattern_file(
    grok_path: str, candidates: list[Path], shipped: list[str], location: SourceLocation
) -> ConfigError:
    searched = " and ".join(dict.fromkeys(map(str, candidates)))
    names = ", ".join(f"/{name}" for name in shipped)
    return location.error(f"unknown pattern file {grok_path!r}: searched {searched}; built-in files are {names}")
