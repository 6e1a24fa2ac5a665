"""Reading of files from the positions that earlier runs have stored, to their ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import closing

from stellar.pipeline.connectors.lines import MAX_LINE_BYTES, LineBatch, LineReader
from stellar.pipeline.connectors.parquet import ParquetReader
from stellar.pipeline.connectors.positions import FileRecord
from stellar.pipeline.connectors.sources import STANDARD_INPUT, explain_damage, is_pipe
from stellar.pipeline.connectors.tracking import FileTracker, OpenFile, make_reader
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)


def check_resumable(names: Iterable[str]) -> None:
    """Raise ValueError for a source that has no positions: standard input or a pipe."""
    for name in names:
        if name == STANDARD_INPUT or is_pipe(name):
            raise ValueError(f"cannot resume {quote(name)}: pipes have no positions; name files")


def read_resumed(names: Iterable[str], records: list[FileRecord], most: int = MAX_LINE_BYTES) -> Iterator[LineBatch]:
    """Yield the lines of files that are new since the positions in their records, in batches.

    What is left of a file that was renamed, copied or compressed by a rotation is read before its successor.

    records: the files of earlier runs; new files are added, and those that do not exist any more are removed
    """
    reader = _ResumedFiles(records, most)
    for name in names:
        yield from reader.read(name)
    yield from reader.read_rests(list(records))


class _ResumedFiles:
    """Reads files, each once."""

    def __init__(self, records: list[FileRecord], most: int) -> None:
        self._tracker = FileTracker(records)
        self._most = most
        self._seen: set[int] = set()

    def read(self, name: str) -> Iterator[LineBatch]:
        """Yield the new lines of a file, after those of files that had its name before."""
        path = os.path.abspath(name)
        named = self._tracker.index.list_named(path)
        yield from self.read_rests([record for record in named if self._tracker.is_moved(record)])
        try:
            found = self._tracker.open(path)
        except (OSError, LookupError) as error:
            yield LineBatch(name, failure=explain_damage(name, 0, error))
            return
        yield from self.read_rests([record for record in named if record.inode < 0])
        if found is not None:
            record, opened = found
            yield from self._read_file(record, opened, name)

    def read_rests(self, records: Iterable[FileRecord]) -> Iterator[LineBatch]:
        """Yield the lines that are left of files under other names, each file once."""
        for record in records:
            if id(record) not in self._seen and self._tracker.is_moved(record):
                yield from self._read_rest(record)
            self._seen.add(id(record))

    def _read_rest(self, record: FileRecord) -> Iterator[LineBatch]:
        was_done, name = record.is_done, record.path
        try:
            opened = self._tracker.find_rest(record)
        except FileNotFoundError:
            self._tracker.index.remove(record)
            if not was_done and record.ahead.line:
                yield report_lost(record)
            return
        if opened is None:
            yield LineBatch(name, position=record.ahead, source=record, is_last=True)
        else:
            yield from self._read_file(record, opened, record.path)

    def _read_file(self, record: FileRecord, opened: OpenFile, name: str) -> Iterator[LineBatch]:
        self._seen.add(id(record))
        with closing(opened):
            yield from read_to_end(make_reader(opened, name, record, self._most), record, name)


def read_to_end(reader: LineReader | ParquetReader, record: FileRecord, name: str) -> Iterator[LineBatch]:
    """Yield the lines of a file to its end, and a last batch."""
    try:
        yield from follow_position(reader.read(), record)
        yield from follow_position(reader.finish(), record)
    except OSError as error:
        yield from follow_position(reader.finish(explain_damage(name, reader.position.line, error)), record)
    record.is_finished = True
    yield LineBatch(name, position=record.ahead, source=record, is_last=True)


def follow_position(batches: Iterable[LineBatch], record: FileRecord) -> Iterator[LineBatch]:
    """Yield batches, and advance the position up to which the file was read."""
    for batch in batches:
        record.ahead = batch.position or record.ahead
        yield batch


def report_lost(record: FileRecord) -> LineBatch:
    """Return a batch that reports lines that may be lost, because a file was removed before it was read to its end."""
    reason = OSError(
        f"cannot find the rest of {record.path} after line {record.ahead.line}: it was removed, or replaced by another "
        "file; let rotated files exist until they are read"
    )
    log.warning("%s", reason)
    return LineBatch(record.path, record.ahead.line + 1, failure=reason)
