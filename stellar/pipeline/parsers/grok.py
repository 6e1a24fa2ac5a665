"""The Grok parser: what a pattern captures becomes a record."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stellar.java.bounded_regex import TIMEOUT_MS
from stellar.java.grok import SHIPPED, Grok, GrokError, NoMatch, common, definitions
from stellar.language.errors import ConfigError
from stellar.pipeline.config.compile import date_reader
from stellar.pipeline.config.locations import SourceLocation, read_text
from stellar.pipeline.parsers.parser import Settings, Unreadable
from stellar.pipeline.records import Record
from stellar.util.suggestions import known_names

log = logging.getLogger(__name__)

# A time before 3 March 1973, if it is in milliseconds; such a small number was meant as seconds
SUSPICIOUSLY_EARLY = 10**11


class GrokParser:
    """Reads lines by a Grok pattern."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.text("grokPath")
        label = settings.text("patternLabel")
        file, own = _pattern_file(self.path, settings)
        known = {**_common(settings.directory), **own}
        if label not in known:
            message = f"there is no pattern {label!r} in {file}; {known_names(label, own or known)}"
            raise (settings.place / "patternLabel").error(message)
        try:
            self.grok = Grok(label, known, _timeout(settings))
        except GrokError as error:
            raise SourceLocation(file, label).error(str(error)) from error
        self.timestamp_field = settings.text("timestampField", "") or None
        zone = settings.text("timeZone", settings.text("timezone", "UTC"))
        self.time_fields = settings.texts("timeFields")
        if self.time_fields:
            pattern = settings.text("dateFormat", "yyyy-MM-dd HH:mm:ss.S z")
            self.read_date = date_reader(pattern, zone, settings.place / "dateFormat")
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

    def complaint(self, record: Record) -> str | None:
        """Only the time counts: a whole number of milliseconds, above 0."""
        timestamp = record.get("timestamp")
        if timestamp.__class__ is int and timestamp > 0:
            return None
        if timestamp is None and self.timestamp_field is None:
            return "the record has no timestamp; name the field that holds it as timestampField in parserConfig"
        return f"timestamp must be milliseconds since 1970, a whole number above 0, not {timestamp!r}"

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
            raise TimeoutError(f"{error}; make it simpler, or raise matchTimeoutMs") from error
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
            digits = str(value).replace(".", "")  # seconds with three decimals are milliseconds then
            if not re.fullmatch(r"[+-]?[0-9]+", digits):
                raise ValueError(f"Grok parser Error: {self.timestamp_field} is {value!r}, which is no time, on {line}")
            timestamp = int(digits)
        if timestamp < SUSPICIOUSLY_EARLY and not self._warned:
            self._warned = True
            log.warning(
                "%s is %s: seconds without decimals? It is taken as milliseconds since 1970",
                self.timestamp_field,
                timestamp,
            )
        return timestamp


def _timeout(settings: Settings) -> int:
    value = settings.options.get("matchTimeoutMs", TIMEOUT_MS)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise (settings.place / "matchTimeoutMs").error(
            f"a whole number of milliseconds above 0 is wanted, not {value!r}"
        )
    return value


def _common(directory: Path | None) -> Mapping[str, str]:
    """The patterns that every file can use: those shipped, and those of the configuration's own `patterns/common`."""
    own = directory / "patterns" / "common" if directory else None
    return {**common(), **definitions(read_text(own))} if own and own.is_file() else common()


def _pattern_file(grok_path: str, settings: Settings) -> tuple[str, dict[str, str]]:
    """Where the patterns of `grokPath` are, and what they are.

    They are looked for beside the configuration, then on this machine, then among those shipped.
    """
    relative = grok_path.lstrip("/")
    candidates = [settings.directory / relative] if settings.directory else []
    candidates.append(Path(grok_path))
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate), definitions(read_text(candidate))
    shipped = {f"patterns/{file.name}": file for file in SHIPPED.iterdir()}
    if relative in shipped:
        return grok_path, definitions(shipped[relative].read_text(encoding="utf-8"))
    raise _no_pattern_file(grok_path, candidates, sorted(shipped), settings.place / "grokPath")


def _no_pattern_file(grok_path: str, candidates: list[Path], shipped: list[str], place: SourceLocation) -> ConfigError:
    looked = " and ".join(dict.fromkeys(map(str, candidates)))
    names = ", ".join(f"/{name}" for name in shipped)
    return place.error(f"there is no pattern file {grok_path!r}: looked for {looked}; shipped are {names}")
