"""The shell: lines from a terminal, a pipe, a script or the command line go to a session, and what it says is shown."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.language.errors import StellarError
from stellar.repl import options

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings

    from stellar.repl.inputrc import Inputrc
    from stellar.repl.session import Session
    from stellar.repl.terminal import Terminal

# What has to do with the language is imported where it is used: the first prompt does not wait for it

GREETING = "Stellar, Go!\n?NAME shows the help of a function, %help the commands; Tab completes; quit leaves."
# What a line may raise that is no fault of ours
REFUSALS = (StellarError, LookupError, ValueError, OSError)

# A text to execute, and what stands before the complaint if it fails
Placed = tuple[str, str]


def unforeseen(error: Exception) -> str:
    """What to say of an error that should not happen."""
    return f"this should not happen: {type(error).__name__}: {error}; --debug shows where"


def said(error: Exception) -> str:
    """What a person is told of an error."""
    if not isinstance(error, REFUSALS) or isinstance(error, KeyError | IndexError):
        return unforeseen(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


# -- Options ----------------------------------------------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command take the options of the shell."""
    parser.add_argument("script", nargs="?", metavar="FILE", help="a script to execute; - is standard input")
    parser.add_argument(
        "-e", "--execute", metavar="TEXT", action="append", default=[], help="a line to execute; may be given again"
    )
    options.add_options(parser)
    parser.add_argument("-irc", "--inputrc", metavar="FILE", help="key bindings, in place of those of ~/.inputrc")
    parser.add_argument("-na", "--no_ansi", action="store_true", help="no colours")


def opened(given: argparse.Namespace) -> Session:
    """The session that options ask for, in which texts can be edited.

    Raises ValueError or OSError, with a sentence, if an option can't be followed.
    """
    from stellar.functions.shell import Editor
    from stellar.repl import startup as opening

    session = opening.opened(given)
    session.use({Editor: Editor()})
    return session


# -- Lines of a program -----------------------------------------------------------------------------------------------


def execute_each(session: Session, texts: Iterable[Placed], *, debug: bool = False) -> bool:
    """Execute texts until `quit`: plain values go to standard output, what fails to standard error.

    Returns whether none failed.
    """
    fine = True
    for place, text in texts:
        try:
            fine = _execute(session, place, text, debug) and fine
        except EOFError:  # it is `quit`
            break
    return fine


def _execute(session: Session, place: str, text: str, debug: bool) -> bool:
    from stellar.repl.rendering import plain

    try:
        if shown := plain(session.execute(text)):
            print(shown.removesuffix("\n"), flush=True)
    except REFUSALS as error:
        print(f"{place}{said(error)}", file=sys.stderr)
        if debug:
            traceback.print_exception(error)
        return False
    finally:
        for note in session.taken_notes():
            print(note, file=sys.stderr)
    return True


def of_script(name: str, lines: Iterable[str]) -> Iterator[Placed]:
    """The statements of a script, in which indented lines go on with the one before."""
    from stellar.tooling.statements import statements

    return ((f"{name}:{statement.line}: ", statement.code) for statement in statements(lines))


def of_pipe(lines: Iterable[str]) -> Iterator[Placed]:
    """Lines as they come. One whose expression is not finished goes on in the next."""
    from stellar.repl.lines import joined

    return ((f"line {number}: ", text) for number, text in joined(enumerate(lines, 1)))


# -- A terminal -------------------------------------------------------------------------------------------------------


def open_terminal(given: argparse.Namespace) -> None:
    """Let the user of a terminal type, with what options ask for; raises what `opened` raises."""
    from stellar.repl.terminal import Once, Terminal

    keys = _keys(given.inputrc)

    def make() -> Session:
        session = opened(given)
        session.ignore_case = keys is not None and keys.is_on("completion-ignore-case")
        return session

    with closing(Once(make)) as session:
        greeting = GREETING
        if options.are_given(given):  # else it is made while the user looks at the prompt
            greeting += settings_of(session())
        terminal = Terminal(
            session, bindings=_bindings(keys), vi=keys is not None and keys.vi, colours=not given.no_ansi
        )
        from_terminal(terminal, greeting, debug=given.debug)


def settings_of(session: Session) -> str:
    """The line of the greeting that shows the global configuration, if there is one."""
    from stellar.language.conversions import to_string

    return f"\n{to_string(dict(session.settings))}" if session.settings else ""


def _keys(name: str | None) -> Inputrc | None:
    """What the user's file of key bindings asks for, if there is one; what of it can't be done is told."""
    file = Path(name or os.environ.get("INPUTRC") or "~/.inputrc").expanduser()
    if name is None and not file.is_file():
        return None
    from stellar.repl.inputrc import read

    found = read(file)
    for warning in found.warnings:
        print(f"stellar: {warning}", file=sys.stderr)
    return found


def _bindings(keys: Inputrc | None) -> KeyBindings | None:
    if keys is None:
        return None
    from stellar.repl.inputrc import key_bindings

    return key_bindings(keys)


def from_terminal(terminal: Terminal, greeting: str = GREETING, *, debug: bool = False) -> None:
    """Execute what the user types, until the end of the input or `quit`."""
    terminal.say(greeting)
    with terminal:
        while True:
            try:
                text = terminal.ask()
            except KeyboardInterrupt:
                continue  # the line is given up
            except EOFError:
                return
            try:
                terminal.show(terminal.session().execute(text))
            except KeyboardInterrupt:
                terminal.say("\n[!] interrupted", "stellar.error")  # behind the ^C that the terminal shows
            except EOFError:  # the line is `quit`
                return
            except Exception as error:  # noqa: BLE001 - the shell and its variables outlive whatever a line does
                terminal.show_error(error, said(error))
                if debug:
                    traceback.print_exception(error)
            terminal.show_notes()
