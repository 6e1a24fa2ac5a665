"""`stellar` without a command: the shell, in a terminal, for texts and scripts, or in a pipe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from stellar import shell
from stellar.cli import COMMANDS
from stellar.cli.reading import FAILED, FINE, STANDARD_INPUT, Unusable, argument, complain, texts_of
from stellar.util.suggestions import suggest_name
from stellar.util.version import add_version

DESCRIPTION = """\
Stellar, the expression language of Apache Metron.

Without a command it opens the shell. Texts of -e, a script, or what is piped in
are executed as if they were typed there.
"""

END = """\
examples:
  stellar
  stellar -z node1:2181 -v record.json
  stellar -e "x := 5" -e "x + 1"
  stellar rules.stellar

exit status: 0 if all went well; 1 if a line failed, or an option can't be
followed; 2 if a file could not be read or the options make no sense
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said behind `stellar`."""
    shell.add_options(parser)
    add_version(parser)


def run(options: argparse.Namespace) -> int:
    """Open the shell where there is a person, else execute what is given; returns the exit status."""
    try:
        if not (options.execute or options.script) and sys.stdin.isatty() and sys.stdout.isatty():
            shell.open_terminal(options)
            return FINE
        session = shell.opened(options)
    except shell.REFUSALS as error:
        complain(f"stellar: {shell.said(error)}", error, options)
        return FAILED
    with session:
        return FINE if shell.execute_each(session, _given_texts(options), debug=options.debug) else FAILED


def _given_texts(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """What is to be executed, each with what stands before the complaint if it fails."""
    yield from (("", argument(text)) for text in options.execute)
    if options.script not in (None, STANDARD_INPUT):
        if options.script.isalpha() and not os.path.exists(options.script):
            known = suggest_name(options.script, COMMANDS)
            raise Unusable(f"there is no file {options.script}, and no such command; {known}")
        yield from shell.of_script(options.script, texts_of(options.script))
    elif options.script or not options.execute:
        yield from shell.of_pipe(texts_of(STANDARD_INPUT))
