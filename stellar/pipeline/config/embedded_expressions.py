"""The Stellar texts inside Metron's configuration files: where they stand, and how they are replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

from stellar.language.errors import ConfigError
from stellar.language.source import Span, position
from stellar.pipeline.config.json_positions import Array, Object, Problem, Text, Value, places, problem, read
from stellar.pipeline.config.locations import SourceLocation
from stellar.util.cached_properties import cached_property

Kind = Literal["parsers", "enrichments", "profiler", "global"]

# The names of the filter whose `filter.query` is Stellar
STELLAR_FILTERS = ("STELLAR", "org.apache.metron.parsers.filters.StellarFilter")
# The parts of an enrichment configuration, which older files write in other cases
ENRICHMENT_PARTS = {"enrichment": "enrichment", "threatintel": "threatIntel", "configuration": "configuration"}
# What stands in the lists of an enrichment configuration
ASSIGNMENT = re.compile(r"\s*([\w.:-]*\w)\s*:=(.*)", re.DOTALL)


@dataclass(frozen=True)
class EmbeddedText:
    """A Stellar text within a configuration file.

    place: its path in the JSON, as errors of the pipeline write it, such as `fieldTransformations[0].config.host`
    json: the JSON string
    predicate: whether it is a condition, which may be blank and must be true or false
    assignment: whether it is to have the form `name := expression`
    name: the field or variable that gets its value, if there is one
    expression: where in the text the expression stands; all of it, but for assignments
    """

    place: str
    json: Text
    predicate: bool = False
    assignment: bool = False
    name: str | None = None

    @property
    def text(self) -> str:
        """The decoded text."""
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
        """The text with blanks for all but the expression, so that places stay the same."""
        return " " * self.expression.start + self.text[self.expression.start : self.expression.end]

    def in_file(self, span: Span) -> Span:
        """The part of the file for a part of the text."""
        return Span(self.json.in_file(span.start), self.json.in_file(span.end))

    def in_text(self, offset: int) -> int:
        """The offset in the text of an offset in the file; see Text.in_text."""
        return self.json.in_text(offset)


@dataclass(frozen=True)
class Configuration:
    """A configuration file as an editor has it, be it JSON or not.

    texts: its Stellar texts, in the order of the file
    problem: why it is not JSON; None if it is
    fields: names that it gives to fields and variables otherwise than by a text
    """

    source: str
    root: Value | None
    texts: tuple[EmbeddedText, ...]
    problem: Problem | None
    fields: frozenset[str]

    def span(self, path: str) -> Span:
        """Where the value stands that a complaint of the pipeline is about.

        Of a map or list that is its key, or else its bracket; of what is not there, the same of what it is missed in.
        """
        while path and self._place(path) is None:
            path = _parent(path)
        found = self._place(path)
        return Span(0, 0) if found is None else _shown(*found)

    def key(self, path: str) -> Text | None:
        """The key of a member; None if the path leads to none."""
        found = self._place(path)
        return None if found is None else found[0]

    def value(self, path: str) -> Value | None:
        """What stands there; None if nothing does."""
        found = self._place(path)
        return None if found is None else found[1]

    def _place(self, path: str) -> tuple[Text | None, Value] | None:
        return self._places.get(_modern(path))

    @cached_property
    def _places(self) -> dict[str, tuple[Text | None, Value]]:
        found = {_modern(path): (key, value) for path, key, value in places(self.root)}
        # These have places that are written otherwise: rules that are keys, and lists that stand for their map
        return found | {text.place: (None, text.json) for text in self.texts if text.place not in found}

    def text_at(self, offset: int) -> EmbeddedText | None:
        """The Stellar text that an offset in the file is in, or right behind."""
        for text in self.texts:
            if text.json.inner.start <= offset <= text.json.inner.end:
                return text
        return None


def _shown(key: Text | None, value: Value) -> Span:
    if not isinstance(value, Object | Array):
        return value.span
    return key.span if key is not None else Span(value.span.start, value.span.start + 1)


def _modern(path: str) -> str:
    """A path as the pipeline has it, which reads the parts of an enrichment configuration in any case."""
    first, dot, rest = path.partition(".")
    return f"{ENRICHMENT_PARTS.get(first.lower(), first)}{dot}{rest}"


_LAST_STEP = re.compile(r"""(?:^|\.)\w+\Z|\[\d+\]\Z|\["(?:[^"\\]|\\.)*"\]\Z""")


def _parent(path: str) -> str:
    return _LAST_STEP.sub("", path) if _LAST_STEP.search(path) else ""


def kind_of(file: str | PurePath, source: str = "") -> Kind | None:
    """What a configuration file configures, told by its path, or else by the keys in it; None if neither tells."""
    path = PurePath(file)
    if path.name in ("global.json", "profiler.json"):
        return "global" if path.stem == "global" else "profiler"
    if path.parent.name in ("parsers", "enrichments"):
        return "parsers" if path.parent.name == "parsers" else "enrichments"
    root = read(source)
    names = {key.decoded for key, _ in root.members} if isinstance(root, Object) else set()
    return next((kind for kind in get_args(Kind) if not names.isdisjoint(_TELLING[kind])), None)


_TELLING: dict[Kind, frozenset[str]] = {
    "parsers": frozenset({"parserClassName", "fieldTransformations", "sensorTopic", "parserConfig"}),
    "enrichments": frozenset({"enrichment", "threatIntel", "threatintel"}),
    "profiler": frozenset({"profiles"}),
    "global": frozenset({"fieldValidations"}),
}


def texts(source: str, kind: Kind) -> list[EmbeddedText]:
    """The Stellar texts in a configuration file, in the order of the file; see `configuration`."""
    return _found(read(source), kind)


def texts_of_file(file: str, source: str) -> list[EmbeddedText]:
    """The Stellar texts in a configuration file that is to be whole.

    file: its path, which tells what it configures

    Raises ConfigError if it is not JSON, or nothing tells what it configures.
    """
    if (wrong := problem(source)) is not None:
        line, column = position(source, wrong.offset)
        raise ConfigError(file, "", f"not JSON: {wrong.message} at line {line}, column {column}")
    if (kind := kind_of(file, source)) is None:
        raise ConfigError(file, "", "it is not told what this configures; put it into parsers/ or enrichments/")
    return texts(source, kind)


def configuration(source: str, kind: Kind | None) -> Configuration:
    """What stands in a configuration file; it may be in the middle of being typed.

    kind: what it configures; None for what has no Stellar in it
    """
    root = read(source)
    return Configuration(
        source,
        root,
        () if kind is None else tuple(_found(root, kind)),
        problem(source),
        frozenset(_outputs(root)),
    )


def replaced(source: str, replacements: Iterable[tuple[EmbeddedText, str]]) -> str:
    """A configuration file with other texts in the place of some of its own, and byte for byte the same else.

    A text is written without escapes where JSON asks for none, unless letters beyond ASCII were escaped in it before.
    """
    parts: list[str] = []
    done = 0
    for text, replacement in sorted(replacements, key=lambda each: each[0].json.span.start):
        if replacement == text.text:
            continue
        span = text.json.span
        parts += [source[done : span.start], written(text, replacement)]
        done = span.end
    return "".join([*parts, source[done:]])


def written(text: EmbeddedText, replacement: str) -> str:
    """The JSON string, with its quotes, that stands for another text in the place of this one."""
    escaped = text.json.raw.isascii() and not text.text.isascii()
    return json.dumps(replacement, ensure_ascii=escaped)


# -- Where Stellar stands ---------------------------------------------------------------------------------------------

Found = Iterator[EmbeddedText]


def _found(root: Value | None, kind: Kind) -> list[EmbeddedText]:
    found = _LOOK[kind](root) if isinstance(root, Object) else ()
    return sorted(found, key=lambda text: text.json.inner.start)


def _member(value: Value | None, *names: str) -> Value | None:
    """The member of a member …; None if one is not there."""
    for name in names:
        value = value.get(name) if isinstance(value, Object) else None
    return value


def _members(value: Value | None) -> list[tuple[Text, Value]]:
    return value.members if isinstance(value, Object) else []


def _items(value: Value | None) -> list[Value]:
    return value.items if isinstance(value, Array) else []


def _one(value: Value | None, place: SourceLocation, *, predicate: bool = False, name: str | None = None) -> Found:
    if isinstance(value, Text):
        yield EmbeddedText(place.path, value, predicate, name=name)


def _mapped(value: Value | None, place: SourceLocation) -> Found:
    for key, member in _members(value):
        yield from _one(member, place / key.decoded, name=key.decoded)


def _in_parser(root: Object) -> Found:
    if (root.text("filterClassName") or "").strip() in STELLAR_FILTERS:
        query = _member(root, "parserConfig", "filter.query")
        yield from _one(query, SourceLocation("", "parserConfig") / "filter.query", predicate=True)
    for index, transformation in enumerate(_items(root.get("fieldTransformations"))):
        place = SourceLocation("", "fieldTransformations") / index / "config"
        config = _member(transformation, "config")
        match _text(transformation, "transformation"):
            case "STELLAR":
                yield from _mapped(config, place)
            case "REMOVE":
                yield from _one(_member(config, "condition"), place / "condition", predicate=True)


def _text(value: Value | None, name: str) -> str | None:
    return value.text(name) if isinstance(value, Object) else None


def _in_enrichment(root: Object) -> Found:
    for key, part in root.members:
        name = ENRICHMENT_PARTS.get(key.decoded.lower(), key.decoded)
        place = SourceLocation("", name)
        if name in ("enrichment", "threatIntel"):
            yield from _in_adapter(_member(part, "fieldMap", "stellar"), place / "fieldMap" / "stellar" / "config")
        if name == "threatIntel":
            rules = _member(part, "triageConfig", "riskLevelRules")
            yield from _in_rules(rules, place / "triageConfig" / "riskLevelRules")


def _in_adapter(adapter: Value | None, place: SourceLocation) -> Found:
    # A list may stand in the place of the map whose `config` it is
    config = adapter if isinstance(adapter, Array) else _member(adapter, "config")
    yield from _assigned(config, place)
    for name, group in _members(config):
        yield from _assigned(group, place / name.decoded)
        yield from _mapped(group, place / name.decoded)
    yield from _mapped(config, place)


def _assigned(value: Value | None, place: SourceLocation) -> Found:
    for index, item in enumerate(_items(value)):
        if isinstance(item, Text):
            match = ASSIGNMENT.fullmatch(item.decoded)
            yield EmbeddedText((place / index).path, item, assignment=True, name=match[1] if match else None)


def _in_rules(rules: Value | None, place: SourceLocation) -> Found:
    for index, rule in enumerate(_items(rules)):
        yield from _one(_member(rule, "rule"), place / index / "rule", predicate=True)
        yield from _one(_member(rule, "score"), place / index / "score")
        yield from _one(_member(rule, "reason"), place / index / "reason")
    # The older form is a map from rule to score
    for key, score in _members(rules):
        yield EmbeddedText((place / key.decoded / "rule").path, key, predicate=True)
        yield from _one(score, place / key.decoded / "score")


def _in_global(root: Object) -> Found:
    for index, validation in enumerate(_items(root.get("fieldValidations"))):
        if _text(validation, "validation") == "STELLAR":
            place = SourceLocation("", "fieldValidations") / index / "config" / "condition"
            yield from _one(_member(validation, "config", "condition"), place, predicate=True)


def _in_profiler(root: Object) -> Found:
    for index, profile in enumerate(_items(root.get("profiles"))):
        place = SourceLocation("", "profiles") / index
        yield from _one(_member(profile, "onlyif"), place / "onlyif", predicate=True)
        yield from _one(_member(profile, "foreach"), place / "foreach")
        for group, item in enumerate(_items(_member(profile, "groupBy"))):
            yield from _one(item, place / "groupBy" / group)
        yield from _mapped(_member(profile, "init"), place / "init")
        yield from _mapped(_member(profile, "update"), place / "update")
        result = _member(profile, "result")
        yield from _one(result, place / "result")
        yield from _one(_member(result, "profile"), place / "result" / "profile")
        yield from _mapped(_member(result, "triage"), place / "result" / "triage")


_LOOK: Mapping[Kind, Callable[[Object], Found]] = {
    "parsers": _in_parser,
    "enrichments": _in_enrichment,
    "profiler": _in_profiler,
    "global": _in_global,
}


def _outputs(root: Value | None) -> Iterator[str]:
    """The names of fields that transformations read and write."""
    for transformation in _items(_member(root, "fieldTransformations")):
        for key in ("input", "output"):
            named = _member(transformation, key)
            for name in [named, *_items(named)]:
                if isinstance(name, Text):
                    yield name.decoded
        if _text(transformation, "transformation") == "RENAME":
            yield from (
                name.decoded for _, name in _members(_member(transformation, "config")) if isinstance(name, Text)
            )
