"""The shell: executes lines from a terminal, a pipe, a script or the command line in a session."""

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

# The language is imported where it is used, so that the first prompt does not wait for it

GREETING = "Stellar, Go!\n?NAME shows the help of a function, %help the commands; Tab completes; quit leaves."
# Errors of the user's line or of its environment, not of the shell
USER_ERRORS = (StellarError, LookupError, ValueError, OSError)

# A prefix for the error message of a line, and the line
Located = tuple[str, str]


def describe_unexpected(error: Exception) -> str:
    """Return the message of an internal error."""
    return f"internal error: {type(error).__name__}: {error}; --debug shows the traceback"


def describe_error(error: Exception) -> str:
    """Return the message of an error for users."""
    if not isinstance(error, USER_ERRORS) or isinstance(error, KeyError | IndexError):
        return describe_unexpected(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


# -- Options ----------------------------------------------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the shell to a parser."""
    parser.add_argument("script", nargs="?", metavar="FILE", help="script to execute; - is standard input")
    parser.add_argument(
        "-e", "--execute", metavar="TEXT", action="append", default=[], help="line to execute; repeatable"
    )
    options.add_options(parser)
    parser.add_argument("-irc", "--inputrc", metavar="FILE", help="readline key bindings instead of ~/.inputrc")
    parser.add_argument("-na", "--no_ansi", action="store_true", help="disable colours")


def open_session(given: argparse.Namespace) -> Session:
    """Open a session with an editor from parsed options. Raise ValueError or OSError for an invalid option."""
    from stellar.functions.shell import Editor
    from stellar.repl import startup

    session = startup.open_session(given)
    session.use({Editor: Editor()})
    return session


def execute_all(session: Session, lines: Iterable[Located], *, debug: bool = False) -> bool:
    """Execute lines until `quit`; print values to standard output, errors to standard error.

    Return True if no line failed.
    """
    succeeded = True
    for location, line in lines:
        try:
            succeeded = _execute(session, location, line, debug) and succeeded
        except EOFError:  # `quit`
            break
    return succeeded


def _execute(session: Session, location: str, line: str, debug: bool) -> bool:
    from stellar.repl.rendering import format_plain

    try:
        if output := format_plain(session.execute(line)):
            print(output.removesuffix("\n"), flush=True)
    except USER_ERRORS as error:
        print(f"{location}{describe_error(error)}", file=sys.stderr)
        if debug:
            traceback.print_exception(error)
        return False
    finally:
        for note in session.take_notes():
            print(note, file=sys.stderr)
    return True


def read_script(name: str, lines: Iterable[str]) -> Iterator[Located]:
    """Yield the statements of a script, in which indented lines continue a statement."""
    from stellar.tooling.statements import read_statements

    return ((f"{name}:{statement.line}: ", statement.code) for statement in read_statements(lines))


def read_pipe(lines: Iterable[str]) -> Iterator[Located]:
    """Yield lines as they arrive; an unfinished expression continues on the next line."""
    from stellar.repl.lines import join_lines

    return ((f"line {number}: ", line) for number, line in join_lines(enumerate(lines, 1)))


# -- A terminal -------------------------------------------------------------------------------------------------------


def open_terminal(given: argparse.Namespace) -> None:
    """Run the shell at a terminal; raises what `open_session` raises."""
    from stellar.repl.terminal import LazySession, Terminal

    inputrc = _read_inputrc(given.inputrc)

    def create() -> Session:
        session = open_session(given)
        session.ignore_case = inputrc is not None and inputrc.ignore_case
        return session

    with closing(LazySession(create)) as session:
        greeting = GREETING
        if options.has_options(given):  # otherwise the session is opened while the user reads the prompt
            greeting += describe_settings(session())
        terminal = Terminal(
            session,
            bindings=_key_bindings(inputrc),
            vi=inputrc is not None and inputrc.vi,
            colours=not given.no_ansi,
        )
        run_terminal(terminal, greeting, debug=given.debug)


def describe_settings(session: Session) -> str:
    """Return the line of the greeting with the global configuration; empty if that is empty."""
    from stellar.language.conversions import to_string

    return f"\n{to_string(dict(session.settings))}" if session.settings else ""


def _read_inputrc(name: str | None) -> Inputrc | None:
    """Read the user's inputrc, if it exists; report ignored lines of a file that an option names."""
    file = Path(name or os.environ.get("INPUTRC") or "~/.inputrc").expanduser()
    if name is None and not file.is_file():
        return None
    from stellar.repl.inputrc import read

    inputrc = read(file)
    if name is not None and inputrc.ignored:  # ~/.inputrc is shared with other programs
        lines = ", ".join(map(str, inputrc.ignored))
        print(f"stellar: {file}: ignored lines {lines}: see docs/shell.md for supported settings", file=sys.stderr)
    return inputrc


def _key_bindings(inputrc: Inputrc | None) -> KeyBindings | None:
    if inputrc is None:
        return None
    from stellar.repl.inputrc import key_bindings

    return key_bindings(inputrc)


def run_terminal(terminal: Terminal, greeting: str = GREETING, *, debug: bool = False) -> None:
    """Execute the lines that the user types, until the end of the input or `quit`."""
    from stellar.repl.terminal import DiscardedInput

    terminal.write(greeting)
    with terminal:
        while True:
            try:
                if not _execute_input(terminal, terminal.read(), debug):
                    return
            except DiscardedInput:
                continue
            except KeyboardInterrupt:  # just before or after an evaluation
                terminal.write("\n[!] interrupted", "stellar.error")
            except EOFError:
                return


def _execute_input(terminal: Terminal, text: str, debug: bool) -> bool:
    """Execute the statements of an input until one fails, and show their values; return False after `quit`."""
    from stellar.repl.lines import split_input

    statements = split_input(text)
    for index, statement in enumerate(statements):
        try:
            terminal.show(terminal.session().execute(statement))
            continue
        except KeyboardInterrupt:
            terminal.write("\n[!] interrupted", "stellar.error")  # after the ^C that the terminal echoes
        except EOFError:  # `quit`
            return False
        except Exception as error:  # noqa: BLE001 - the shell and its variables survive any error
            terminal.show_error(error, describe_error(error))
            if debug:
                traceback.print_exception(error)
        finally:
            terminal.show_notes()
        if remaining := len(statements) - index - 1:
            terminal.write(f"statements after it that were not executed: {remaining}", "stellar.note")
        break
    return True
