"""The loop from sources to a store.

A row that cannot be stored is rejected, and the others are stored. A file that cannot be read to its end ends the load
with an error: a replacement then leaves the store as it was, and a merge has stored the rows before the error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import cast

from stellar.language.errors import StellarError
from stellar.language.tagged_json import serialize
from stellar.pipeline.loaders.batches import Batch, BatchResult, LineExtractor, make_batches
from stellar.pipeline.loaders.rows import (
    Extracted,
    ExtractedRow,
    ExtractLine,
    Extractor,
    RejectedRow,
    extract_lines,
)
from stellar.pipeline.loaders.sources import Source, TextLine, open_source
from stellar.pipeline.loaders.transforms import RowTransform, SummaryState
from stellar.stores.base import EncodedMap, Row, Store, batch_rows, encode_map, is_storable
from stellar.stores.intervals import read_interval
from stellar.util.workers import Workers

BATCH_ROWS = 50_000
_MAX_KEYS = 1_000_000  # in which duplicates are counted


class LoadError(ValueError):
    """A load that must not be completed."""


@dataclass
class LoadCounts:
    """The counts of a load. Each line or object is counted once: as row, filtered, ignored or rejected.

    rows: rows that are stored
    duplicates: rows with the key of an earlier one, which they replace; counted among the first million keys only
    """

    rows: int = 0
    filtered: int = 0
    ignored: int = 0
    rejected: int = 0
    duplicates: int = 0

    @property
    def total(self) -> int:
        """The number of lines and objects."""
        return self.rows + self.filtered + self.ignored + self.rejected

    def __str__(self) -> str:
        text = f"{self.rows:,} rows, {self.filtered:,} filtered, {self.ignored:,} ignored, {self.rejected:,} rejected"
        return f"{text}, {self.duplicates:,} duplicates" if self.duplicates else text


@dataclass(frozen=True)
class RejectedLimit:
    """The most rows that may be rejected: a number, or a percentage of all rows. None is any number."""

    count: int | None = None
    percent: float | None = None

    def check(self, counts: LoadCounts) -> None:
        """Raise LoadError if the number is exceeded; this is called at each rejected row."""
        if self.count is not None and counts.rejected > self.count:
            raise LoadError(f"more than {self.count:,} rows rejected; fix the input or raise --max-rejected")

    def check_complete(self, counts: LoadCounts) -> None:
        """Raise LoadError if the percentage is exceeded; this is called at the end."""
        read = counts.rows + counts.rejected + counts.filtered
        if self.percent is not None and read and counts.rejected > read * self.percent / 100:
            raise LoadError(
                f"{counts.rejected:,} of {read:,} rows rejected, more than {self.percent:g} %; "
                "fix the input or raise --max-rejected"
            )


Reject = Callable[[str, RejectedRow], None]  # is passed the name of the file


@dataclass
class RowReader:
    """Reads the rows of files: extracts, transforms and checks them, and counts what becomes of them.

    reject: is passed each rejected row, besides its being counted
    intervals: True if networks and ranges are intervals, which must be valid
    summary: the state that rows update, instead of being stored
    workers: processes with a BatchWork each, which extract and transform the rows; None to do that in this one
    track: is passed each source when it is opened, and None at each row, to show the progress; None for no progress
    """

    extractor: Extractor
    transform: RowTransform
    reject: Reject = lambda file, row: None
    limit: RejectedLimit = field(default_factory=RejectedLimit)
    intervals: bool = False
    summary: SummaryState | None = None
    counts: LoadCounts = field(default_factory=LoadCounts)
    track: Callable[[Source | None], None] | None = None
    workers: Workers | None = None

    def read(self, files: Iterable[str]) -> Iterator[ExtractedRow]:
        """Yield the rows of files. Raises OSError, ConfigError or ValueError if one cannot be read to its end."""
        for name in files:
            with open_source(name) as source:
                if self.track is not None:
                    self.track(source)
                if self.workers is None:
                    yield from self.process(source.name, self.extractor(source))
                else:
                    yield from self._read_batches(source, self.workers)
        self.limit.check_complete(self.counts)

    def process(self, file: str, rows: Iterable[Extracted]) -> Iterator[ExtractedRow]:
        """Yield those of the extracted rows that are stored."""
        counts, track = self.counts, self.track
        for extracted in rows:
            if track is not None:
                track(None)
            if not isinstance(extracted, ExtractedRow):
                self._count_other(file, extracted)
                continue
            try:
                row = self._transform(extracted)
            except (StellarError, ValueError) as error:
                self.add_rejected(file, RejectedRow(extracted.line, str(error), extracted.raw))
                continue
            if row is None:
                counts.filtered += 1
            else:
                counts.rows += 1
                yield row

    def _count_other(self, file: str, extracted: Extracted) -> None:
        if isinstance(extracted, RejectedRow):
            self.add_rejected(file, extracted)
        else:
            self.counts.ignored += 1

    def _read_batches(self, source: Source, workers: Workers) -> Iterator[ExtractedRow]:
        counts = self.counts
        batches = make_batches(source, self.extractor, partial(self._count_other, source.name))
        for message in workers.map(batch.encode() for batch in batches):
            result = BatchResult.decode(message)
            counts.rows += result.count
            counts.filtered += result.filtered
            counts.ignored += result.ignored
            for rejected in result.rejected:
                self.add_rejected(source.name, rejected)
            for _ in range(result.count if self.track is not None else 0):
                self.track(None)  # type: ignore[misc]  # it is not None here
            yield from result.rows

    def _transform(self, extracted: ExtractedRow) -> ExtractedRow | None:
        """Return the row to store, or None if it is filtered. Raises StellarError or ValueError if it is invalid."""
        if self.summary is not None:
            return self.transform.apply(extracted, self.summary)
        row = extracted if self.transform.is_empty else self.transform.apply(extracted)
        return None if row is None else encode_row(row, self.intervals)

    def add_rejected(self, file: str, row: RejectedRow) -> None:
        """Count a rejected row and pass it on. Raises LoadError if there are too many."""
        self.counts.rejected += 1
        self.reject(file, row)
        self.limit.check(self.counts)


@dataclass
class BatchWork:
    """Extracts, transforms and checks the rows of batches in a process; see Workers.

    reader: the reader of the parent, whose summary is that of this process
    """

    reader: RowReader
    header: Sequence[str] | None = None
    extract: ExtractLine | None = None

    def do(self, message: bytes) -> bytes:
        """Return the BatchResult of a batch."""
        batch = Batch.decode(message)
        rejected: list[RejectedRow] = []
        counts = LoadCounts()
        reader = replace(self.reader, reject=lambda _, row: rejected.append(row), limit=RejectedLimit(), counts=counts)
        extracted = batch.rows or extract_lines(batch.lines, self._begin(batch.header))
        rows = list(reader.process(batch.file, extracted))
        stored = rows if reader.summary is None else []
        return BatchResult(stored, rejected, counts.rows, counts.filtered, counts.ignored).encode()

    def _begin(self, header: Sequence[str]) -> ExtractLine:
        """Return the function for the lines after a header, which the parent has checked."""
        if self.extract is None or header != self.header:
            lines = (TextLine(number, text) for number, text in enumerate(header, 1))
            _, self.extract = cast(LineExtractor, self.reader.extractor).begin(lines)
            self.header = header
        return cast(ExtractLine, self.extract)

    def finish(self) -> bytes:
        """Return the state of the summary as tagged JSON, or the reason why it has none, as a pair."""
        if self.reader.summary is None:
            return b"[null,null]"
        try:
            return json.dumps([serialize(self.reader.summary.value), None]).encode()
        except ValueError as error:
            return json.dumps([None, str(error)]).encode()


def encode_row(row: ExtractedRow, intervals: bool = False) -> ExtractedRow:
    """Return a row with its value as an EncodedMap. Raises ValueError if it cannot be stored.

    intervals: True if networks and ranges are intervals, which must be valid
    """
    kind, indicator, value, line, raw = row
    if not indicator:
        raise ValueError("the indicator is empty")
    if not kind:
        raise ValueError("the type is empty")
    if not (indicator.isascii() and kind.isascii()) and not is_storable(indicator + kind):
        raise ValueError("the indicator or the type contains half of a surrogate pair")
    if intervals and _is_interval(indicator):
        read_interval(indicator)
    return ExtractedRow(kind, indicator, EncodedMap(encode_map(kind, indicator, value)), line, raw)


@dataclass(frozen=True)
class LoadTarget:
    """Where rows are stored.

    table, family: the table of the store and its column family
    ttl: seconds until rows expire; None for never
    intervals: True if networks and ranges are found by the addresses and integers in them
    """

    table: str
    family: str
    ttl: float | None = None
    intervals: bool = False

    def make_rows(self, rows: Iterable[ExtractedRow], counts: LoadCounts) -> Iterator[Row]:
        """Yield the rows of the store, and count those with the key of an earlier one, among the first million keys."""
        family, intervals = self.family, self.intervals
        seen: set[int] = set()
        for kind, indicator, value, _, _ in rows:
            key = hash((kind, indicator))
            if key in seen:
                counts.duplicates += 1
            elif len(seen) < _MAX_KEYS:
                seen.add(key)
            yield Row(family, kind, indicator, value, intervals and _is_interval(indicator))


def _is_interval(indicator: str) -> bool:
    return "/" in indicator or "-" in indicator[1:]


def merge(rows: Iterator[Row], store: Store, target: LoadTarget, batch: int = BATCH_ROWS) -> int:
    """Add rows to a store, in a transaction for each batch. Return their number. Raises StoreError."""
    return sum(store.put_many(target.table, some, target.ttl) for some in batch_rows(rows, batch))


def replace_types(rows: Iterator[Row], store: Store, target: LoadTarget) -> int:
    """Replace the types that occur among rows, in one step for readers. Return the number of rows.

    Raises StoreError, and LoadError if there are no rows; then, and for any error of `rows`, the store is unchanged.
    """
    first = next(rows, None)
    if first is None:
        raise LoadError("no rows to store, so nothing is replaced")
    return store.replace(target.table, chain((first,), rows), target.ttl, others_stay=True)
