"""The syntax of lines in a shell: their expressions, continuation, completion and highlighting."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.language.errors import IncompleteExpression, ParseError
from stellar.language.parser import NAME, parse
from stellar.repl.commands import MAGICS, Magic
from stellar.tooling.completion import Candidate, complete_expression, function_describer
from stellar.tooling.highlighting import highlight
from stellar.tooling.statements import Statement, read_statements

if TYPE_CHECKING:
    from stellar.repl.session import Session

COMMENTS = ("#", "//")
# The number of the first line, and one or more lines
Numbered = tuple[int, str]
ASSIGNMENT = re.compile(rf"({NAME.pattern})\s*:=(.*)", re.DOTALL)
QUESTION = re.compile(r"\?\s*(\S*)|(%?[\w.:$]+)\s*\?")
COMMAND = re.compile(r"(%\S*)(\s*)(.*)", re.DOTALL)
_ASSIGNMENT_START = re.compile(rf"{NAME.pattern}\s*:=")
_QUESTION_START = re.compile(r"\?\s*(\S*)")
_WORDS = ("quit", "exit")


def find_expression(text: str) -> int | None:
    """Return the offset of the expression in a line; None for lines without one, such as comments and questions."""
    begin = 0
    while True:
        begin += len(text[begin:]) - len(text[begin:].lstrip())
        line = text[begin:]
        if assignment := _ASSIGNMENT_START.match(line):
            begin += assignment.end()
        elif command := COMMAND.fullmatch(line):
            takes = MAGICS[command[1]].takes if command[1] in MAGICS else "nothing"
            if takes == "expression":
                return begin + command.end(1)
            if takes != "assignment" or ":=" not in line:
                return None
            begin += line.index(":=") + 2
        else:
            return None if line.startswith(("?", *COMMENTS)) or line.strip() in _WORDS else begin


def find_syntax_error(text: str) -> ParseError | None:
    """Return the syntax error in the expression of a line; None if it is valid or there is no expression."""
    begin = find_expression(text)
    if begin is None or not text[begin:].strip() or QUESTION.fullmatch(text.strip()):
        return None
    try:
        parse(text[begin:])
    except ParseError as error:
        return error
    return None


def is_unfinished(text: str) -> bool:
    """Return True if more input could complete the expression of a line."""
    return isinstance(find_syntax_error(text), IncompleteExpression)


def join_lines(lines: Iterable[Numbered]) -> Iterator[Numbered]:
    """Yield numbered lines as they arrive, an unfinished expression joined with the lines after it."""
    remaining = iter(lines)
    waiting = deque[Numbered]()

    def next_line() -> Numbered | None:
        return waiting.popleft() if waiting else next(remaining, None)

    while first := next_line():
        parts = [first]
        while is_unfinished(text := "\n".join(line for _, line in parts)) and (line := next_line()):
            parts.append(line)
        if len(parts) > 1 and not isinstance(find_syntax_error(text), IncompleteExpression | None):
            # The first line was invalid rather than unfinished: the lines after it are separate
            waiting.extendleft(reversed(parts[1:]))
            text = first[1]
        yield first[0], text


def split_statements(text: str) -> list[Statement]:
    """Split lines into statements like a file, except that an unfinished one also continues without indentation."""
    numbered = ((statement.line, statement.code) for statement in read_statements(text.split("\n")))
    return [Statement(line, code) for line, code in join_lines(numbered)]


def split_input(text: str) -> list[str]:
    """Return the statements of an input at a prompt, which has several lines if they were pasted.

    Several lines that are one valid expression are one statement.
    """
    if "\n" not in text.strip() or (find_expression(text) is not None and find_syntax_error(text) is None):
        return [text]
    return [statement.text for statement in split_statements(text)]


def is_input_unfinished(text: str) -> bool:
    """Return True if more input could complete the last statement of an input at a prompt."""
    return any(map(is_unfinished, split_input(text)[-1:]))


# -- Completion ------------------------------------------------------------------------------------------------------


def complete_line(text: str, cursor: int, session: Session) -> list[Candidate]:
    """Return the completions at the cursor of a line."""
    before = text[:cursor]
    line = before.lstrip()
    start = cursor - len(line)
    if question := _QUESTION_START.fullmatch(line):
        return _questions(session, question[1], cursor)
    if command := COMMAND.fullmatch(line):
        word, whitespace, argument = command.groups()
        if not whitespace:
            matching = (magic for magic in MAGICS.values() if magic.name.startswith(word))
            return [Candidate(magic.name, start, "command", _about(magic)) for magic in matching]
        if (magic := MAGICS.get(word)) is not None and magic.takes not in ("expression", "assignment"):
            return list(_arguments(session, magic, argument, cursor))
    if (begin := find_expression(before)) is None:
        return []
    candidates = complete_expression(before[begin:], cursor - begin, session.scope)
    return [replace(candidate, start=candidate.start + begin) for candidate in candidates]


def _questions(session: Session, word: str, cursor: int) -> list[Candidate]:
    start = cursor - len(word)
    functions = (
        Candidate(name, start, "function", function_describer(session.library, name))
        for name in sorted(session.library)
    )
    variables = (Candidate(name, start, "variable") for name in session.variables.values)
    commands = (Candidate(magic.name, start, "command", _about(magic)) for magic in MAGICS.values())
    return [each for each in (*variables, *functions, *commands) if session.scope.is_completion(each.text, word)]


def _arguments(session: Session, magic: Magic, typed: str, cursor: int) -> Iterator[Candidate]:
    start = cursor - len(typed)
    if magic.takes == "setting":
        names = ((name, "setting") for name in session.settings)
    elif magic.takes in ("file", "registry"):
        names = ((path, "file") for path in _paths(typed, folders=magic.takes == "registry"))
    else:
        return
    yield from (Candidate(name, start, kind) for name, kind in names if name.startswith(typed))


def _about(magic: Magic) -> Callable[[], str]:
    return lambda: magic.summary


def _paths(typed: str, *, folders: bool) -> Iterator[str]:
    """Yield the paths that start with the typed one; folders end with a slash."""
    head, _, tail = typed.rpartition("/")
    folder = Path(f"{head}/" if "/" in typed else ".").expanduser()
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # a missing or unreadable folder has no completions
        return
    for path in paths:
        if path.name.startswith(tail) and (path.is_dir() or not folders):
            yield f"{typed[: len(typed) - len(tail)]}{path.name}{'/' if path.is_dir() else ''}"


def highlight_line(text: str) -> list[tuple[str, str]]:
    """Split a line into pairs of style and characters: a command or a name, and the expression after it."""
    begin = find_expression(text)
    if begin is None:
        return [("stellar.comment" if text.lstrip().startswith(COMMENTS) else "stellar.command", text)]
    head = [("stellar.command" if text.lstrip().startswith("%") else "stellar.name", text[:begin])] if begin else []
    return [*head, *highlight(text[begin:])]
