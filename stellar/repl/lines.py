"""Lines of a shell, as they are typed: what kind each is, whether it is finished, and what may follow the cursor."""

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
from stellar.tooling.completion import Candidate, about_function, complete
from stellar.tooling.highlighting import coloured

if TYPE_CHECKING:
    from stellar.repl.session import Session

COMMENTS = ("#", "//")
# A line, or several that are one text, and the number of the first
Numbered = tuple[int, str]
ASSIGNMENT = re.compile(rf"({NAME.pattern})\s*:=(.*)", re.DOTALL)
QUESTION = re.compile(r"\?\s*(\S*)|(%?[\w.:$]+)\s*\?")
COMMAND = re.compile(r"(%\S*)(\s*)(.*)", re.DOTALL)
_ASSIGNED = re.compile(rf"{NAME.pattern}\s*:=")
_ASKED = re.compile(r"\?\s*(\S*)")
_WORDS = ("quit", "exit")


def expression_begin(text: str) -> int | None:
    """Where the expression of a line begins; None if a line like this has none, as a comment or a question."""
    begin = 0
    while True:
        begin += len(text[begin:]) - len(text[begin:].lstrip())
        line = text[begin:]
        if assignment := _ASSIGNED.match(line):
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


def problem(text: str) -> ParseError | None:
    """Why the expression of a line is not Stellar; None if it is, or if there is none."""
    begin = expression_begin(text)
    if begin is None or not text[begin:].strip() or QUESTION.fullmatch(text.strip()):
        return None
    try:
        parse(text[begin:])
    except ParseError as error:
        return error
    return None


def is_unfinished(text: str) -> bool:
    """Whether the expression of a line could go on in the next one, as it is not Stellar yet."""
    return isinstance(problem(text), IncompleteExpression)


def joined(lines: Iterable[Numbered]) -> Iterator[Numbered]:
    """Lines with their numbers as they come; one whose expression is not finished goes on in the next."""
    coming = iter(lines)
    waiting = deque[Numbered]()

    def following() -> Numbered | None:
        return waiting.popleft() if waiting else next(coming, None)

    while first := following():
        parts = [first]
        while is_unfinished(text := "\n".join(line for _, line in parts)) and (line := following()):
            parts.append(line)
        if len(parts) > 1 and not isinstance(problem(text), IncompleteExpression | None):
            # The first line was not unfinished, but wrong; those behind it mean what they mean
            waiting.extendleft(reversed(parts[1:]))
            text = first[1]
        yield first[0], text


# -- Completion ------------------------------------------------------------------------------------------------------


def complete_line(text: str, cursor: int, session: Session) -> list[Candidate]:
    """What may stand at the cursor in a line of a shell."""
    before = text[:cursor]
    line = before.lstrip()
    start = cursor - len(line)
    if question := _ASKED.fullmatch(line):
        return _questions(session, question[1], cursor)
    if command := COMMAND.fullmatch(line):
        word, blank, argument = command.groups()
        if not blank:
            found = (magic for magic in MAGICS.values() if magic.name.startswith(word))
            return [Candidate(magic.name, start, "command", _about(magic)) for magic in found]
        if (magic := MAGICS.get(word)) is not None and magic.takes not in ("expression", "assignment"):
            return list(_arguments(session, magic, argument, cursor))
    if (begin := expression_begin(before)) is None:
        return []
    candidates = complete(before[begin:], cursor - begin, session.names)
    return [replace(candidate, start=candidate.start + begin) for candidate in candidates]


def _questions(session: Session, word: str, cursor: int) -> list[Candidate]:
    start = cursor - len(word)
    functions = (
        Candidate(name, start, "function", about_function(session.library, name)) for name in sorted(session.library)
    )
    variables = (Candidate(name, start, "variable") for name in session.variables.values)
    commands = (Candidate(magic.name, start, "command", _about(magic)) for magic in MAGICS.values())
    return [found for found in (*variables, *functions, *commands) if session.names.fits(found.text, word)]


def _arguments(session: Session, magic: Magic, typed: str, cursor: int) -> Iterator[Candidate]:
    start = cursor - len(typed)
    if magic.takes == "setting":
        names = ((name, "setting") for name in session.settings)
    elif magic.takes in ("file", "place"):
        names = ((path, "file") for path in _paths(typed, folders=magic.takes == "place"))
    else:
        return
    yield from (Candidate(name, start, kind) for name, kind in names if name.startswith(typed))


def _about(magic: Magic) -> Callable[[], str]:
    return lambda: magic.summary


def _paths(typed: str, *, folders: bool) -> Iterator[str]:
    """The files that a path may go on to; folders with a slash behind them."""
    head, _, tail = typed.rpartition("/")
    folder = Path(f"{head}/" if "/" in typed else ".").expanduser()
    try:
        found = sorted(folder.iterdir())
    except OSError:  # there is no such folder, or it can't be read: nothing to offer
        return
    for path in found:
        if path.name.startswith(tail) and (path.is_dir() or not folders):
            yield f"{typed[: len(typed) - len(tail)]}{path.name}{'/' if path.is_dir() else ''}"


def coloured_line(text: str) -> list[tuple[str, str]]:
    """The pieces of a line of a shell, each with its kind: a command or a name, and the expression behind it."""
    begin = expression_begin(text)
    if begin is None:
        return [("stellar.comment" if text.lstrip().startswith(COMMENTS) else "stellar.command", text)]
    head = [("stellar.command" if text.lstrip().startswith("%") else "stellar.name", text[:begin])] if begin else []
    return [*head, *coloured(text[begin:])]
