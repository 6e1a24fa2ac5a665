"""Sources of loaders: files, directories, patterns, URLs and standard input, as streams of bytes and of lines."""

from __future__ import annotations

import sys
import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import IO, Any, NamedTuple

from stellar.pipeline.connectors.compression import ByteStream, open_content
from stellar.pipeline.connectors.sources import is_pipe
from stellar.util.optional_imports import import_optional

STANDARD_INPUT = "-"
MAX_LINE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_SHOWN_CHARACTERS = 1000  # of an unreadable line


class TextLine(NamedTuple):
    """A line of text, without its end, and its number from 1."""

    number: int
    text: str


class UnreadableLine(NamedTuple):
    """A line that is not UTF-8, or too long.

    start: its first characters
    """

    number: int
    reason: str
    start: str


@dataclass
class Source:
    """An open file.

    name: its name, for messages
    stream: its bytes, decompressed
    raw: the bytes before decompression, whose position shows the progress
    """

    name: str
    stream: ByteStream
    raw: IO[bytes]

    @property
    def position(self) -> int:
        """The number of bytes that were read; 0 if that is unknown, as for a pipe."""
        return self.raw.tell() if self.raw.seekable() else 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the content. Raises OSError if it cannot be read to the end."""
        try:
            while chunk := self.stream.read(_CHUNK_BYTES):
                yield chunk
        except OSError as error:
            raise OSError(f"{self.name}: cannot read the file to its end: {error}") from error

    def lines(self) -> Iterator[TextLine | UnreadableLine]:
        """Yield the lines. A line above 16 MiB is unreadable, and no more than that is held in memory."""
        for number, content in enumerate(_split(self.chunks()), 1):
            if content is None:
                yield UnreadableLine(number, f"the line has more than {MAX_LINE_BYTES:,} bytes", "")
                continue
            try:
                yield TextLine(number, (content.removeprefix(BOM_UTF8) if number == 1 else content).decode())
            except UnicodeDecodeError as error:
                text = content.decode("utf-8", "backslashreplace")[:_SHOWN_CHARACTERS]
                yield UnreadableLine(number, f"invalid UTF-8 at byte {error.start}; convert the file to UTF-8", text)


def _split(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield lines without their ends; None for one that is too long."""
    rest, is_too_long = b"", False
    for chunk in chunks:
        first, *lines = chunk.split(b"\n")
        rest = b"" if is_too_long else rest + first
        is_too_long = is_too_long or len(rest) > MAX_LINE_BYTES
        for line in lines:
            yield None if is_too_long else rest.removesuffix(b"\r")
            rest, is_too_long = line, False
    if rest or is_too_long:
        yield None if is_too_long else rest.removesuffix(b"\r")


def expand_inputs(names: Iterable[str]) -> list[str]:
    """Return the files that names denote: files, directories with all files in them, patterns, URLs and `-`.

    Raises OSError for a name that denotes no file.
    """
    return [file for name in names for file in _expand(name)]


def _expand(name: str) -> list[str]:
    if name == STANDARD_INPUT or "://" in name or is_pipe(name):
        return [name]
    if Path(name).is_dir():
        found = sorted(str(path) for path in Path(name).rglob("*") if path.is_file())
        if not found:
            raise FileNotFoundError(2, "the directory contains no files", name)
        return found
    if not Path(name).exists() and has_magic(name):
        found = sorted(path for path in glob(name, recursive=True) if Path(path).is_file())
        if not found:
            raise FileNotFoundError(2, "no file matches the pattern", name)
        return found
    with open(name, "rb"):  # raises the error before anything is loaded
        return [name]


def total_bytes(files: Iterable[str]) -> int | None:
    """Return the total size of files; None if it is unknown, as for standard input and URLs."""
    total = 0
    for name in files:
        if not Path(name).is_file():
            return None
        total += Path(name).stat().st_size
    return total


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open a file, a URL or standard input, and decompress it if its content is gzip, bzip2, xz or Zstandard.

    A URL of http and https is downloaded completely before its content is read, so that a broken download loads
    nothing. Other URLs are opened by fsspec.

    Raises OSError if it cannot be opened, and LookupError if a package is missing.
    """
    is_standard_input = name == STANDARD_INPUT
    shown = "standard input" if is_standard_input else name
    with nullcontext(sys.stdin.buffer) if is_standard_input else _open_raw(name) as raw:
        try:
            content, _ = open_content(_Arriving(raw), name.partition("?")[0])
        except OSError as error:
            raise OSError(f"{shown}: {error}") from error
        except LookupError as error:
            raise LookupError(f"{shown}: {error.args[0]}") from error
        yield Source(shown, content, raw)


class _Arriving:
    """A stream of which a read returns what has arrived, without waiting for more."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.read: Callable[[int], bytes] = getattr(raw, "read1", raw.read)


@contextmanager
def _open_raw(name: str) -> Iterator[IO[bytes]]:
    scheme, separator, _ = name.partition("://")
    if not separator:
        with open(name, "rb") as file:
            yield file
    elif scheme.lower() in ("http", "https"):
        with tempfile.TemporaryFile() as copy:
            _download(name, copy)
            copy.seek(0)
            yield copy
    else:
        try:
            opened: Any = import_optional("fsspec", "files").open(name, "rb")
        except (ImportError, ValueError) as error:  # of a protocol that is unknown or needs another package
            raise LookupError(f"{name} can't be read: {error}") from error
        with opened as remote:
            yield remote


def _download(url: str, target: IO[bytes]) -> None:
    import httpx  # most loads need no HTTP client

    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                target.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"{url}: {error or type(error).__name__}") from error
