"""Where raw messages come from: the lines of files, and of standard input."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from stellar.pipeline.records import Raw

STANDARD_INPUT = "-"


def lines(names: Iterable[str]) -> Iterator[Raw]:
    """The lines of these files in turn, without their ends; `-` is standard input, and `.gz` files are unpacked.

    Raises OSError for a file that cannot be read.
    """
    for name in names:
        origin = "standard input" if name == STANDARD_INPUT else name
        try:
            with _opened(name) as stream:
                for number, line in enumerate(stream, start=1):
                    yield Raw(line.rstrip(b"\r\n"), origin, number)
        except (OSError, EOFError, zlib.error) as error:  # what is packed may be damaged
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise OSError(f"{origin} cannot be read: {error}") from error


def check_readable(names: Iterable[str], targets: Iterable[str | None]) -> None:
    """See, before any target is begun anew, that the sources are there, and that none of them is a target.

    Raises OSError, or ValueError for one that is both.
    """
    written = {Path(target).resolve() for target in targets if target is not None}
    for name in names:
        if name == STANDARD_INPUT:
            continue
        path = Path(name)
        if path.is_fifo() or path.is_char_device():  # to open a pipe twice would end it
            continue
        with open(name, "rb"):
            pass
        if path.resolve() in written:
            raise ValueError(f"{name} is to be read, and to be written: give the output another name")


def size(names: Iterable[str]) -> int | None:
    """How many bytes these files hold together; None where that can't be told beforehand."""
    total = 0
    for name in names:
        if name == STANDARD_INPUT or name.endswith(".gz") or not Path(name).is_file():
            return None
        total += Path(name).stat().st_size
    return total


def _opened(name: str) -> AbstractContextManager[Iterable[bytes]]:
    if name == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)  # which stays open
    if name.endswith(".gz"):
        return gzip.open(name, "rb")
    return open(name, "rb")
