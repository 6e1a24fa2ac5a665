"""The shell: a line is read, evaluated, and its value shown, until `quit`.

name := expression   sets a variable
?NAME                shows the help of a function
quit                 leaves; so does the end of the input
# …                  is a comment
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from stellar.conversions import to_text
from stellar.errors import StellarError
from stellar.expression import Expression, shell_library
from stellar.library import Function, Library

if TYPE_CHECKING:
    from prompt_toolkit.history import History

PROMPT = "[Stellar]>>> "
GREETING = "Stellar, the expression language. ?NAME shows the help of a function, name := expression sets a variable."
_ASSIGNMENT = re.compile(r"([a-zA-Z_$](?:[a-zA-Z_.:0-9]*[a-zA-Z_.0-9])?)\s*:=(.*)", re.DOTALL)
_WORD = re.compile(r"[a-zA-Z_.:0-9$]+\Z")


class Quit(Exception):
    """The user wants to leave."""


class Session:
    """The variables of a shell, and what it does with a line.

    library: the functions that there are; by default those that only a shell may call are among them
    """

    def __init__(self, library: Library | None = None) -> None:
        self.library = shell_library() if library is None else library
        self.variables: dict[str, Any] = {}

    def execute(self, line: str) -> str:
        """What to show for a line; empty if there is nothing to show, as for null.

        Raises StellarError if an expression fails, ValueError if its value has no text, LookupError for help about an
        unknown function, and Quit.
        """
        line = line.strip()
        if not line or line.startswith("#"):
            return ""
        if line == "quit":
            raise Quit
        if line.startswith("?"):
            return self.help(line[1:].strip())
        if assignment := _ASSIGNMENT.fullmatch(line):
            name, source = assignment.groups()
            value = self.variables[name] = self.evaluate(source)
            return shown(value)
        return shown(self.evaluate(line))

    def evaluate(self, source: str) -> Any:
        """The value of an expression over the variables."""
        return Expression(source, self.library)(self.variables)

    def help(self, name: str) -> str:
        """The help of a function; of none, how to get it."""
        if not name:
            return "?NAME shows the help of a function, such as ?TO_UPPER; the tab key completes names"
        if name not in self.library:
            close = self.library.resembling(name)
            raise LookupError(f"unknown function {name}" + (f"\nhint: did you mean {close}?" if close else ""))
        return "\n".join(_help_lines(self.library[name]))

    def completions(self, text: str) -> tuple[str, list[str]]:
        """The name that the text ends with, and what it may become: a function with its bracket, or a variable."""
        found = _WORD.search(text)
        if found is None:
            return "", []
        word, bracket = found[0], "" if text.lstrip().startswith("?") else "("
        functions = [f"{name}{bracket}" for name in self.library if name.startswith(word)]
        variables = [name for name in self.variables if name.startswith(word)] if bracket else []
        return word, sorted(functions + variables)


def shown(value: Any) -> str:
    """A value as Metron's shell shows it: its text; nothing for null."""
    if value is None:
        return ""
    return "a lambda" if isinstance(value, FunctionType) else to_text(value)


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


def unforeseen(error: Exception) -> str:
    """What to say of an error that should not happen."""
    return f"this should not happen: {type(error).__name__}: {error}; --debug shows where"


# -- Loops ------------------------------------------------------------------------------------------------------------


def from_lines(lines: Iterable[str], *, debug: bool = False) -> bool:
    """Execute lines, such as those of a pipe; what fails is told on standard error. Returns whether none failed."""
    session = Session()
    fine = True
    for number, line in enumerate(lines, 1):
        try:
            _show(session.execute(line))
        except Quit:
            break
        except (StellarError, LookupError, ValueError) as error:
            print(f"line {number}: {error}", file=sys.stderr)
            if debug:
                traceback.print_exception(error)
            fine = False
    return fine


def from_terminal(session: Session | None = None, *, debug: bool = False, **options: Any) -> None:
    """Execute what the user types, until the end of the input or `quit`.

    options: for prompt_toolkit's PromptSession
    """
    session = session or Session()
    print(GREETING)
    ask = _prompt(session, **options)
    while True:
        try:
            _show(session.execute(ask()))
        except KeyboardInterrupt:
            continue  # the line, or its evaluation, is given up
        except (EOFError, Quit):
            return
        except Exception as error:  # noqa: BLE001 - the shell and its variables outlive whatever a line does
            known = isinstance(error, StellarError | LookupError | ValueError)
            print(error if known else unforeseen(error))
            if debug:
                traceback.print_exception(error)


def _show(answer: str) -> None:
    if answer:
        print(answer, flush=True)


def _prompt(session: Session, **options: Any) -> Callable[[], str]:
    """What reads a line from the terminal, with history and completion of names."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.document import Document

    class Names(Completer):
        def get_completions(self, document: Document, _event: Any) -> Iterator[Completion]:
            word, names = session.completions(document.text_before_cursor)
            return (Completion(name, -len(word)) for name in names)

    terminal: PromptSession[str] = PromptSession(
        history=_history(), completer=Names(), complete_while_typing=False, **options
    )
    return lambda: terminal.prompt(PROMPT)


def _history() -> History:
    """The lines of this session and those before: in a file that only the user can read, if one can be made."""
    from pathlib import Path

    from prompt_toolkit.history import FileHistory, InMemoryHistory

    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    file = Path(state, "stellar", "history")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        print(f"the history is not kept: {file}: {error.strerror}", file=sys.stderr)
        return InMemoryHistory()
    return FileHistory(str(file))
