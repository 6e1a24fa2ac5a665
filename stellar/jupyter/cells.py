"""Cells of a notebook: what each of their statements shows, and what may be asked of a place in them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from stellar.language.errors import StellarError
from stellar.language.source import Span, snippet
from stellar.repl.commands import MAGICS
from stellar.repl.lines import COMMENTS, QUESTION, complete_line, expression_begin, is_unfinished, joined, problem
from stellar.repl.rendering import as_html, as_text, visible
from stellar.repl.session import NOTHING_TO_SAY, Quit, Session
from stellar.tooling import documentation as explained
from stellar.tooling.completion import Candidate, call_at
from stellar.tooling.statements import Statement, statements

# How wide a table in a notebook is drawn for who sees no HTML
WIDTH = 100

# A value as notebooks take it: by the types of MIME, in as many forms as there are
Bundle = dict[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a statement shows.

    bundle: the value
    last: whether it is that of the cell's last statement, which is the result of the cell
    """

    bundle: Bundle
    last: bool


@dataclass(frozen=True, slots=True)
class Note:
    """What a command has to say beside its value."""

    text: str


class Failed(Exception):
    """A cell ends here.

    name: what kind of error it is
    message: what went wrong, in a sentence
    lines: the same, with its place in the cell, and what may help
    """

    def __init__(self, name: str, message: str, lines: list[str]) -> None:
        super().__init__(name, message, lines)
        self.name = name
        self.message = message
        self.lines = lines


def statements_of(cell: str) -> list[Statement]:
    """The statements of a cell, as those of a file; one that is not finished goes on also if it is not indented."""
    found = ((statement.line, statement.code) for statement in statements(cell.split("\n")))
    return [Statement(line, code) for line, code in joined(found)]


# -- Running ----------------------------------------------------------------------------------------------------------


def run(cell: str, session: Session) -> Iterator[Shown | Note]:
    """Execute the statements of a cell in turn, and show what they come to, as it comes.

    Every value is shown but null; of a statement that sets a variable or a setting only if it is the last. `quit` does
    nothing here. Raises Failed at the first statement that fails.
    """
    found = statements_of(cell)
    for statement in found:
        last = statement is found[-1]
        try:
            value = session.execute(statement.text)
        except Quit:
            continue
        except Exception as error:
            yield from _notes(session)
            raise failure(error, statement) from error
        if value is not None and value != NOTHING_TO_SAY and (last or not _sets_something(statement)):
            yield Shown(_asked(statement, session) or bundle(value), last)
        yield from _notes(session)


def bundle(value: object) -> Bundle:
    """A value as text, and if it is a table also as HTML."""
    html = as_html(value)
    return {"text/plain": as_text(value, WIDTH)} | ({} if html is None else {"text/html": html})


def _notes(session: Session) -> Iterator[Note]:
    return (Note(note) for note in session.taken_notes())


def _sets_something(statement: Statement) -> bool:
    if statement.name is not None:
        return True
    word = statement.text.split(maxsplit=1)[0]
    return word in MAGICS and MAGICS[word].takes == "assignment"


def _asked(statement: Statement, session: Session) -> Bundle | None:
    """The answer to a question such as ?TRIM; None if it is none."""
    question = QUESTION.fullmatch(statement.text.strip())
    return None if question is None else help_of(question[1] or question[2] or "", session)


def failure(error: Exception, statement: Statement = Statement(1, "")) -> Failed:  # noqa: B008 - it is a constant
    """How an error is told in a notebook: where in the cell, what, and what may help."""
    name = type(error).__name__
    match error:
        case StellarError():
            hint = [visible(f"hint: {error.hint}")] if error.hint else []
            lines = [visible(error.message), visible(_place(error, statement)), *hint]
            return Failed(name, visible(error.message), lines)
        case OSError(filename=str(file), strerror=str(reason)):
            return Failed(name, f"{file}: {reason}", [f"{file}: {reason}"])
        case LookupError() | ValueError() | OSError():
            message = visible(str(error))
            return Failed(name, message.split("\n")[0], [message])
        case _:
            message = f"this should not happen: {name}: {error}"
            return Failed(name, message, [*traceback.format_exception(error), message])


def _place(error: StellarError, statement: Statement) -> str:
    """The line of the cell that an error is in; or that of another text, as of a lambda that was made before."""
    text = statement.text.rstrip()
    if not text.endswith(error.source):
        return snippet(error.source, error.span)
    begin = len(text) - len(error.source)
    return snippet(text, Span(error.span.start + begin, error.span.end + begin), statement.line)


# -- A place in a cell ------------------------------------------------------------------------------------------------

_NAME_BEFORE = re.compile(r"[%\w.:$]*\Z")
_NAME_AFTER = re.compile(r"[\w.:$]*")


def complete(cell: str, cursor: int, session: Session) -> list[Candidate]:
    """What may stand at the cursor."""
    begin = _statement_begin(cell, cursor)
    if begin is None:
        return []
    return [
        Candidate(found.text, found.start + begin, found.kind, found.about)
        for found in complete_line(cell[begin:cursor], cursor - begin, session)
    ]


def inspect(cell: str, cursor: int, session: Session) -> Bundle | None:
    """The help of what stands at the cursor, or else of the function whose arguments the cursor is in."""
    before, after = _NAME_BEFORE.search(cell, 0, cursor), _NAME_AFTER.match(cell, cursor)
    name = (before[0] if before else "") + (after[0] if after else "")
    if name and (found := help_of(name, session)) is not None:
        return found
    if (begin := _statement_begin(cell, cursor)) is None or (part := expression_begin(cell[begin:cursor])) is None:
        return None
    begin += part
    call = call_at(cell[begin:cursor], cursor - begin, session.library)
    return None if call is None else help_of(call.function.name, session)


def help_of(name: str, session: Session) -> Bundle | None:
    """The help of a function, a variable or a command; None if nothing has that name."""
    try:
        found = {"text/plain": session.help(name)}
    except LookupError:
        return None
    if name in session.library:
        found["text/markdown"] = explained.function(session.library[name])
    elif (value := session.variables.values.get(name)) is not None:
        found["text/plain"] += f"\n{as_text(value, WIDTH)}"
    return found


def is_complete(cell: str) -> str:
    """Whether a cell could be run as it stands: complete, incomplete, or invalid."""
    found = statements_of(cell)
    if found and is_unfinished(found[-1].text):
        return "incomplete"
    return "invalid" if any(problem(statement.text) for statement in found) else "complete"


def _statement_begin(cell: str, cursor: int) -> int | None:
    """Where the statement begins that the cursor is in; None in a comment."""
    lines = cell[:cursor].split("\n")
    if lines[-1].lstrip().startswith(COMMENTS):
        return None
    found = statements_of("\n".join(lines))
    last = found[-1] if found else None
    if last is None or (not lines[-1] and not is_unfinished(last.text)):
        return cursor  # a statement may begin here
    return sum(len(line) + 1 for line in lines[: last.line - 1])
