"""Decompression of streams, recognized by their first bytes: gzip, bzip2, xz and Zstandard.

A read returns at most as many bytes as requested, so that a small file with a large content does not fill the memory.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from stellar.util.optional_imports import import_optional

_READ_BYTES = 64 * 1024
# The memory for a dictionary or window that a file may request
_MAX_MEMORY = 256 * 1024 * 1024
DAMAGES = (zlib.error, lzma.LZMAError, OSError, EOFError)


class ByteStream(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, as soon as some are available; none at the end."""


class _Decoder(Protocol):
    """The decoder of one compressed member, as in bz2 and lzma."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipDecoder:
    """The decoder of a gzip member, with the interface of those in bz2 and lzma."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data.lstrip(b"\0")  # tapes and some tools pad with zeros

    def decompress(self, data: bytes, max_length: int) -> bytes:
        content = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        self.needs_input = not self._decoder.unconsumed_tail and len(content) < max_length
        return content


class Compression(NamedTuple):
    """A format of compressed files.

    suffix: the usual end of file names
    starts: the first bytes of a file, any of these
    make: returns a decoder; raises LookupError if a package is missing
    """

    suffix: str
    starts: tuple[bytes, ...]
    make: Callable[[], Any]


def _make_zstd_decoder() -> Any:
    return _import_zstd().ZstdDecompressor()


def _import_zstd() -> Any:
    """Import Python's own module, or the package that provides it for older versions. Raises LookupError."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_optional("backports.zstd", "zstd")


def _damages(decoder: object) -> tuple[type[BaseException], ...]:
    """Return the exceptions that a decoder raises for damaged data."""
    own = getattr(import_module(type(decoder).__module__), "ZstdError", None)
    return DAMAGES if own is None else (*DAMAGES, own)


_ZSTD_SKIPPABLE = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")  # a line may start with "BZh9", too
COMPRESSIONS = (
    Compression(".gz", (b"\x1f\x8b\x08",), _GzipDecoder),
    Compression(
        ".bz2",
        tuple(b"BZh%d" % level + block for level in range(1, 10) for block in _BZIP2_BLOCKS),
        bz2.BZ2Decompressor,
    ),
    Compression(".xz", (b"\xfd7zXZ\0",), lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY)),
    Compression(".zst", (b"\x28\xb5\x2f\xfd", *_ZSTD_SKIPPABLE), _make_zstd_decoder),
)
_MAX_START = max(len(start) for each in COMPRESSIONS for start in each.starts)


def find_compression(start: bytes) -> Compression | None:
    """Return the format of a file by its first bytes; None if it is not compressed."""
    return next((each for each in COMPRESSIONS if start.startswith(each.starts)), None)


def may_be_compressed(start: bytes) -> bool:
    """Return True if more bytes are needed to tell whether a file is compressed."""
    return len(start) < _MAX_START and any(magic.startswith(start) for each in COMPRESSIONS for magic in each.starts)


def find_compression_of_name(name: str) -> Compression | None:
    """Return the format that the name of a file states."""
    return next((each for each in COMPRESSIONS if name.lower().endswith(each.suffix)), None)


class PrefixedStream:
    """A stream of which the first bytes were read already."""

    def __init__(self, start: bytes, stream: ByteStream) -> None:
        self._start = start
        self._stream = stream

    def read(self, size: int) -> bytes:
        if self._start:
            content, self._start = self._start[:size], self._start[size:]
            return content
        return self._stream.read(size)


def open_content(stream: ByteStream, name: str = "") -> tuple[ByteStream, Compression | None]:
    """Return the content of a stream, decompressed if it is compressed, and the format of the compression.

    name: the name of the file

    Raises LookupError if a package is missing, and OSError if the name states a compression and the content has none.
    """
    start = b""
    while (not start or may_be_compressed(start)) and (more := stream.read(_READ_BYTES)):
        start += more
    content = PrefixedStream(start, stream)
    compression = find_compression(start)
    if compression is not None:
        return DecompressedStream(content, compression), compression
    if start and (stated := find_compression_of_name(name)) is not None:
        raise OSError(f"expected compressed data by the name, got other data; rename it without {stated.suffix}")
    return content, None


class DecompressedStream:
    """The content of a compressed stream with one or more members.

    Raises OSError from `read` if the stream is damaged or incomplete; the content before that has been returned.
    """

    def __init__(self, stream: ByteStream, compression: Compression) -> None:
        self._stream = stream
        self._compression = compression
        self._decoder: _Decoder = compression.make()
        self._damages = _damages(self._decoder)
        self._data = b""

    def read(self, size: int) -> bytes:
        try:
            return self._read(size)
        except self._damages as error:
            raise OSError(f"damaged {self._compression.suffix} data: {error}") from error

    def _read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof and not self._start_member():
                return b""
            if self._decoder.needs_input and not self._data and not self._fill():
                raise EOFError("it ends before the end of its compressed data")
            data, self._data = self._data, b""
            if content := self._decoder.decompress(data, size):
                return content

    def _fill(self) -> bool:
        self._data = self._stream.read(_READ_BYTES)
        return bool(self._data)

    def _start_member(self) -> bool:
        """Start the next member; return False at the end of the stream."""
        rest = self._decoder.unused_data
        while (not rest or may_be_compressed(rest)) and (more := self._stream.read(_READ_BYTES)):
            rest += more if self._compression.suffix != ".gz" or rest else more.lstrip(b"\0")
        if not rest:
            return False
        if not rest.startswith(self._compression.starts):
            raise EOFError("unexpected data after the end of its compressed data")
        self._decoder, self._data = self._compression.make(), rest
        return True
