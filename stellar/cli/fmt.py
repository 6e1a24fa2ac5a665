"""`stellar fmt`: format files and expressions."""

from __future__ import annotations

import argparse
import difflib
import sys
from io import StringIO
from pathlib import Path

from stellar.cli.reading import (
    FAILED,
    OK,
    STANDARD_INPUT,
    UNUSABLE,
    UsageError,
    decode_argument,
    describe_file,
    print_error,
)
from stellar.language.errors import ConfigError, ParseError
from stellar.language.source import position, snippet
from stellar.tooling.formatter import WIDTH, StatementError, format_expression, format_file
from stellar.util.atomic_files import replace_content

DESCRIPTION = """\
Format expressions: whitespace, line ends, quotes and keywords. Their meaning
and their comments stay the same.

Files are changed in place. A .json file is a configuration of Metron; only the
expressions in it are changed.
"""

END = """\
examples:
  stellar fmt rules.stellar config/parsers/*.json
  stellar fmt --check rules.stellar
  stellar fmt -e "a&&b"

exit status: 0 on success; 1 if a file would change, with --check, or is not
Stellar; 2 if a file could not be read or written
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stellar fmt`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="file of expressions; - is standard input")
    parser.add_argument("-e", "--expression", metavar="EXPR", action="append", default=[], help="expression")
    parser.add_argument("--check", action="store_true", help="write no files; list those that would change")
    parser.add_argument("--diff", action="store_true", help="write no files; show the changes")
    parser.add_argument(
        "--width", type=_width, default=WIDTH, metavar="N", help=f"maximum length of lines; default {WIDTH}"
    )


def _width(text: str) -> int:
    if not (text.isdecimal() and int(text) >= _NARROWEST):
        raise argparse.ArgumentTypeError(f"invalid width {text}: expected an integer of at least {_NARROWEST}")
    return int(text)


_NARROWEST = 20


def run(options: argparse.Namespace) -> int:
    """Format expressions and files; return the exit status."""
    if not options.files and not options.expression:
        raise UsageError("nothing to format; pass a file, or an expression with -e")
    status = OK
    for given in options.expression:
        status = max(status, _format_argument(given, options))
    for file in options.files:
        status = max(status, _format_named_file(file, options))
    return status


def _format_argument(given: str, options: argparse.Namespace) -> int:
    try:
        before = decode_argument(given)
        after = format_expression(before, options.width)
        if options.check or options.diff:
            return _report_change("-e", f"{before}\n", f"{after}\n", options)
        print(after)
    except ParseError as error:
        print_error(str(error), error, options)
        return FAILED
    return OK


def _format_named_file(file: str, options: argparse.Namespace) -> int:
    try:
        return _update_file(file, options)
    except StatementError as error:
        line, column = position(error.statement.text, error.error.span.start)
        location = f"{file}:{error.statement.line + line - 1}:{column}"
        source = snippet(error.statement.text, error.error.span, error.statement.line)
        print_error(f"{location}: {error.error.message}\n{source}", error, options)
        return FAILED
    except ConfigError as error:
        print_error(str(error), error, options)
        return FAILED
    except UsageError as error:
        print_error(f"stellar: {error}", error, options)
        return UNUSABLE


def _update_file(file: str, options: argparse.Namespace) -> int:
    before = _read(file)
    after = _format_source(file, before, options.width)
    if options.check or options.diff:
        return _report_change(file, before, after, options)
    if file == STANDARD_INPUT:
        sys.stdout.write(after)
    elif after != before:
        _write(file, after)
        print(f"{file}: formatted", file=sys.stderr)
    return OK


def _report_change(file: str, before: str, after: str, options: argparse.Namespace) -> int:
    if before == after:
        return OK
    if options.diff:
        lines = (list(StringIO(before)), list(StringIO(after)))  # split at the line ends of files only
        for line in difflib.unified_diff(
            *lines, f"{describe_file(file)}, unformatted", f"{describe_file(file)}, formatted"
        ):
            print(line.rstrip("\r\n"))
            if not line.endswith("\n"):
                print("\\ No newline at end of file")
    if options.check:
        print(f"{describe_file(file)} would be formatted", file=sys.stderr)
        return FAILED
    return OK


def _format_source(file: str, before: str, width: int) -> str:
    """Format the source of a file; line ends and a byte order mark stay the same.

    Raise StatementError or ConfigError if it is invalid.
    """
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    text = before.removeprefix(mark)
    if file.endswith(".json"):
        from stellar.pipeline.config.format import format_configuration  # loads the pipeline's configuration

        return mark + format_configuration(file, text, width)
    return mark + format_file(text, width)


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise UsageError(f"can't read {describe_file(file)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"can't read {describe_file(file)}: byte {error.start + 1} is not UTF-8") from error


def _write(file: str, text: str) -> None:
    """Replace the content of a file atomically. Raise UsageError if that fails."""
    try:
        replace_content(file, text.encode())
    except OSError as error:
        raise UsageError(f"can't write {file}: {error.strerror}") from error
