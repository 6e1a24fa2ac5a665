"""`stellar fmt`: files as they should look."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from contextlib import suppress
from io import StringIO
from pathlib import Path

from stellar.cli.reading import FAILED, FINE, STANDARD_INPUT, UNUSABLE, Unusable, argument, complain, named
from stellar.language.errors import ConfigError, ParseError
from stellar.language.source import position, snippet
from stellar.tooling.formatter import WIDTH, StatementError, formatted, formatted_file

DESCRIPTION = """\
Lay out expressions anew: blanks, line ends, quotes and keywords as they should
be. What they mean stays the same, and comments stay where they are.

Files are written in place. A file whose name ends in .json is a configuration
of Metron's; only the expressions in it are changed.
"""

END = """\
examples:
  stellar fmt rules.stellar config/parsers/*.json
  stellar fmt --check rules.stellar
  stellar fmt -e "a&&b"

exit status: 0 if all went well; 1 if something would change, with --check, or
is not Stellar; 2 if a file could not be read or written
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said behind `stellar fmt`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="a file of expressions; - is standard input")
    parser.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="an expression")
    parser.add_argument("--check", action="store_true", help="write nothing, but name what would change")
    parser.add_argument("--diff", action="store_true", help="write nothing, but show what would change")
    parser.add_argument("--width", type=_width, default=WIDTH, metavar="N", help=f"how long lines may be; {WIDTH}")


def _width(text: str) -> int:
    if not (text.isdecimal() and int(text) >= _NARROWEST):
        raise argparse.ArgumentTypeError(f"a width is a number, {_NARROWEST} or more, not {text}")
    return int(text)


_NARROWEST = 20


def run(options: argparse.Namespace) -> int:
    """Format what is given; returns the exit status."""
    if not options.files and not options.expression:
        raise Unusable("name a file to format, or give an expression with -e")
    status = FINE
    for given in options.expression:
        try:
            before = argument(given)
            after = formatted(before, options.width)
            if options.check or options.diff:
                status = max(status, _told("-e", f"{before}\n", f"{after}\n", options))
            else:
                print(after)
        except ParseError as error:
            complain(str(error), error, options)
            status = FAILED
    for file in options.files:
        status = max(status, _format(file, options))
    return status


def _format(file: str, options: argparse.Namespace) -> int:
    try:
        before = _read(file)
        after = _formatted(file, before, options.width)
        if options.check or options.diff:
            return _told(file, before, after, options)
        if file == STANDARD_INPUT:
            sys.stdout.write(after)
        elif after != before:
            _write(file, after)
            print(f"{file}: formatted", file=sys.stderr)
    except StatementError as error:
        line, column = position(error.statement.text, error.error.span.start)
        place = f"{file}:{error.statement.line + line - 1}:{column}"
        shown = snippet(error.statement.text, error.error.span, error.statement.line)
        complain(f"{place}: {error.error.message}\n{shown}", error, options)
        return FAILED
    except ConfigError as error:
        complain(str(error), error, options)
        return FAILED
    except Unusable as error:
        complain(f"stellar: {error}", error, options)
        return UNUSABLE
    return FINE


def _told(file: str, before: str, after: str, options: argparse.Namespace) -> int:
    if before == after:
        return FINE
    if options.diff:
        lines = (list(StringIO(before)), list(StringIO(after)))  # lines end where those of a file do
        for line in difflib.unified_diff(*lines, f"{named(file)}, as it is", f"{named(file)}, formatted"):
            print(line.rstrip("\r\n"))
            if not line.endswith("\n"):
                print("\\ No newline at end of file")
    if options.check:
        print(f"{named(file)} would be formatted", file=sys.stderr)
        return FAILED
    return FINE


def _formatted(file: str, before: str, width: int) -> str:
    """The text of a file as it should look, with the line ends that it has.

    Raises StatementError or ConfigError if what it holds can't be formatted.
    """
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    text = before.removeprefix(mark)
    if file.endswith(".json"):
        from stellar.pipeline.config.format import format_configuration  # loads the pipeline's configuration

        return mark + format_configuration(file, text, width)
    return mark + formatted_file(text, width)


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise Unusable(f"can't read {named(file)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"can't read {named(file)}: byte {error.start + 1} of it is not UTF-8") from error


def _write(file: str, text: str) -> None:
    """Put a text in the place of a file, whole or not at all; its permissions stay."""
    path = Path(file).resolve()  # what a link leads to is replaced, and not the link
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(text.encode())
            Path(draft).chmod(path.stat().st_mode & 0o7777)
            Path(draft).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(draft).unlink()
            raise
    except OSError as error:
        raise Unusable(f"can't write {file}: {error.strerror}") from error
