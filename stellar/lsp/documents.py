"""Documents as an editor has them: the Stellar texts in a file, what there is to say of it, and what its names mean.

Nothing here knows the protocol: places are spans of code points in the whole document.
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
from stellar.repl.lines import COMMENTS, expression_begin
from stellar.tooling.checks import ERROR, Problem, problems
from stellar.tooling.completion import CallAt, Candidate, Names, call_at, complete
from stellar.tooling.formatter import StatementError, formatted_file
from stellar.tooling.lexing import pieces as lexed
from stellar.tooling.statements import Statement, statements
from stellar.util.cached_properties import cached_property

CONFIGURATION = "configuration"
NOT_JSON = "not-json"

# In characters
LARGEST = 4 * 1024 * 1024


class Where(Protocol):
    """Offsets in a text, and the same in its document."""

    def in_file(self, offset: int) -> int: ...

    def in_text(self, offset: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Shifted:
    """The place of a text that stands in its document just as it is meant."""

    by: int

    def in_file(self, offset: int) -> int:
        return offset + self.by

    def in_text(self, offset: int) -> int:
        return offset - self.by


@dataclass(frozen=True)
class Piece:
    """A Stellar text in a document.

    source: the expression, with blanks for whatever else stands in the text, such as the name that it is assigned to
    begin: where in the source the expression may begin
    where: the place of the source
    whole: all of the text, in the document
    name: what gets its value, if anything does
    named: where that name stands in the text, if it does
    embedded: the text of a configuration that this is
    """

    source: str
    begin: int
    where: Where
    whole: Span
    name: str | None = None
    named: Span | None = None
    embedded: EmbeddedText | None = None

    @property
    def shown(self) -> str:
        """The expression on one line."""
        return " ".join(self.source.split())

    def in_document(self, span: Span) -> Span:
        return Span(self.where.in_file(span.start), self.where.in_file(span.end))

    def written(self, text: str) -> str:
        """Some Stellar as it must be written into this text."""
        return text if self.embedded is None else _in_json(text)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@dataclass(frozen=True, slots=True)
class Fix:
    """A mend: what to write in the place of what."""

    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be said of a place in a document.

    name: the name of a lint; `error`, `not-json` or `configuration` for what is none
    serious: whether it can't be used so
    fix: how to mend it, where that is known to the letter
    """

    span: Span
    message: str
    name: str
    serious: bool
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What can be told of an expression.

    problems: what is wrong with it, or seldom meant
    reads: the variables that it reads, and where; None if it is not Stellar
    """

    problems: tuple[Problem, ...]
    reads: tuple[tuple[str, Span], ...] | None


@lru_cache(maxsize=4096)  # while one text is typed, the others stay
def analysed(source: str, library: Library) -> Analysis:
    found = tuple(problems(source, library))
    try:
        reads = resolve(parse(source), library, source, check_calls=False).reads if source.strip() else ()
    except StellarError:
        return Analysis(found, None)
    return Analysis(found, reads)


@dataclass(frozen=True, slots=True)
class Word:
    """A name or keyword in a text, and where in its source it stands; `called` if a bracket follows a name."""

    text: str
    span: Span
    piece: Piece
    called: bool


class Document(Protocol):
    """A file as an editor has it.

    source: all of it
    pieces: its Stellar texts, in order
    library: the functions that they may call; None if that can't be told
    notices: what there is to say of it, in order
    """

    source: str

    @property
    def pieces(self) -> tuple[Piece, ...]: ...

    @property
    def library(self) -> Library | None: ...

    @property
    def notices(self) -> list[Notice]: ...

    def piece_at(self, offset: int) -> Piece | None:
        """The Stellar text in which an offset is, or in which something typed there would be."""

    def names_for(self, piece: Piece) -> dict[str, str]:
        """The variables that this text may read, as far as they are known, each with the expression that sets it."""

    def formatted(self) -> str | None:
        """All of it as it should look; None as long as something in it is not Stellar, of which notices tell."""


def functions_of(document: Document) -> Library:
    """The functions that may be called in a document, as far as that can be told."""
    return default_library() if document.library is None else document.library


# -- Files of statements ----------------------------------------------------------------------------------------------


class Statements:
    """A `.stellar` file."""

    def __init__(self, source: str) -> None:
        self.source = source

    @property
    def library(self) -> Library:
        return default_library()

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        lines = self.source.split("\n")
        starts = [0, *accumulate(len(line) + 1 for line in lines)]
        return tuple(_stated(each, starts[each.line - 1]) for each in statements(lines) if not each.is_command)

    @cached_property
    def notices(self) -> list[Notice]:
        return [notice for piece in self.pieces for notice in _of_statement(piece, self.library)]

    def piece_at(self, offset: int) -> Piece | None:
        start = self.source.rfind("\n", 0, offset) + 1
        line, _, _ = self.source[start:].partition("\n")
        if line.lstrip().startswith(COMMENTS):
            return None
        for piece in self.pieces:
            if (start <= piece.whole.start or line[:1] in _INDENTS) and _holds(piece.whole, offset):
                return piece
        # On a line of its own something new begins, though not behind a question to the shell
        begin = expression_begin(line)
        return (
            None
            if begin is None
            else Piece(" " * begin + line[begin:], begin, Shifted(start), Span(start, start + len(line)))
        )

    def names_for(self, piece: Piece) -> dict[str, str]:
        before = [each for each in self.pieces if each.whole.start < piece.whole.start]
        return _read_by_others(self, piece) | _assigned(before)

    def formatted(self) -> str | None:
        try:
            return formatted_file(self.source)
        except StatementError:
            return None


_INDENTS = (" ", "\t")


def _stated(statement: Statement, start: int) -> Piece:
    """The piece of a statement that begins at an offset in its document."""
    text, name, source = statement.text, statement.name, statement.expression
    whole = Span(start, start + len(text.rstrip("\r\n")))
    if name is None:
        return Piece(source, 0, Shifted(start), whole)
    named = start + text.index(name)
    return Piece(source, text.index(":=") + 2, Shifted(start), whole, name, Span(named, named + len(name)))


def _of_statement(piece: Piece, library: Library) -> Iterator[Notice]:
    if piece.named is not None and not piece.source.strip():
        message = "behind the name stands no expression\nhint: write null if that is meant"
        yield Notice(piece.named, message, ERROR, serious=True)
    else:
        yield from _of_expression(piece, library)


# -- Configurations ---------------------------------------------------------------------------------------------------


class Configured:
    """A file of a configuration."""

    def __init__(self, source: str, kind: Kind, file: Path) -> None:
        self.source = source
        self.kind = kind
        self.file = file
        self._found = parse_configuration(source, kind)

    @cached_property
    def library(self) -> Library | None:
        return find_library(self.source, self.kind, self.file)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(map(_embedded, self._found.texts))

    @cached_property
    def notices(self) -> list[Notice]:
        found = list(self._of_file())
        for piece in self.pieces:
            # What is no assignment, but should be, is a matter of the file
            if piece.embedded is None or piece.name is not None or not piece.embedded.assignment:
                found += _of_expression(piece, self.library)
        return sorted(found, key=lambda notice: notice.span.start)

    def _of_file(self) -> Iterator[Notice]:
        if (problem := self._found.problem) is not None:
            span = Span(problem.offset, problem.offset + 1)
            yield Notice(span, f"not JSON: {problem.message}", NOT_JSON, serious=True)
            return
        said = check_file(self.source, self.kind, self.file)
        for error in said.problems:
            yield self._complaint(error.path, error.message, serious=True)
        for remark in said.warnings:
            yield self._complaint(remark.location.path, remark.message, serious=False)

    def _complaint(self, path: str, message: str, *, serious: bool) -> Notice:
        key = self._found.key(path)
        if key is not None and (not serious or message.startswith("unknown key ")):
            return Notice(key.span, message, CONFIGURATION, serious, _json_fix(key, message))
        value = self._found.value(path)
        fix = _json_fix(value, message) if isinstance(value, JsonString) else None
        return Notice(self._found.span(path), message, CONFIGURATION, serious, fix)

    def piece_at(self, offset: int) -> Piece | None:
        return next((each for each in self.pieces if _holds(each.whole, offset)), None)

    def names_for(self, piece: Piece) -> dict[str, str]:
        others = [each for each in self.pieces if each.whole != piece.whole]
        return dict.fromkeys(self._found.fields, "") | _read_by_others(self, piece) | _assigned(others)

    def formatted(self) -> str | None:
        try:
            return format_configuration(str(self.file), self.source)
        except ConfigError:
            return None


def _embedded(text: EmbeddedText) -> Piece:
    begin, named = text.expression.start, None
    if text.assignment and text.name is not None:
        start = text.text.index(text.name)
        named = Span(text.json.in_file(start), text.json.in_file(start + len(text.name)))
    source = " " * begin + text.text[begin:]
    return Piece(source, begin, text.json, text.json.inner, text.name, named, embedded=text)


_MEANT = re.compile(r"did you mean (.+)\?$", re.MULTILINE)


def _json_fix(text: JsonString, message: str) -> Fix | None:
    meant = _MEANT.search(message)
    return None if meant is None else Fix(text.inner, _in_json(meant[1]))


def document(source: str, file: Path, language: str | None = None) -> Document | None:
    """The document of a file; None if it is too large to be written by hand, or JSON in which no Stellar may stand.

    language: what the editor takes it for
    """
    if len(source) > LARGEST:
        return None
    if file.suffix != ".json" and language not in ("json", "jsonc"):
        return Statements(source)
    kind = detect_kind(file, source)
    return None if kind is None else Configured(source, kind, file)


# -- What is said of an expression ------------------------------------------------------------------------------------


def _of_expression(piece: Piece, library: Library | None) -> Iterator[Notice]:
    for problem in analysed(piece.source, default_library() if library is None else library).problems:
        if library is None and problem.message.startswith(_UNKNOWN_FUNCTION):
            continue
        message = f"{problem.message}\nhint: {problem.hint}" if problem.hint else problem.message
        span = piece.in_document(problem.span)
        yield Notice(span, message, problem.name, problem.name == ERROR, _function_fix(piece, problem))


_UNKNOWN_FUNCTION = "unknown function "


def _function_fix(piece: Piece, problem: Problem) -> Fix | None:
    """For the call of an unknown function: the name that is meant."""
    meant = _MEANT.search(problem.hint or "")
    if meant is None or not problem.message.startswith(_UNKNOWN_FUNCTION):
        return None
    start = problem.span.start
    end = start + len(problem.message.removeprefix(_UNKNOWN_FUNCTION))
    return Fix(piece.in_document(Span(start, end)), meant[1])


# -- What names mean --------------------------------------------------------------------------------------------------


_WORDS = ("NAME", "_NOT_IN")


def word_at(document: Document, offset: int) -> Word | None:
    """The name or keyword that an offset is in, or right behind."""
    if (piece := document.piece_at(offset)) is None:
        return None
    inner = piece.where.in_text(offset)
    for token in lexed(piece.source):
        text = piece.source[token.start : token.end]
        if token.start <= inner <= token.end and (token.kind in _WORDS or text in KEYWORDS):
            called = piece.source[token.end :].lstrip().startswith("(")
            return Word(text, Span(token.start, token.end), piece, called and token.kind == "NAME")
    return None


def assignment_of(document: Document, word: Word) -> Piece | None:
    """The text that assigns the variable which is read at a word: the last one before it, or else the first.

    None if there is none, or the word is something else, such as the parameter of a lambda.
    """
    reads = analysed(word.piece.source, functions_of(document)).reads
    if word.called or (reads is not None and not any(_within(word.span, span) for _, span in reads)):
        return None
    assigning = [each for each in document.pieces if each.name == word.text and each.whole != word.piece.whole]
    before = [each for each in assigning if each.whole.start < word.piece.whole.start]
    return before[-1] if before else next(iter(assigning), None)


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _holds(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end


def candidates(document: Document, offset: int) -> tuple[Piece, list[Candidate]] | None:
    """What may stand at an offset, and in which text; None if no Stellar can stand there."""
    piece = document.piece_at(offset)
    if piece is None or (inner := piece.where.in_text(offset)) < piece.begin:
        return None
    names = Names(functions_of(document), document.names_for(piece))
    return piece, complete(piece.source, inner, names)


def called_at(document: Document, offset: int) -> CallAt | None:
    """The call of a function whose brackets are open at an offset."""
    piece = document.piece_at(offset)
    return None if piece is None else call_at(piece.source, piece.where.in_text(offset), functions_of(document))


def _assigned(pieces: Iterable[Piece]) -> dict[str, str]:
    return {piece.name: piece.shown for piece in pieces if piece.name is not None}


def _read_by_others(document: Document, piece: Piece) -> dict[str, str]:
    library = functions_of(document)
    others = (each for each in document.pieces if each.whole != piece.whole)
    return {name: "" for each in others for name, _ in analysed(each.source, library).reads or () if name != "_"}
