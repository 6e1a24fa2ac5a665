"""Sources of raw messages: the lines of files and of standard input."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from glob import glob, has_magic
from io import BufferedReader, FileIO
from pathlib import Path
from typing import cast

from stellar.pipeline.connectors.compression import ByteStream, find_compression, open_content
from stellar.pipeline.connectors.lines import MAX_LINE_BYTES, LineBatch, LineReader
from stellar.pipeline.connectors.parquet import MAGIC, ParquetReader, import_parquet
from stellar.pipeline.records import Raw
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "standard input"
_START_BYTES = 64


def expand_names(names: Iterable[str], directory: Path | None = None) -> list[str]:
    """Return the names of files, with each glob replaced by the files that it matches, sorted.

    A name of an existing file is not a glob. `**` matches any number of directories. A file that several globs match is
    returned once, for the first of them.

    directory: the directory of relative names; None for the working directory

    Raises FileNotFoundError for a glob that matches no file.
    """
    found: dict[str, None] = {}
    for name in names:
        path = name if directory is None or name == STANDARD_INPUT else str(directory / name)
        if name == STANDARD_INPUT or not is_glob(path):
            found[path] = None
            continue
        matches = list_matches(path)
        if not matches:
            raise FileNotFoundError(f"no file matches {quote(name)}; check the path and the pattern")
        found.update(dict.fromkeys(matches))
    return list(found)


def is_glob(name: str) -> bool:
    """Return True if a name is a pattern, not the name of an existing file."""
    return has_magic(name) and not Path(name).exists()


def list_matches(pattern: str) -> list[str]:
    """Return the files that a glob matches, sorted by their names."""
    return sorted(path for path in glob(pattern, recursive=True) if not Path(path).is_dir())


def list_existing(names: Iterable[str]) -> list[str]:
    """Return the files that names and globs denote at present."""
    found = (list_matches(name) if is_glob(name) else [name] for name in names)
    return [path for paths in found for path in paths if path == STANDARD_INPUT or Path(path).exists()]


def read_lines(names: Iterable[str], topic: str | None = None, most: int = MAX_LINE_BYTES) -> Iterator[Raw]:
    """Yield the lines of files in order, without line ends; `-` is standard input. Compressed files are decompressed.

    A byte order mark at the start of a file is ignored. A file that is damaged, or cannot be opened, gives a message
    with the error after the last line that can be read, and the next file is read.

    topic: the topic of the messages, as if they came from Kafka
    most: the limit of a line in bytes
    """
    for batch in read_batches(names, most):
        yield from batch.messages(topic)


def read_batches(names: Iterable[str], most: int = MAX_LINE_BYTES) -> Iterator[LineBatch]:
    """Yield the lines of files in order, in batches.

    most: the limit of a line in bytes
    """
    for name in names:
        origin = STANDARD_INPUT_NAME if name == STANDARD_INPUT else name
        try:
            opened = open_source(name)
        except OSError as error:
            yield LineBatch(origin, failure=explain_damage(origin, 0, error))
            continue
        with opened as stream:
            yield from _read_stream(stream, origin, most)


def _read_stream(stream: ByteStream, origin: str, most: int) -> Iterator[LineBatch]:
    reader: LineReader | ParquetReader = LineReader(stream, origin, most=most)
    try:
        reader = _make_reader(stream, origin, most)
        yield from reader.read()
        yield from reader.finish()
    except (OSError, LookupError) as error:
        yield from reader.finish(explain_damage(origin, reader.position.line, error))


def _make_reader(stream: ByteStream, origin: str, most: int) -> LineReader | ParquetReader:
    if isinstance(stream, FileIO) and is_parquet(stream):
        return ParquetReader(stream, origin)
    content, _ = open_content(stream, origin)
    return LineReader(content, origin, most=most)


def is_parquet(file: FileIO) -> bool:
    """Return True for a Parquet file by its first bytes."""
    return file.seekable() and os.pread(file.fileno(), len(MAGIC), 0) == MAGIC


def explain_damage(origin: str, line: int, error: Exception) -> OSError:
    """Return the error of a file that cannot be read any further, and log it as a warning."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    message = f"cannot read {origin} after line {line}: {reason}; the rest of the file is skipped"
    log.warning("%s", message)
    return OSError(message)


def check_readable(names: Iterable[str], targets: Iterable[str | None]) -> None:
    """Check that the sources are readable, and that none is also a target, before a target is overwritten.

    Raises OSError for an unreadable source, and ValueError for one that is also a target, or that needs a package for
    its decompression.
    """
    names = list(names)
    for name in names:
        if name == STANDARD_INPUT or is_pipe(name):  # opening a pipe twice would end it
            continue
        start = _read_start(name)
        compression = find_compression(start)
        try:
            if compression is not None:
                compression.make()
            elif start.startswith(MAGIC):
                import_parquet()
        except LookupError as error:
            raise ValueError(f"cannot read {name}: {error}") from error
    check_distinct(names, targets)


def check_distinct(names: Iterable[str], targets: Iterable[str | None]) -> None:
    """Check that no source is also a target, or in a directory that is one, before a target is overwritten.

    Standard input, pipes and URLs are neither.

    Raises ValueError.
    """
    written = {Path(target).resolve() for target in targets if target is not None and "://" not in target}
    for name in names:
        if name == STANDARD_INPUT or "://" in name or is_pipe(name):
            continue
        path = Path(name).resolve()
        if path in written or any(each in written for each in path.parents):
            raise ValueError(f"{quote(name)} is both input and output; choose another file for the output")


def total_size(names: Iterable[str]) -> int | None:
    """Return the total size of files in bytes; None if it is unknown, as for standard input and compressed files."""
    total = 0
    for name in names:
        if name == STANDARD_INPUT or not Path(name).is_file():
            return None
        start = _read_start(name)
        if start.startswith(MAGIC) or find_compression(start) is not None:
            return None
        total += Path(name).stat().st_size
    return total


def is_pipe(name: str) -> bool:
    """Return True if a file is a pipe or a device, which can be read once."""
    path = Path(name)
    return path.is_fifo() or path.is_char_device()


def _read_start(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read(_START_BYTES)


class _StandardInput:
    """Standard input, of which a read returns what is there, without waiting for more."""

    def read(self, size: int) -> bytes:
        return cast(BufferedReader, sys.stdin.buffer).read1(size)


def open_source(name: str) -> AbstractContextManager[ByteStream]:
    """Open a file, or standard input, which is not closed. Raises OSError."""
    return nullcontext(_StandardInput()) if name == STANDARD_INPUT else open(name, "rb", buffering=0)
