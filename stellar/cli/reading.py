"""What the command reads, and what it says when it can't."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator

FINE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
STANDARD_INPUT = "-"


class Unusable(Exception):
    """The command can't do what it was told to."""


def complain(message: str, error: BaseException, options: argparse.Namespace) -> None:
    print(message, file=sys.stderr)
    if options.debug:
        traceback.print_exception(error)


def lines_of(file: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, with their numbers."""
    try:
        with sys.stdin.buffer if file == STANDARD_INPUT else open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except OSError as error:
        raise Unusable(f"can't read {named(file)}: {error.strerror}") from error


def texts_of(file: str) -> Iterator[str]:
    """The lines of a file as text, without their ends."""
    for number, line in lines_of(file):
        try:
            yield decoded(line).rstrip("\r\n")
        except ValueError as error:
            raise Unusable(f"can't read line {number} of {named(file)}: {error}") from error


def named(file: str) -> str:
    return "standard input" if file == STANDARD_INPUT else file


def decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of this line is not UTF-8") from error


def argument(text: str) -> str:
    """An expression of the command line, also where the locale knows nothing of UTF-8."""
    try:
        return text if text.isprintable() else os.fsencode(text).decode()
    except UnicodeError as error:
        raise Unusable("the expression is not UTF-8") from error
