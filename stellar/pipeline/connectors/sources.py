"""Sources of raw messages: the lines of files and of standard input."""

from __future__ import annotations

import gzip
import logging
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from stellar.pipeline.records import Raw

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"


def read_lines(names: Iterable[str], topic: str | None = None) -> Iterator[Raw]:
    """Yield the lines of files in order, without line ends; `-` is standard input, and `.gz` files are decompressed.

    A byte order mark at the start of a file is ignored. A file that is damaged gives a message with the error after the
    last line that can be read, and the next file is read.

    topic: the topic of the messages, as if they came from Kafka

    Raises OSError for a file that cannot be opened.
    """
    for name in names:
        origin = "standard input" if name == STANDARD_INPUT else name
        number = 0
        try:
            with _open(name) as stream:
                for number, line in enumerate(stream, start=1):
                    content = line.removeprefix(BOM_UTF8) if number == 1 else line
                    yield Raw(content.rstrip(b"\r\n"), origin, number, topic=topic)
        except (OSError, EOFError, zlib.error) as error:  # a compressed file may be damaged
            if isinstance(error, OSError) and error.filename is not None:
                raise
            message = f"cannot read {origin} after line {number}: {error}; the rest of the file is skipped"
            log.warning("%s", message)
            yield Raw(b"", origin, number + 1, error=OSError(message))


def check_readable(names: Iterable[str], targets: Iterable[str | None]) -> None:
    """Check that the sources are readable, and that none is also a target, before a target is overwritten.

    Raises OSError for an unreadable source, and ValueError for one that is also a target.
    """
    written = {Path(target).resolve() for target in targets if target is not None}
    for name in names:
        if name == STANDARD_INPUT:
            continue
        path = Path(name)
        if path.is_fifo() or path.is_char_device():  # opening a pipe twice would end it
            continue
        with open(name, "rb"):
            pass
        if path.resolve() in written:
            raise ValueError(f"{name!r} is both input and output; choose another file for the output")


def total_size(names: Iterable[str]) -> int | None:
    """Return the total size of files in bytes; None if it is unknown, as for standard input and compressed files."""
    total = 0
    for name in names:
        if name == STANDARD_INPUT or name.endswith(".gz") or not Path(name).is_file():
            return None
        total += Path(name).stat().st_size
    return total


def _open(name: str) -> AbstractContextManager[Iterable[bytes]]:
    if name == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)  # is not closed
    if name.endswith(".gz"):
        return gzip.open(name, "rb")
    return open(name, "rb")
