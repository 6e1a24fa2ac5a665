"""Lines of a stream in batches, with the position after each batch.

A batch is what one read returns, without objects for single lines. The last line of a stream waits for its end, because
another process may be writing it.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count, repeat
from typing import Any

from stellar.pipeline.connectors.compression import ByteStream
from stellar.pipeline.records import Raw

READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
# Bytes by which the content of a file is recognized: the first ones, and the last ones before a position
HEAD_BYTES, TAIL_BYTES = 256, 64
_SHOWN_BYTES = 1024
_make_raw: Callable[[Any], Raw] = partial(tuple.__new__, Raw)
_TOO_LONG = "line is longer than {:,} bytes; increase --max-line-bytes if such lines are expected"
_CONTINUED = "the start of this line was processed before its end was written; pass --follow to wait for line ends"


@dataclass(frozen=True, slots=True)
class LinePosition:
    """A position between two lines of a file, in its content after decompression.

    offset: bytes before the position
    line: lines before the position
    head: the first bytes of the file, at most those before the position
    tail: the last bytes before the position
    """

    offset: int = 0
    line: int = 0
    head: bytes = b""
    tail: bytes = b""

    @property
    def is_between_lines(self) -> bool:
        """False if the last line had no end when it was read."""
        return not self.tail or self.tail.endswith(b"\n")

    def advance(self, content: bytes, lines: int) -> LinePosition:
        """Return the position after more content."""
        head = self.head
        if len(head) < HEAD_BYTES:
            head += content[: HEAD_BYTES - len(head)]
        tail = (self.tail + content[-TAIL_BYTES:])[-TAIL_BYTES:]
        return LinePosition(self.offset + len(content), self.line + lines, head, tail)


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Consecutive lines of one file.

    origin: the name of the file or stream
    first: the number of the first line, from 1
    lines: the lines, without their ends
    failure: the reason why what follows these lines cannot be read; None if it can
    failed: the content that cannot be read, or its first bytes
    size: the bytes that were read
    position: the position after the batch; None for a stream without positions
    source: the record of the file; None for a stream without positions, and for a batch that only shows that all files
        were read to their ends for now
    is_last: true for the last batch of a file
    """

    origin: str
    first: int = 1
    lines: list[bytes] = field(default_factory=list)
    failure: Exception | None = None
    failed: bytes = b""
    size: int = 0
    position: LinePosition | None = None
    source: Any = None
    is_last: bool = False

    def messages(self, topic: str | None = None) -> Iterator[Raw]:
        """Return the lines as raw messages, and the failure as a message with an error."""
        none: Iterator[None] = repeat(None)
        # Without a call of Python code for each line; the order is that of the fields of Raw
        messages = map(
            _make_raw, zip(self.lines, repeat(self.origin), count(self.first), none, repeat(topic), none, none)
        )
        failed = self.make_failure(topic)
        return messages if failed is None else chain(messages, (failed,))

    def make_failure(self, topic: str | None = None) -> Raw | None:
        """Return the failure as a message with an error, otherwise None."""
        if self.failure is None:
            return None
        return Raw(self.failed, self.origin, self.first + len(self.lines), topic=topic, error=self.failure)


class LineReader:
    """Reads the lines of a stream from a position.

    stream: the content, at that position
    most: the limit of a line in bytes; a longer line is a failure, and is not stored
    position: the position after the complete lines so far
    """

    def __init__(
        self,
        stream: ByteStream,
        origin: str,
        position: LinePosition | None = None,
        most: int = MAX_LINE_BYTES,
        source: Any = None,
    ) -> None:
        self._stream = stream
        self._origin = origin
        self._most = most
        self._source = source
        self.position = position or LinePosition()
        self._parts: list[bytes] = []  # the start of an incomplete line
        self._length = 0  # its length; more than `_parts` contain if it is too long
        self._tail = b""  # its last bytes, if it is too long
        self._is_continued = not self.position.is_between_lines

    @property
    def pending(self) -> int:
        """The bytes of the incomplete last line."""
        return self._length

    def read(self) -> Iterator[LineBatch]:
        """Yield the lines that are complete by now; consume all of them. Raises OSError if the stream is damaged."""
        while (batches := self.read_some()) is not None:
            yield from batches

    def read_some(self) -> list[LineBatch] | None:
        """Return the lines that one read completes, which may be none; None at the end of the stream, for now."""
        content = self._stream.read(READ_BYTES)
        if not content:
            return None
        end = content.rfind(b"\n") + 1
        batches = list(self._split(content[:end])) if end else []
        self._wait_for_end(content[end:])
        return batches

    def finish(self, failure: Exception | None = None) -> Iterator[LineBatch]:
        """Yield the incomplete last line, as a failure if there is one."""
        rest = b"".join(self._parts)
        if failure is None and not rest:
            return
        if self._length > self._most or failure is not None or self._is_continued:
            yield self._fail(failure or self._explain(), b"", 0)
        else:
            self._forget()
            yield self._make_batch(rest, [rest.rstrip(b"\r\n")])

    def _wait_for_end(self, part: bytes) -> None:
        """Store the start of a line, but only a few bytes if it is too long."""
        if not part:
            return
        self._length += len(part)
        if self._length <= self._most or not self._parts:
            self._parts.append(part)
            return
        start = b"".join(self._parts)
        self._tail = ((self._tail or start[-TAIL_BYTES:]) + part[-TAIL_BYTES:])[-TAIL_BYTES:]
        self._parts = [start[:_SHOWN_BYTES]]

    def _forget(self) -> None:
        self._parts, self._length, self._tail, self._is_continued = [], 0, b"", False

    def _split(self, content: bytes) -> Iterator[LineBatch]:
        """Yield the lines of content that ends with a line end."""
        if self._length > self._most or self._is_continued:
            end, _, content = content.partition(b"\n")
            yield from self._end_failed_line(end + b"\n")
        elif self._parts:
            content = b"".join((*self._parts, content))
            self._forget()
        if not content:
            return
        lines = content.split(b"\n")
        lines.pop()
        if len(content) > self._most and max(map(len, lines)) > self._most:
            yield from self._split_long(lines)
        else:
            yield self._make_batch(content, lines)

    def _end_failed_line(self, end: bytes) -> Iterator[LineBatch]:
        whole = b"".join((*self._parts, end))
        if self._is_continued and not whole.strip(b"\r\n"):
            self._forget()
            self.position = self.position.advance(whole, 0)  # only the end of the line was missing
        else:
            yield self._fail(self._explain(), end, 1)

    def _split_long(self, lines: list[bytes]) -> Iterator[LineBatch]:
        for line in lines:
            if len(line) > self._most:
                self._parts, self._length = [line], len(line)
                yield self._fail(self._explain(), b"\n", 1)
            else:
                yield self._make_batch(line + b"\n", [line])

    def _explain(self) -> Exception:
        return ValueError(_CONTINUED if self._is_continued else _TOO_LONG.format(self._most))

    def _fail(self, failure: Exception, end: bytes, lines: int) -> LineBatch:
        """Return a batch with the incomplete line as a failure, and advance the position past its end."""
        start, length = b"".join(self._parts), self._length + len(end)
        number, lines = (self.position.line, 0) if self._is_continued else (self.position.line + 1, lines)
        after = self.position.advance(start + end, lines)
        tail = (self.position.tail + self._tail + end)[-TAIL_BYTES:] if self._tail else after.tail
        self.position = replace(after, offset=self.position.offset + length, tail=tail)
        self._forget()
        shown = (start + end).rstrip(b"\r\n")[:_SHOWN_BYTES]
        return LineBatch(self._origin, number, [], failure, shown, length, self.position, self._source)

    def _make_batch(self, content: bytes, lines: list[bytes]) -> LineBatch:
        if b"\r" in content:
            lines = [line.rstrip(b"\r\n") for line in lines]
        if not self.position.offset:
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        number = self.position.line + 1
        self.position = self.position.advance(content, len(lines))
        return LineBatch(self._origin, number, lines, size=len(content), position=self.position, source=self._source)
