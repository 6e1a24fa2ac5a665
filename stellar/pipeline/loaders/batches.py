"""Rows of a load that several processes extract and transform, in batches.

An extractor of lines gets the lines of a batch in a process. The rows of other extractors are extracted in the parent,
and transformed in a process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from stellar.pipeline.loaders.rows import Extracted, ExtractedRow, ExtractLine, Extractor, RejectedRow
from stellar.pipeline.loaders.sources import Source, TextLine, UnreadableLine
from stellar.stores.base import EncodedMap
from stellar.util.json_encoding import make_encoder

MAX_ROWS = 2_000
MAX_CHARACTERS = 1024 * 1024

_encode = make_encoder(ensure_ascii=True)


@runtime_checkable
class LineExtractor(Protocol):
    """An extractor of which each line is a row, after a header."""

    @property
    def extracts_lines(self) -> bool:
        """False if, by its options, it reads each file as a whole."""

    def begin(self, lines: Iterator[TextLine | UnreadableLine]) -> tuple[list[Extracted], ExtractLine | None]:
        """Read the header. Return what it gives, and a function for each line after it; None to ignore these."""


@dataclass(frozen=True)
class Batch:
    """Lines of a file, with its lines up to the header; or rows that were extracted."""

    file: str
    header: Sequence[str] = ()
    lines: Sequence[TextLine] = ()
    rows: Sequence[ExtractedRow] = ()

    def encode(self) -> bytes:
        """Return the batch as a message."""
        return json.dumps((self.file, self.header, self.lines, self.rows), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, message: bytes) -> Batch:
        """Return the batch of a message."""
        file, header, lines, rows = json.loads(message)
        return cls(file, header, [TextLine(*line) for line in lines], [ExtractedRow(*row) for row in rows])


@dataclass(frozen=True)
class BatchResult:
    """The rows of a batch that are stored, without raw text; those that were rejected; and numbers of rows.

    count: the number of rows that are stored, or that have updated a summary
    """

    rows: Sequence[ExtractedRow]
    rejected: Sequence[RejectedRow]
    count: int
    filtered: int
    ignored: int

    def encode(self) -> bytes:
        """Return the result as a message. The values of its rows are encoded."""
        rows = [(row.kind, row.indicator, cast(EncodedMap, row.value).text, row.line) for row in self.rows]
        rejected = [(row.line, row.reason, row.raw) for row in self.rejected]
        return _encode((rows, rejected, self.count, self.filtered, self.ignored)).encode()

    @classmethod
    def decode(cls, message: bytes) -> BatchResult:
        """Return the result of a message."""
        found, rejected, *counts = json.loads(message)
        rows = [ExtractedRow(kind, indicator, EncodedMap(text), line, "") for kind, indicator, text, line in found]
        return cls(rows, [RejectedRow(*row) for row in rejected], *counts)


def can_batch(extractor: Extractor) -> bool:
    """Return True for the built-in extractors, whose rows have only values of JSON before they are transformed."""
    return hasattr(extractor, "extracts_lines")


def extracts_lines(extractor: Extractor) -> bool:
    """Return True if each line is a row, after a header."""
    return isinstance(extractor, LineExtractor) and extractor.extracts_lines


def make_batches(source: Source, extractor: Extractor, handle: Callable[[Extracted], None]) -> Iterator[Batch]:
    """Yield the lines or the rows of a file in batches.

    handle: is passed what needs no more work, such as lines that are not readable
    """
    if extracts_lines(extractor):
        return _batch_lines(source, cast(LineExtractor, extractor), handle)
    return _batch_rows(source, extractor, handle)


def _batch_lines(source: Source, extractor: LineExtractor, handle: Callable[[Extracted], None]) -> Iterator[Batch]:
    lines, header = source.lines(), []

    def read_header() -> Iterator[TextLine | UnreadableLine]:
        for line in lines:
            if isinstance(line, TextLine):
                header.append(line.text)
            yield line

    before, extract = extractor.begin(read_header())
    for extracted in before:
        handle(extracted)
    batch: list[TextLine] = []
    size = 0
    for line in lines if extract is not None else ():
        if isinstance(line, UnreadableLine):
            handle(RejectedRow(line.number, line.reason, line.start))
            continue
        batch.append(line)
        size += len(line.text)
        if len(batch) == MAX_ROWS or size >= MAX_CHARACTERS:
            yield Batch(source.name, header, batch)
            batch, size = [], 0
    if batch:
        yield Batch(source.name, header, batch)


def _batch_rows(source: Source, extractor: Extractor, handle: Callable[[Extracted], None]) -> Iterator[Batch]:
    batch: list[ExtractedRow] = []
    size = 0
    for extracted in extractor(source):
        if not isinstance(extracted, ExtractedRow):
            handle(extracted)
            continue
        batch.append(extracted)
        size += len(extracted.raw)
        if len(batch) == MAX_ROWS or size >= MAX_CHARACTERS:
            yield Batch(source.name, rows=batch)
            batch, size = [], 0
    if batch:
        yield Batch(source.name, rows=batch)
