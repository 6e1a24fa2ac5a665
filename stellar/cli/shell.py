"""`stellar` without a command: the shell, at a terminal, for lines and scripts, or in a pipe."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Iterator

from stellar import shell
from stellar.cli import COMMANDS
from stellar.cli.reading import FAILED, OK, STANDARD_INPUT, UsageError, decode_argument, print_error, read_text_lines
from stellar.util.suggestions import suggest_name
from stellar.util.version import add_version

DESCRIPTION = """\
Stellar, the expression language of Apache Metron.

Without a command it opens the shell. Lines of -e, a script or standard input
are executed as if they were typed there.
"""

END = """\
examples:
  stellar
  stellar -z node1:2181 -v record.json
  stellar -e "x := 5" -e "x + 1"
  stellar rules.stellar

exit status: 0 on success; 1 if a line failed, or the value of an option is
invalid; 2 if a file could not be read or the options are invalid
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the shell."""
    shell.add_options(parser)
    add_version(parser)


def run(options: argparse.Namespace) -> int:
    """Open the shell at a terminal, or execute the given lines; return the exit status."""
    _check_script(options.script)
    try:
        if not (options.execute or options.script) and sys.stdin.isatty() and sys.stdout.isatty():
            shell.open_terminal(options)
            return OK
        session = shell.open_session(options)
    except shell.USER_ERRORS as error:
        print_error(f"stellar: {shell.describe_error(error)}", error, options)
        return FAILED
    with session:
        return OK if shell.execute_all(session, _read_inputs(options), debug=options.debug) else FAILED


def _check_script(script: str | None) -> None:
    """Raise UsageError for a script that does not exist, before lines of other options are executed.

    It may be a misspelt command.
    """
    if script in (None, STANDARD_INPUT) or os.path.exists(script):
        return
    if script.isalpha():
        raise UsageError(f"unknown command or missing file {script}; {suggest_name(script, COMMANDS)}")
    raise UsageError(f"can't read {script}: {os.strerror(errno.ENOENT)}")


def _read_inputs(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the lines to execute, each after the prefix of its error message."""
    yield from (("", decode_argument(text)) for text in options.execute)
    if options.script not in (None, STANDARD_INPUT):
        yield from shell.read_script(options.script, read_text_lines(options.script))
    elif options.script or not options.execute:
        yield from shell.read_pipe(read_text_lines(STANDARD_INPUT))
