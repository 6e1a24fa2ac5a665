"""Finds and replaces the Stellar expressions in Metron's configuration files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

from stellar.language.errors import ConfigError
from stellar.language.source import Span, position
from stellar.pipeline.config.json_positions import (
    Array,
    JsonProblem,
    JsonString,
    Object,
    Value,
    find_problem,
    parse_json,
    walk,
)
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.sections import ENRICHMENT_SECTIONS
from stellar.util.cached_properties import cached_property

Kind = Literal["parsers", "enrichments", "profiler", "global", "extractor"]

# The names of the filter whose `filter.query` is Stellar
STELLAR_FILTERS = ("STELLAR", "org.apache.metron.parsers.filters.StellarFilter")
# An item of a list in an enrichment configuration: field := expression
ASSIGNMENT = re.compile(r"\s*([\w.:-]*\w)\s*:=(.*)", re.DOTALL)


@dataclass(frozen=True)
class EmbeddedText:
    """A JSON string in a configuration file that contains an expression.

    path: its path in the JSON, as `SourceLocation` writes it, such as `fieldTransformations[0].config.host`
    json: the JSON string
    predicate: True for a condition, which may be empty and must return a boolean
    assignment: True if the form is `name := expression`
    name: the field or variable that the value is assigned to, if there is one
    expression: the span of the expression in the string; the whole string unless it is an assignment
    """

    path: str
    json: JsonString
    predicate: bool = False
    assignment: bool = False
    name: str | None = None

    @property
    def text(self) -> str:
        """The decoded string."""
        return self.json.decoded

    @cached_property
    def expression(self) -> Span:
        match = ASSIGNMENT.fullmatch(self.text) if self.assignment else None
        if match is None:
            return Span(0, len(self.text))
        start, end = match.span(2)
        stripped = match[2].strip()
        start = self.text.index(stripped, start, end)
        return Span(start, start + len(stripped))

    @property
    def source(self) -> str:
        """The expression, padded with spaces so that offsets match the string."""
        return " " * self.expression.start + self.text[self.expression.start : self.expression.end]

    def in_file(self, span: Span) -> Span:
        """Convert a span in the string to a span in the file."""
        return Span(self.json.in_file(span.start), self.json.in_file(span.end))

    def in_text(self, offset: int) -> int:
        """Convert an offset in the file to an offset in the string; see `JsonString.in_text`."""
        return self.json.in_text(offset)


@dataclass(frozen=True)
class Configuration:
    """A configuration file in an editor, whose JSON may be incomplete.

    texts: the strings with expressions, in the order of the file
    problem: the first syntax error; None if the JSON is valid
    fields: names of fields and variables that occur outside of expressions
    """

    source: str
    root: Value | None
    texts: tuple[EmbeddedText, ...]
    problem: JsonProblem | None
    fields: frozenset[str]

    def span(self, path: str) -> Span:
        """Return the span to underline for an error at a path.

        This is the value; for a map or list its key, or else its opening bracket. For a missing value it is the span
        of the innermost map or list that exists.
        """
        while path and self._locate(path) is None:
            path = _parent(path)
        found = self._locate(path)
        return Span(0, 0) if found is None else _visible_span(*found)

    def key(self, path: str) -> JsonString | None:
        """Return the key of the member at a path; None if it does not exist."""
        found = self._locate(path)
        return None if found is None else found[0]

    def value(self, path: str) -> Value | None:
        """Return the value at a path; None if it does not exist."""
        found = self._locate(path)
        return None if found is None else found[1]

    def _locate(self, path: str) -> tuple[JsonString | None, Value] | None:
        return self._locations.get(_normalize_path(path))

    @cached_property
    def _locations(self) -> dict[str, tuple[JsonString | None, Value]]:
        found = {_normalize_path(path): (key, value) for path, key, value in walk(self.root)}
        # Their paths differ from the JSON: conditions that are keys, and lists given instead of a map with `config`
        return found | {text.path: (None, text.json) for text in self.texts if text.path not in found}

    def text_at(self, offset: int) -> EmbeddedText | None:
        """Return the string with an expression that contains an offset in the file, or ends there."""
        for text in self.texts:
            if text.json.inner.start <= offset <= text.json.inner.end:
                return text
        return None


def _visible_span(key: JsonString | None, value: Value) -> Span:
    if not isinstance(value, Object | Array):
        return value.span
    return key.span if key is not None else Span(value.span.start, value.span.start + 1)


def _normalize_path(path: str) -> str:
    """Return a path with the section of an enrichment configuration in its current spelling."""
    first, dot, rest = path.partition(".")
    return f"{ENRICHMENT_SECTIONS.get(first.lower(), first)}{dot}{rest}"


_LAST_STEP = re.compile(r"""(?:^|\.)\w+\Z|\[\d+\]\Z|\["(?:[^"\\]|\\.)*"\]\Z""")


def _parent(path: str) -> str:
    return _LAST_STEP.sub("", path) if _LAST_STEP.search(path) else ""


def detect_kind(file: str | PurePath, source: str = "") -> Kind | None:
    """Detect the kind of a configuration file by its path, or else by its keys; return None if it is unknown."""
    path = PurePath(file)
    if path.name in ("global.json", "profiler.json"):
        return "global" if path.stem == "global" else "profiler"
    if path.parent.name in ("parsers", "enrichments"):
        return "parsers" if path.parent.name == "parsers" else "enrichments"
    root = parse_json(source)
    names = {key.decoded for key, _ in root.members} if isinstance(root, Object) else set()
    return next((kind for kind in get_args(Kind) if not names.isdisjoint(_TYPICAL_KEYS[kind])), None)


_TYPICAL_KEYS: dict[Kind, frozenset[str]] = {
    "parsers": frozenset({"parserClassName", "fieldTransformations", "sensorTopic", "parserConfig"}),
    "enrichments": frozenset({"enrichment", "threatIntel", "threatintel"}),
    "profiler": frozenset({"profiles"}),
    "global": frozenset({"fieldValidations"}),
    "extractor": frozenset({"extractor"}),
}


def find_texts(source: str, kind: Kind) -> list[EmbeddedText]:
    """Return the strings with expressions in a configuration file, in the order of the file."""
    return _find_in_root(parse_json(source), kind)


def read_texts(file: str, source: str) -> list[EmbeddedText]:
    """Return the strings with expressions in a complete configuration file.

    file: its path, by which the kind of configuration is detected

    Raises ConfigError for invalid JSON and for an unknown kind of configuration.
    """
    if (error := find_problem(source)) is not None:
        line, column = position(source, error.offset)
        raise ConfigError(file, "", f"invalid JSON: {error.message} at line {line}, column {column}")
    if (kind := detect_kind(file, source)) is None:
        raise ConfigError(file, "", "unknown kind of configuration; move the file to parsers/ or enrichments/")
    return find_texts(source, kind)


def parse_configuration(source: str, kind: Kind | None) -> Configuration:
    """Parse a configuration file, whose JSON may be incomplete.

    kind: the kind of configuration; None for a file without expressions
    """
    root = parse_json(source)
    return Configuration(
        source,
        root,
        () if kind is None else tuple(_find_in_root(root, kind)),
        find_problem(source),
        frozenset(_find_field_names(root)),
    )


def replace_texts(source: str, replacements: Iterable[tuple[EmbeddedText, str]]) -> str:
    """Replace strings of a configuration file, and leave all other bytes unchanged.

    Characters outside of ASCII are escaped only if the replaced string has them escaped.
    """
    chunks: list[str] = []
    done = 0
    for text, replacement in sorted(replacements, key=lambda each: each[0].json.span.start):
        if replacement == text.text:
            continue
        span = text.json.span
        chunks += [source[done : span.start], encode_replacement(text, replacement)]
        done = span.end
    return "".join([*chunks, source[done:]])


def encode_replacement(text: EmbeddedText, replacement: str) -> str:
    """Return the JSON string, with quotes, that replaces an embedded string."""
    escaped = text.json.raw.isascii() and not text.text.isascii()
    return json.dumps(replacement, ensure_ascii=escaped)


# -- Finding expressions ---------------------------------------------------------------------------------------------

Texts = Iterator[EmbeddedText]


def _find_in_root(root: Value | None, kind: Kind) -> list[EmbeddedText]:
    found = _FINDERS[kind](root) if isinstance(root, Object) else ()
    return sorted(found, key=lambda text: text.json.inner.start)


def _member(value: Value | None, *names: str) -> Value | None:
    """Return the value at a path of keys; None if one is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, Object) else None
    return value


def _members(value: Value | None) -> list[tuple[JsonString, Value]]:
    return value.members if isinstance(value, Object) else []


def _items(value: Value | None) -> list[Value]:
    return value.items if isinstance(value, Array) else []


def _find_string(
    value: Value | None, location: SourceLocation, *, predicate: bool = False, name: str | None = None
) -> Texts:
    if isinstance(value, JsonString):
        yield EmbeddedText(location.path, value, predicate, name=name)


def _find_in_map(value: Value | None, location: SourceLocation) -> Texts:
    for key, member in _members(value):
        yield from _find_string(member, location / key.decoded, name=key.decoded)


def _find_in_parser(root: Object) -> Texts:
    if (root.text("filterClassName") or "").strip() in STELLAR_FILTERS:
        query = _member(root, "parserConfig", "filter.query")
        yield from _find_string(query, SourceLocation("", "parserConfig") / "filter.query", predicate=True)
    for index, transformation in enumerate(_items(root.get("fieldTransformations"))):
        location = SourceLocation("", "fieldTransformations") / index / "config"
        config = _member(transformation, "config")
        match _text(transformation, "transformation"):
            case "STELLAR":
                yield from _find_in_map(config, location)
            case "REMOVE":
                yield from _find_string(_member(config, "condition"), location / "condition", predicate=True)


def _text(value: Value | None, name: str) -> str | None:
    return value.text(name) if isinstance(value, Object) else None


def _find_in_enrichment(root: Object) -> Texts:
    for key, section in root.members:
        name = ENRICHMENT_SECTIONS.get(key.decoded.lower(), key.decoded)
        location = SourceLocation("", name)
        if name in ("enrichment", "threatIntel"):
            yield from _find_in_adapter(
                _member(section, "fieldMap", "stellar"), location / "fieldMap" / "stellar" / "config"
            )
        if name == "threatIntel":
            rules = _member(section, "triageConfig", "riskLevelRules")
            yield from _find_in_rules(rules, location / "triageConfig" / "riskLevelRules")


def _find_in_adapter(adapter: Value | None, location: SourceLocation) -> Texts:
    # A list is short for a map with this list as `config`
    config = adapter if isinstance(adapter, Array) else _member(adapter, "config")
    yield from _find_in_list(config, location)
    for name, group in _members(config):
        yield from _find_in_list(group, location / name.decoded)
        yield from _find_in_map(group, location / name.decoded)
    yield from _find_in_map(config, location)


def _find_in_list(value: Value | None, location: SourceLocation) -> Texts:
    for index, item in enumerate(_items(value)):
        if isinstance(item, JsonString):
            match = ASSIGNMENT.fullmatch(item.decoded)
            yield EmbeddedText((location / index).path, item, assignment=True, name=match[1] if match else None)


def _find_in_rules(rules: Value | None, location: SourceLocation) -> Texts:
    for index, rule in enumerate(_items(rules)):
        yield from _find_string(_member(rule, "rule"), location / index / "rule", predicate=True)
        yield from _find_string(_member(rule, "score"), location / index / "score")
        yield from _find_string(_member(rule, "reason"), location / index / "reason")
    # The older form is a map from rule to score
    for key, score in _members(rules):
        yield EmbeddedText((location / key.decoded / "rule").path, key, predicate=True)
        yield from _find_string(score, location / key.decoded / "score")


def _find_in_global(root: Object) -> Texts:
    for index, validation in enumerate(_items(root.get("fieldValidations"))):
        if _text(validation, "validation") == "STELLAR":
            location = SourceLocation("", "fieldValidations") / index / "config" / "condition"
            yield from _find_string(_member(validation, "config", "condition"), location, predicate=True)


def _find_in_profiler(root: Object) -> Texts:
    for index, profile in enumerate(_items(root.get("profiles"))):
        location = SourceLocation("", "profiles") / index
        yield from _find_string(_member(profile, "onlyif"), location / "onlyif", predicate=True)
        yield from _find_string(_member(profile, "foreach"), location / "foreach")
        for group, item in enumerate(_items(_member(profile, "groupBy"))):
            yield from _find_string(item, location / "groupBy" / group)
        yield from _find_in_map(_member(profile, "init"), location / "init")
        yield from _find_in_map(_member(profile, "update"), location / "update")
        result = _member(profile, "result")
        yield from _find_string(result, location / "result")
        yield from _find_string(_member(result, "profile"), location / "result" / "profile")
        yield from _find_in_map(_member(result, "triage"), location / "result" / "triage")


def _find_in_extractor(root: Object) -> Texts:
    options, location = root.get("config"), SourceLocation("", "config")
    for name in ("value_filter", "indicator_filter"):
        yield from _find_string(_member(options, name), location / name, predicate=True)
    for name in ("state_init", "state_merge"):
        yield from _find_string(_member(options, name), location / name)
    for name in ("value_transform", "indicator_transform", "state_update"):
        yield from _find_in_map(_member(options, name), location / name)


_FINDERS: Mapping[Kind, Callable[[Object], Texts]] = {
    "parsers": _find_in_parser,
    "enrichments": _find_in_enrichment,
    "profiler": _find_in_profiler,
    "global": _find_in_global,
    "extractor": _find_in_extractor,
}


def _find_field_names(root: Value | None) -> Iterator[str]:
    """Yield the names of the fields that transformations read and write."""
    for transformation in _items(_member(root, "fieldTransformations")):
        for key in ("input", "output"):
            value = _member(transformation, key)
            for name in [value, *_items(value)]:
                if isinstance(name, JsonString):
                    yield name.decoded
        if _text(transformation, "transformation") == "RENAME":
            yield from (
                name.decoded for _, name in _members(_member(transformation, "config")) if isinstance(name, JsonString)
            )
