"""The shell: a line is read, evaluated, and its value shown, until `quit`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from stellar.conversions import to_text
from stellar.errors import StellarError
from stellar.expression import Expression, default_library
from stellar.library import Function, Library
from stellar.tagged import encode

PROMPT = "[Stellar]>>> "
_ASSIGNMENT = re.compile(r"\s*([a-zA-Z_$](?:[a-zA-Z_.:0-9]*[a-zA-Z_.0-9])?)\s*:=(.*)", re.DOTALL)


class Quit(Exception):
    """The user wants to leave."""


class Session:
    """The variables of a shell, and what it does with a line."""

    def __init__(self, library: Library | None = None) -> None:
        self.library = library or default_library()
        self.variables: dict[str, Any] = {}

    def execute(self, line: str) -> str:
        """What to show for a line; empty if there is nothing to show.

        Raises StellarError if an expression fails, LookupError for help about an unknown function, and Quit.
        """
        line = line.strip()
        if not line or line.startswith("#"):
            return ""
        if line == "quit":
            raise Quit
        if line.startswith("?"):
            return self.help(line[1:])
        if assignment := _ASSIGNMENT.fullmatch(line):
            name, source = assignment.groups()
            value = self.evaluate(source)
            self.variables[name] = value
            return ""
        return shown(self.evaluate(line))

    def evaluate(self, source: str) -> Any:
        return Expression(source, self.library)(self.variables)

    def help(self, name: str) -> str:
        if name not in self.library:
            close = self.library.resembling(name)
            raise LookupError(f"no function {name!r}" + (f"; did you mean {close}?" if close else ""))
        return "\n".join(_help_lines(self.library[name]))

    def completions(self, word: str) -> list[str]:
        """The names that begin with this."""
        return sorted(name for name in (*self.library, *self.variables) if name.startswith(word))


def shown(value: Any) -> str:
    """A value as the shell shows it: JSON, where that can say it."""
    try:
        return json.dumps(encode(value), ensure_ascii=False)
    except (TypeError, ValueError):  # a map with keys that JSON lacks, at the bottom of an object
        return to_text(value)


def _help_lines(function: Function) -> Iterator[str]:
    yield function.usage
    yield function.help.summary
    if function.help.details:
        yield ""
        yield function.help.details
    yield ""
    for parameter in function.parameters:
        yield f"  {parameter.name}: {parameter.description} ({parameter.kind.noun})"
    yield f"  returns: {function.help.returns}"
    if function.help.examples:
        yield ""
        yield from (f"  {line}" for line in function.help.examples.splitlines())


def run(lines: Iterable[str] | None = None, session: Session | None = None) -> int:
    """Read and execute lines: from a terminal with history and completion, else from standard input.

    Returns the exit status: 1 if a line from a pipe failed.
    """
    session = session or Session()
    if lines is None and sys.stdin.isatty():
        from_terminal(session, prompt(session))
        return 0
    failed = 0
    for number, line in enumerate(sys.stdin if lines is None else lines, 1):
        try:
            if answer := session.execute(line):
                print(answer)
        except Quit:
            break
        except (StellarError, LookupError) as error:
            print(f"line {number}: {error}", file=sys.stderr)
            failed = 1
    return failed


def from_terminal(session: Session, ask: Callable[[], str]) -> None:
    """Execute what `ask` reads until it raises EOFError, or the user quits."""
    while True:
        try:
            answer = session.execute(ask())
        except KeyboardInterrupt:
            continue  # the line is given up
        except (EOFError, Quit):
            return
        except (StellarError, LookupError) as error:
            answer = str(error)
        if answer:
            print(answer)


def prompt(session: Session, **options: Any) -> Callable[[], str]:
    """What reads a line from the terminal, with history and completion of names."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    class Names(Completer):
        def get_completions(self, document: Document, _event: Any) -> Iterator[Completion]:
            word = re.search(r"[\w$.:]*\Z", document.text_before_cursor)
            start = word.group() if word else ""
            if start:
                yield from (Completion(name, -len(start)) for name in session.completions(start))

    def history() -> History:
        file = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "stellar" / "history"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"no history is kept: {error}", file=sys.stderr)
            return InMemoryHistory()
        return FileHistory(str(file))

    terminal: PromptSession[str] = PromptSession(
        history=history(), completer=Names(), complete_while_typing=False, **options
    )
    return lambda: terminal.prompt(PROMPT)
