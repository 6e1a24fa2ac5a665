"""Cells of a notebook: execution of their statements, completion and help."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from stellar.language.errors import StellarError
from stellar.language.source import Span, snippet
from stellar.repl.commands import MAGICS
from stellar.repl.lines import (
    COMMENTS,
    QUESTION,
    complete_line,
    find_expression,
    find_syntax_error,
    is_unfinished,
    split_statements,
)
from stellar.repl.rendering import as_html, as_text, visible
from stellar.repl.session import NO_OUTPUT, Quit, Session
from stellar.tooling import documentation
from stellar.tooling.completion import Candidate, find_call
from stellar.tooling.statements import Statement

# Width of tables for front ends without HTML
WIDTH = 100

# Representations of a value by MIME type
Bundle = dict[str, str]


@dataclass(frozen=True, slots=True)
class CellOutput:
    """The output of a statement.

    bundle: representations of its value
    last: True for the last statement of the cell, whose value is the result of the cell
    """

    bundle: Bundle
    last: bool


@dataclass(frozen=True, slots=True)
class Note:
    """A message of a command in addition to its value, or a warning."""

    text: str
    is_warning: bool = False


class CellError(Exception):
    """A statement of a cell failed.

    name: class of the error
    message: its message
    lines: the message, the source location in the cell, and a hint
    """

    def __init__(self, name: str, message: str, lines: list[str]) -> None:
        super().__init__(name, message, lines)
        self.name = name
        self.message = message
        self.lines = lines


# -- Execution --------------------------------------------------------------------------------------------------------


def run(cell: str, session: Session) -> Iterator[CellOutput | Note]:
    """Execute the statements of a cell and yield their output as it is produced.

    Values are shown except null, and except those of assignments before the last statement. `quit` is ignored. Raise
    CellError at the first statement that fails.
    """
    split = split_statements(cell)
    for statement in split:
        last = statement is split[-1]
        logged = _WarningCollector()
        try:
            with logged:
                value = session.execute(statement.text)
        except Quit:
            continue
        except Exception as error:
            yield from (*logged.notes, *_notes(session))
            raise create_error(error, statement) from error
        yield from logged.notes
        if value is not None and value != NO_OUTPUT and (last or not _is_assignment(statement)):
            yield CellOutput(_find_asked_help(statement, session) or render(value), last)
        yield from _notes(session)


class _WarningCollector(logging.Handler):
    """Collects the different warnings that the package logs in a `with` block, such as failures of model calls."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: dict[str, None] = {}
        self._logger = logging.getLogger("stellar")
        self._propagates = self._logger.propagate

    def emit(self, record: logging.LogRecord) -> None:
        self._messages[record.getMessage()] = None

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagates

    @property
    def notes(self) -> list[Note]:
        """The warnings; only the first ones of many."""
        messages = [f"warning: {visible(message)}" for message in self._messages]
        more = [f"warning: {len(messages) - MAX_WARNINGS} more"] if len(messages) > MAX_WARNINGS else []
        return [Note(text, is_warning=True) for text in [*messages[:MAX_WARNINGS], *more]]


# Different warnings that a statement shows
MAX_WARNINGS = 20


def render(value: object) -> Bundle:
    """Render a value as plain text, and a table also as HTML."""
    html = as_html(value)
    return {"text/plain": as_text(value, WIDTH)} | ({} if html is None else {"text/html": html})


def _notes(session: Session) -> Iterator[Note]:
    return (Note(note) for note in session.take_notes())


def _is_assignment(statement: Statement) -> bool:
    if statement.name is not None:
        return True
    word = statement.text.split(maxsplit=1)[0]
    return word in MAGICS and MAGICS[word].takes == "assignment"


def _find_asked_help(statement: Statement, session: Session) -> Bundle | None:
    """Return the help for a statement such as ?TRIM; None for other statements."""
    question = QUESTION.fullmatch(statement.text.strip())
    return None if question is None else find_help(question[1] or question[2] or "", session)


def create_error(error: Exception, statement: Statement = Statement(1, "")) -> CellError:  # noqa: B008 - immutable
    """Convert an error to the error of a cell, with its source location and hint."""
    name = type(error).__name__
    match error:
        case StellarError():
            hint = [visible(f"hint: {error.hint}")] if error.hint else []
            lines = [visible(error.message), visible(_locate(error, statement)), *hint]
            return CellError(name, visible(error.message), lines)
        case OSError(filename=str(file), strerror=str(reason)):
            return CellError(name, f"{file}: {reason}", [f"{file}: {reason}"])
        case LookupError() | ValueError() | OSError():
            message = visible(str(error))
            return CellError(name, message.split("\n")[0], [message])
        case _:
            message = f"internal error: {name}: {error}"
            return CellError(name, message, [*traceback.format_exception(error), message])


def _locate(error: StellarError, statement: Statement) -> str:
    """Return the marked line of the cell, or of another source, such as that of a lambda from an earlier cell."""
    text = statement.text.rstrip()
    if not text.endswith(error.source):
        return snippet(error.source, error.span)
    begin = len(text) - len(error.source)
    return snippet(text, Span(error.span.start + begin, error.span.end + begin), statement.line)


# -- Completion and help ----------------------------------------------------------------------------------------------

_NAME_BEFORE = re.compile(r"[%\w.:$]*\Z")
_NAME_AFTER = re.compile(r"[\w.:$]*")


def complete(cell: str, cursor: int, session: Session) -> list[Candidate]:
    """Return the completions at the cursor."""
    begin = _statement_begin(cell, cursor)
    if begin is None:
        return []
    return [
        Candidate(each.text, each.start + begin, each.kind, each.about)
        for each in complete_line(cell[begin:cursor], cursor - begin, session)
    ]


def inspect(cell: str, cursor: int, session: Session) -> Bundle | None:
    """Return the help of the name at the cursor, or of the call around it; None if there is neither."""
    before, after = _NAME_BEFORE.search(cell, 0, cursor), _NAME_AFTER.match(cell, cursor)
    name = (before[0] if before else "") + (after[0] if after else "")
    if name and (bundle := find_help(name, session)) is not None:
        return bundle
    if (begin := _statement_begin(cell, cursor)) is None or (offset := find_expression(cell[begin:cursor])) is None:
        return None
    begin += offset
    call = find_call(cell[begin:cursor], cursor - begin, session.library)
    return None if call is None else find_help(call.function.name, session)


def find_help(name: str, session: Session) -> Bundle | None:
    """Return the help of a function, variable or command; None for an unknown name."""
    try:
        bundle = {"text/plain": session.help(name)}
    except LookupError:
        return None
    if name in session.library:
        bundle["text/markdown"] = documentation.describe_function(session.library[name])
    elif (value := session.variables.values.get(name)) is not None:
        bundle["text/plain"] += f"\n{as_text(value, WIDTH)}"
    return bundle


def check_completeness(cell: str) -> str:
    """Return `complete` if a cell can be executed, otherwise `incomplete` or `invalid`."""
    split = split_statements(cell)
    if split and is_unfinished(split[-1].text):
        return "incomplete"
    return "invalid" if any(find_syntax_error(statement.text) for statement in split) else "complete"


def _statement_begin(cell: str, cursor: int) -> int | None:
    """Return the offset of the statement at the cursor; None in a comment."""
    lines = cell[:cursor].split("\n")
    if lines[-1].lstrip().startswith(COMMENTS):
        return None
    split = split_statements("\n".join(lines))
    last = split[-1] if split else None
    if last is None or (not lines[-1] and not is_unfinished(last.text)):
        return cursor  # a new statement starts here
    return sum(len(line) + 1 for line in lines[: last.line - 1])
