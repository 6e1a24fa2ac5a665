"""Analysis of documents in an editor: their expressions, diagnostics, names and completions.

Independent of the protocol: positions are spans of code points in the document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from stellar.language.diagnostics import KEYWORDS
from stellar.language.errors import ConfigError, StellarError
from stellar.language.expression import default_library
from stellar.language.library import Library
from stellar.language.parser import parse
from stellar.language.resolver import resolve
from stellar.language.source import Span
from stellar.pipeline.config.embedded_expressions import EmbeddedText, Kind, detect_kind, parse_configuration
from stellar.pipeline.config.format import format_configuration
from stellar.pipeline.config.json_positions import JsonString
from stellar.pipeline.editor import check_file, find_library
from stellar.repl.lines import COMMENTS, find_expression
from stellar.tooling.checks import find_problems
from stellar.tooling.completion import Candidate, CompletionScope, OpenCall, complete_expression, find_call
from stellar.tooling.findings import ERROR, Finding
from stellar.tooling.formatter import StatementError, format_file
from stellar.tooling.lexing import tokenize
from stellar.tooling.statements import Statement, read_statements
from stellar.util.cached_properties import cached_property

CONFIGURATION = "configuration"
NOT_JSON = "not-json"

# Characters of the largest document that is analysed
LARGEST = 4 * 1024 * 1024


class OffsetMap(Protocol):
    """A mapping between offsets in an expression's source and in its document."""

    def in_file(self, offset: int) -> int: ...

    def in_text(self, offset: int) -> int: ...


@dataclass(frozen=True, slots=True)
class ShiftedOffsets:
    """The mapping for a source that its document contains unescaped."""

    by: int

    def in_file(self, offset: int) -> int:
        return offset + self.by

    def in_text(self, offset: int) -> int:
        return offset - self.by


@dataclass(frozen=True)
class Fragment:
    """An expression in a document.

    source: the expression, padded with spaces so that offsets match the statement
    begin: offset in the source at which the expression can start
    offsets: mapping between offsets in the source and in the document
    whole: span of the statement in the document
    name: the variable or field that is assigned, if any
    name_span: span of that name in the document, if it is in the statement
    embedded: the expression of a configuration that this is
    """

    source: str
    begin: int
    offsets: OffsetMap
    whole: Span
    name: str | None = None
    name_span: Span | None = None
    embedded: EmbeddedText | None = None

    @property
    def one_line(self) -> str:
        """The expression on one line."""
        return " ".join(self.source.split())

    def to_document(self, span: Span) -> Span:
        """Convert a span of the source to one of the document."""
        return Span(self.offsets.in_file(span.start), self.offsets.in_file(span.end))

    def encode(self, source: str) -> str:
        """Escape Stellar for insertion into the document."""
        return source if self.embedded is None else _escape_json(source)


def _escape_json(source: str) -> str:
    return json.dumps(source, ensure_ascii=False)[1:-1]


@dataclass(frozen=True, slots=True)
class Fix:
    """A replacement for a span of the document."""

    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A diagnostic of a document.

    name: the name of a lint, or `error`, `not-json` or `configuration`
    is_error: False for a warning
    fix: a replacement that fixes it, if known
    """

    span: Span
    message: str
    name: str
    is_error: bool
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """The analysis of an expression.

    problems: its errors and lint findings
    reads: the variables that it reads, with their spans; None if it is not Stellar
    """

    problems: tuple[Finding, ...]
    reads: tuple[tuple[str, Span], ...] | None


@lru_cache(maxsize=4096)  # while one expression is edited, the others do not change
def analyse(source: str, library: Library) -> Analysis:
    """Analyse an expression."""
    problems = tuple(find_problems(source, library))
    try:
        reads = resolve(parse(source), library, source, check_calls=False).reads if source.strip() else ()
    except StellarError:
        return Analysis(problems, None)
    return Analysis(problems, reads)


@dataclass(frozen=True, slots=True)
class Word:
    """A name or keyword in an expression.

    span: its span in the source of the fragment
    is_call: True for a name before an opening parenthesis
    """

    text: str
    span: Span
    fragment: Fragment
    is_call: bool


class Document(Protocol):
    """A file in an editor.

    source: its content
    fragments: its expressions, in order
    library: the functions that they can call; None if unknown
    notices: its diagnostics, in order
    """

    source: str

    @property
    def fragments(self) -> tuple[Fragment, ...]: ...

    @property
    def library(self) -> Library | None: ...

    @property
    def notices(self) -> list[Notice]: ...

    def find_fragment(self, offset: int) -> Fragment | None:
        """Return the fragment at an offset, or the one that input there would create; None outside expressions."""

    def find_variables(self, fragment: Fragment) -> dict[str, str]:
        """Return the known variables that a fragment can read, each with the expression that sets it, or ''."""

    def format(self) -> str | None:
        """Return the formatted content; None if it has syntax errors."""


def get_library(document: Document) -> Library:
    """Return the functions of a document, by default all."""
    return default_library() if document.library is None else document.library


# -- Files of statements ----------------------------------------------------------------------------------------------


class StatementDocument:
    """A `.stellar` file."""

    def __init__(self, source: str) -> None:
        self.source = source

    @property
    def library(self) -> Library:
        return default_library()

    @cached_property
    def fragments(self) -> tuple[Fragment, ...]:
        lines = self.source.split("\n")
        starts = [0, *accumulate(len(line) + 1 for line in lines)]
        return tuple(
            _create_statement_fragment(each, starts[each.line - 1])
            for each in read_statements(lines)
            if not each.is_command
        )

    @cached_property
    def notices(self) -> list[Notice]:
        return [notice for fragment in self.fragments for notice in _check_statement(fragment, self.library)]

    def find_fragment(self, offset: int) -> Fragment | None:
        start = self.source.rfind("\n", 0, offset) + 1
        line, _, _ = self.source[start:].partition("\n")
        if line.lstrip().startswith(COMMENTS):
            return None
        for fragment in self.fragments:
            if (start <= fragment.whole.start or line[:1] in _INDENTS) and _contains(fragment.whole, offset):
                return fragment
        # A line outside all statements starts a new one, unless it is a question to the shell
        begin = find_expression(line)
        return (
            None
            if begin is None
            else Fragment(" " * begin + line[begin:], begin, ShiftedOffsets(start), Span(start, start + len(line)))
        )

    def find_variables(self, fragment: Fragment) -> dict[str, str]:
        before = [each for each in self.fragments if each.whole.start < fragment.whole.start]
        return _collect_reads(self, fragment) | _collect_assignments(before)

    def format(self) -> str | None:
        try:
            return format_file(self.source)
        except StatementError:
            return None


_INDENTS = (" ", "\t")


def _create_statement_fragment(statement: Statement, start: int) -> Fragment:
    """Create the fragment of a statement that starts at an offset of the document."""
    text, name, source = statement.text, statement.name, statement.expression
    whole = Span(start, start + len(text.rstrip("\r\n")))
    if name is None:
        return Fragment(source, 0, ShiftedOffsets(start), whole)
    name_start = start + text.index(name)
    return Fragment(
        source, text.index(":=") + 2, ShiftedOffsets(start), whole, name, Span(name_start, name_start + len(name))
    )


def _check_statement(fragment: Fragment, library: Library) -> Iterator[Notice]:
    if fragment.name_span is not None and not fragment.source.strip():
        message = "missing expression after :=\nhint: write null to set it to null"
        yield Notice(fragment.name_span, message, ERROR, is_error=True)
    else:
        yield from _check_expression(fragment, library)


# -- Configurations ---------------------------------------------------------------------------------------------------


class ConfigurationDocument:
    """A configuration file of Metron."""

    def __init__(self, source: str, kind: Kind, file: Path) -> None:
        self.source = source
        self.kind = kind
        self.file = file
        self._configuration = parse_configuration(source, kind)

    @cached_property
    def library(self) -> Library | None:
        return find_library(self.source, self.kind, self.file)

    @cached_property
    def fragments(self) -> tuple[Fragment, ...]:
        return tuple(map(_create_embedded_fragment, self._configuration.texts))

    @cached_property
    def notices(self) -> list[Notice]:
        notices = list(self._check_file())
        for fragment in self.fragments:
            # Invalid assignments are reported by the check of the file
            if fragment.embedded is None or fragment.name is not None or not fragment.embedded.assignment:
                notices += _check_expression(fragment, self.library)
        return sorted(notices, key=lambda notice: notice.span.start)

    def _check_file(self) -> Iterator[Notice]:
        if (problem := self._configuration.problem) is not None:
            span = Span(problem.offset, problem.offset + 1)
            yield Notice(span, f"not JSON: {problem.message}", NOT_JSON, is_error=True)
            return
        result = check_file(self.source, self.kind, self.file)
        for error in result.problems:
            yield self._create_notice(error.path, error.message, is_error=True)
        for warning in result.warnings:
            yield self._create_notice(warning.location.path, warning.message, is_error=False)

    def _create_notice(self, path: str, message: str, *, is_error: bool) -> Notice:
        key = self._configuration.key(path)
        if key is not None and (not is_error or message.startswith("unknown key ")):
            return Notice(key.span, message, CONFIGURATION, is_error, _suggest_json_fix(key, message))
        value = self._configuration.value(path)
        fix = _suggest_json_fix(value, message) if isinstance(value, JsonString) else None
        return Notice(self._configuration.span(path), message, CONFIGURATION, is_error, fix)

    def find_fragment(self, offset: int) -> Fragment | None:
        return next((each for each in self.fragments if _contains(each.whole, offset)), None)

    def find_variables(self, fragment: Fragment) -> dict[str, str]:
        others = [each for each in self.fragments if each.whole != fragment.whole]
        return (
            dict.fromkeys(self._configuration.fields, "")
            | _collect_reads(self, fragment)
            | _collect_assignments(others)
        )

    def format(self) -> str | None:
        try:
            return format_configuration(str(self.file), self.source)
        except ConfigError:
            return None


def _create_embedded_fragment(text: EmbeddedText) -> Fragment:
    begin, name_span = text.expression.start, None
    if text.assignment and text.name is not None:
        start = text.text.index(text.name)
        name_span = Span(text.json.in_file(start), text.json.in_file(start + len(text.name)))
    source = " " * begin + text.text[begin:]
    return Fragment(source, begin, text.json, text.json.inner, text.name, name_span, embedded=text)


_SUGGESTION = re.compile(r"did you mean (.+)\?$", re.MULTILINE)


def _suggest_json_fix(text: JsonString, message: str) -> Fix | None:
    suggestion = _SUGGESTION.search(message)
    return None if suggestion is None else Fix(text.inner, _escape_json(suggestion[1]))


def create_document(source: str, file: Path, language: str | None = None) -> Document | None:
    """Create the document of a file; None if it is too large, or JSON that is not a configuration of Metron.

    language: identifier of the language in the editor
    """
    if len(source) > LARGEST:
        return None
    if file.suffix != ".json" and language not in ("json", "jsonc"):
        return StatementDocument(source)
    kind = detect_kind(file, source)
    return None if kind is None else ConfigurationDocument(source, kind, file)


# -- Diagnostics of expressions ---------------------------------------------------------------------------------------


def _check_expression(fragment: Fragment, library: Library | None) -> Iterator[Notice]:
    for problem in analyse(fragment.source, default_library() if library is None else library).problems:
        if library is None and problem.message.startswith(_UNKNOWN_FUNCTION):
            continue
        message = f"{problem.message}\nhint: {problem.hint}" if problem.hint else problem.message
        span = fragment.to_document(problem.span)
        yield Notice(span, message, problem.name, problem.severity == ERROR, _suggest_function(fragment, problem))


_UNKNOWN_FUNCTION = "unknown function "


def _suggest_function(fragment: Fragment, problem: Finding) -> Fix | None:
    """Return the replacement of an unknown function by the suggested one, if any."""
    suggestion = _SUGGESTION.search(problem.hint or "")
    if suggestion is None or not problem.message.startswith(_UNKNOWN_FUNCTION):
        return None
    start = problem.span.start
    end = start + len(problem.message.removeprefix(_UNKNOWN_FUNCTION))
    return Fix(fragment.to_document(Span(start, end)), suggestion[1])


# -- Names ------------------------------------------------------------------------------------------------------------


_WORDS = ("NAME", "_NOT_IN")


def find_word(document: Document, offset: int) -> Word | None:
    """Return the name or keyword at an offset, or directly before it."""
    if (fragment := document.find_fragment(offset)) is None:
        return None
    inner = fragment.offsets.in_text(offset)
    for token in tokenize(fragment.source):
        text = fragment.source[token.start : token.end]
        if token.start <= inner <= token.end and (token.kind in _WORDS or text in KEYWORDS):
            is_call = fragment.source[token.end :].lstrip().startswith("(")
            return Word(text, Span(token.start, token.end), fragment, is_call and token.kind == "NAME")
    return None


def find_assignment(document: Document, word: Word) -> Fragment | None:
    """Return the last assignment before a word to the variable that it reads, or else the first one.

    None if there is no assignment, or if the word does not read a variable.
    """
    reads = analyse(word.fragment.source, get_library(document)).reads
    if word.is_call or (reads is not None and not any(_is_within(word.span, span) for _, span in reads)):
        return None
    assignments = [each for each in document.fragments if each.name == word.text and each.whole != word.fragment.whole]
    before = [each for each in assignments if each.whole.start < word.fragment.whole.start]
    return before[-1] if before else next(iter(assignments), None)


def _is_within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _contains(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end


def find_candidates(document: Document, offset: int) -> tuple[Fragment, list[Candidate]] | None:
    """Return the fragment at an offset and the completions there; None outside expressions."""
    fragment = document.find_fragment(offset)
    if fragment is None or (inner := fragment.offsets.in_text(offset)) < fragment.begin:
        return None
    scope = CompletionScope(get_library(document), document.find_variables(fragment))
    return fragment, complete_expression(fragment.source, inner, scope)


def find_open_call(document: Document, offset: int) -> OpenCall | None:
    """Return the innermost open call at an offset."""
    fragment = document.find_fragment(offset)
    return (
        None
        if fragment is None
        else find_call(fragment.source, fragment.offsets.in_text(offset), get_library(document))
    )


def _collect_assignments(fragments: Iterable[Fragment]) -> dict[str, str]:
    return {fragment.name: fragment.one_line for fragment in fragments if fragment.name is not None}


def _collect_reads(document: Document, fragment: Fragment) -> dict[str, str]:
    library = get_library(document)
    others = (each for each in document.fragments if each.whole != fragment.whole)
    return {name: "" for each in others for name, _ in analyse(each.source, library).reads or () if name != "_"}
