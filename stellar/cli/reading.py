"""Input and error output of the commands."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator

OK, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
STANDARD_INPUT = "-"


class UsageError(Exception):
    """Invalid options, or input or output that can't be used."""


def print_error(message: str, error: BaseException, options: argparse.Namespace) -> None:
    """Print a message to standard error, with --debug followed by the traceback."""
    print(message, file=sys.stderr)
    if options.debug:
        traceback.print_exception(error)


def read_lines(file: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers. Raise UsageError if it can't be read."""
    try:
        with sys.stdin.buffer if file == STANDARD_INPUT else open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except OSError as error:
        raise UsageError(f"can't read {describe_file(file)}: {error.strerror}") from error


def read_text_lines(file: str) -> Iterator[str]:
    """Yield the decoded lines of a file, without line ends. Raise UsageError if it can't be read."""
    for number, line in read_lines(file):
        try:
            yield decode_line(line).rstrip("\r\n")
        except ValueError as error:
            raise UsageError(f"can't read line {number} of {describe_file(file)}: {error}") from error


def describe_file(file: str) -> str:
    """Return the name of a file for messages."""
    return "standard input" if file == STANDARD_INPUT else file


def decode_line(line: bytes) -> str:
    """Decode UTF-8. Raise ValueError with the number of the invalid byte."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of this line is not UTF-8") from error


def decode_argument(text: str) -> str:
    """Decode a command-line argument as UTF-8, independent of the locale."""
    try:
        return text if text.isprintable() else os.fsencode(text).decode()
    except UnicodeError as error:
        raise UsageError("the expression is not UTF-8") from error
