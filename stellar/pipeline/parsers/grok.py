"""The Grok parser: named patterns made into one regular expression, and its captures into a record."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from stellar.conversions import INT_MAX, INT_MIN
from stellar.errors import ConfigError
from stellar.pipeline.expressions import date_reader
from stellar.pipeline.parsers.parser import Settings, Unreadable
from stellar.pipeline.places import Place, known_names, read_text
from stellar.pipeline.records import Record
from stellar.pipeline.regexes import TIMEOUT_MS, BadExpression, compiled, found

log = logging.getLogger(__name__)

# A time before 3 March 1973, if it is in milliseconds; such a small number was meant as seconds
SUSPICIOUSLY_EARLY = 10**11
_LONGEST_EXPRESSION = 1 << 20

_BUILT_IN = files("stellar.pipeline") / "patterns"
_DEFINITION = re.compile(r"^(\w+)[ \t]+(\S.*)$", re.ASCII)
_REFERENCE = re.compile(r"%\{(?P<pattern>\w+)(?::(?P<name>[\w.@\[\]/ -]+)(?:[:;](?P<type>\w+))?)?\}", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
UNWANTED = "UNWANTED"


class NoMatch(ValueError):
    """A text that the pattern does not fit."""


def by_looks(text: str) -> Any:
    """What a capture without a type becomes.

    That is a number if it is a whole one of 32 bits; else its text, without the quotes around it if there are any.
    """
    if _INTEGER.fullmatch(text) and INT_MIN <= (number := int(text)) <= INT_MAX:
        return number
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


# What may stand after the second colon of %{PATTERN:field:type}
CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "byte": int,
    "short": int,
    "int": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": lambda text: text.lower() == "true",
    "string": str,
}


@dataclass(frozen=True, slots=True)
class Capture:
    """A group of the regular expression, and what becomes of it."""

    group: str
    field: str
    convert: Callable[[str], Any]


class Grok:
    """A compiled pattern: it is found anywhere in a text.

    Raises ConfigError for a pattern that is not defined, that holds itself, or that is no regular expression.
    """

    def __init__(self, label: str, definitions: Mapping[str, str], place: Place, timeout_ms: int = TIMEOUT_MS) -> None:
        self.label = label
        self.timeout_ms = timeout_ms
        self._captures: list[Capture] = []
        self._definitions = definitions
        self._place = place
        expression = self._expanded(label, ())
        try:
            self._pattern = compiled(expression)
        except BadExpression as error:
            raise place.error(f"the pattern {label} is no regular expression: {self._culprit(error)}") from error
        ours = {capture.group: capture for capture in self._captures}
        # A group that the file names itself, (?<name>…), is a field as well
        self._captures = [ours.get(name) or Capture(name, name, by_looks) for name in self._pattern.groupindex]

    def match(self, text: str) -> Record:
        """The fields that a text holds; a group that took no part is null.

        Raises NoMatch, and TimeoutError when the search takes longer than it may.
        """
        try:
            match = found(self._pattern, text, self.timeout_ms)
        except TimeoutError:
            problem = f"the pattern {self.label} took longer than {self.timeout_ms} ms"
            raise TimeoutError(f"{problem}; make it simpler, or raise matchTimeoutMs") from None
        if match is None:
            raise NoMatch(self.label)
        record: Record = {}
        groups = match.groupdict()
        for capture in self._captures:
            value = groups[capture.group]
            if value is not None:
                record[capture.field] = capture.convert(value)
            else:
                # Of two groups with one name, the one that took part counts
                record.setdefault(capture.field, None)
        return record

    def _expanded(self, name: str, users: tuple[str, ...]) -> str:
        """The regular expression of a pattern, with all the patterns in it put in their places."""
        if name in users:
            raise self._place.error(f"the pattern {name} holds itself: {' → '.join((*users, name))}")
        if name not in self._definitions:
            used = f", which {users[-1]} uses," if users else ""
            raise self._place.error(f"the pattern {name}{used} is not defined; {known_names(name, self._definitions)}")

        def put_in(reference: re.Match[str]) -> str:
            inner = self._expanded(reference["pattern"], (*users, name))
            field = (reference["name"] or reference["pattern"]).strip()
            if field in (UNWANTED, self.label):
                return f"(?:{inner})"
            return f"(?<{self._group(field, reference['type'], name)}>{inner})"

        expression = _REFERENCE.sub(put_in, self._definitions[name])
        if len(expression) > _LONGEST_EXPRESSION:
            raise self._place.error(f"the pattern {name} grows beyond a million characters when it is put together")
        return expression

    def _group(self, field: str, kind: str | None, user: str) -> str:
        if kind is not None and kind.lower() not in CONVERSIONS:
            problem = f"the pattern {user} wants {field} as {kind!r}, which is no type"
            raise self._place.error(f"{problem}; {known_names(kind, CONVERSIONS)}")
        group = f"field_{len(self._captures)}_"
        self._captures.append(Capture(group, field, CONVERSIONS[kind.lower()] if kind else by_looks))
        return group

    def _culprit(self, whole: BadExpression) -> str:
        """What is wrong, in the first definition that is no regular expression by itself."""
        for name, definition in self._definitions.items():
            blanked = _REFERENCE.sub(lambda reference: "x" * len(reference[0]), definition)
            try:
                compiled(blanked)
            except BadExpression as error:
                return f"{error}\n{name} {definition}\n{' ' * (len(name) + 1 + error.position)}^"
        return str(whole)


def definitions(text: str) -> dict[str, str]:
    """The patterns that a file defines: lines of a name, blanks and a regular expression.

    Other lines count for nothing, and of two patterns with one name the later one holds.
    """
    lines = (_DEFINITION.match(line.strip()) for line in text.splitlines())
    return {match[1]: match[2] for match in lines if match}


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
        self.grok = Grok(label, known, Place(file, label), _timeout(settings))
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


def _common(directory: Path | None) -> dict[str, str]:
    """The patterns that every file can use: those shipped, and those of the configuration's own `patterns/common`."""
    shipped = definitions((_BUILT_IN / "common").read_text(encoding="utf-8"))
    own = directory / "patterns" / "common" if directory else None
    return {**shipped, **definitions(read_text(own))} if own and own.is_file() else shipped


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
    shipped = {f"patterns/{file.name}": file for file in _BUILT_IN.iterdir()}
    if relative in shipped:
        return grok_path, definitions(shipped[relative].read_text(encoding="utf-8"))
    raise _no_pattern_file(grok_path, candidates, sorted(shipped), settings.place / "grokPath")


def _no_pattern_file(grok_path: str, candidates: list[Path], shipped: list[str], place: Place) -> ConfigError:
    looked = " and ".join(dict.fromkeys(map(str, candidates)))
    names = ", ".join(f"/{name}" for name in shipped)
    return place.error(f"there is no pattern file {grok_path!r}: looked for {looked}; shipped are {names}")
