"""Following of files that grow, are rotated, and appear.

    scan ──► FileTracker ──► a followed file for each new one ──► lines ──► batches
                                  │                  │
                                  │                  └─ truncated: the rest of the copy, then the file from its start
                                  └─ renamed or removed: read on until it is quiet, then close

Each round reads what was added to each file. A round that finds nothing yields a batch without lines, at which
documents are stored, and then waits.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO

from stellar.pipeline.connectors.lines import MAX_LINE_BYTES, TAIL_BYTES, LineBatch, LinePosition, LineReader
from stellar.pipeline.connectors.positions import FileRecord
from stellar.pipeline.connectors.resuming import follow_position, read_to_end, report_lost
from stellar.pipeline.connectors.sources import explain_damage, list_existing
from stellar.pipeline.connectors.tracking import FileTracker, OpenFile, make_reader

log = logging.getLogger(__name__)

SECONDS_BETWEEN_ROUNDS = 0.2
SECONDS_BETWEEN_SCANS = 1.0
# A writer may continue to write to a file that was renamed, until it opens a new one
QUIET_SECONDS = 10.0
# A compressed file may still be written
SETTLE_SECONDS = 5.0
_READS_AT_ONCE = 64


class FileTruncated(Exception):
    """The file was truncated, and perhaps written again."""


class GrowingFile:
    """A file that other processes append to, from a position. Raises FileTruncated."""

    def __init__(self, file: FileIO, position: LinePosition) -> None:
        self._file = file
        self._offset = position.offset
        self._tail = position.tail

    def read(self, size: int) -> bytes:
        content = self._file.read(size) or b""
        descriptor, length = self._file.fileno(), len(self._tail)
        # Checked after the read: if what precedes it is still there, then the content was appended
        if os.fstat(descriptor).st_size < self._offset or (
            content and os.pread(descriptor, length, self._offset - length) != self._tail
        ):
            raise FileTruncated
        self._offset += len(content)
        self._tail = (self._tail + content[-TAIL_BYTES:])[-TAIL_BYTES:]
        return content


@dataclass
class FollowedFile:
    """An open file.

    quiet_since: the time since which nothing was added; None if something was in the last round
    """

    record: FileRecord
    opened: OpenFile
    reader: LineReader
    quiet_since: float | None = None


class FileFollower:
    """Reads files to their ends, and what is added to them from then on.

    patterns: names and globs; files that match later are read from their start
    records: the files of earlier runs, with the positions to continue from
    excluded: files that are not read although they match, such as outputs
    most: the limit of a line in bytes
    wait: waits for a number of seconds
    """

    def __init__(
        self,
        patterns: Sequence[str],
        records: list[FileRecord],
        excluded: Collection[str] = (),
        most: int = MAX_LINE_BYTES,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._patterns = patterns
        self._excluded = {os.path.realpath(each) for each in excluded}
        self._most = most
        self._wait = wait
        self._clock = clock
        self._tracker = FileTracker(records, settle_seconds)
        self._index = self._tracker.index
        self._files: dict[FileRecord, FollowedFile] = {}
        self._reported: dict[str, str] = {}
        self._next_scan = clock()
        self._is_first_scan = True
        self._missing: set[int] = set()

    def read(self) -> Iterator[LineBatch]:
        """Yield the lines of all files, without an end."""
        _allow_many_files()
        try:
            while True:
                is_idle = True
                for batch in self._read_round():
                    is_idle = False
                    yield batch
                if is_idle:
                    yield LineBatch("")
                    self._wait(SECONDS_BETWEEN_ROUNDS)
        finally:
            for file in self._files.values():
                file.opened.close()

    def _read_round(self) -> Iterator[LineBatch]:
        if self._clock() >= self._next_scan:
            self._next_scan = self._clock() + SECONDS_BETWEEN_SCANS
            yield from self._scan()
        for file in list(self._files.values()):
            yield from self._read_file(file)

    # -- Finding files

    def _scan(self) -> Iterator[LineBatch]:
        for pattern in self._patterns:
            paths = [path for path in list_existing([pattern]) if not self._is_excluded(path)]
            if not paths:
                self._warn_once(pattern, "no such file yet; waiting for it")
            for path in paths:
                yield from self._look_at(path)
        yield from self._look_for_rests(list(self._index.records))
        self._is_first_scan = False
        self._remove_missing()

    def _is_excluded(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == each or real.startswith(f"{each}/") for each in self._excluded)

    def _look_at(self, name: str) -> Iterator[LineBatch]:
        """Open a file if it is new, or was not read to its end."""
        path = os.path.abspath(name)
        try:
            known = self._index.find(os.stat(path))
            if known is not None and self._is_open(known):
                self._index.rename(known, path)
                return
            yield from self._look_for_rests(self._index.list_named(path))
            found = self._tracker.open(path)
        except (OSError, LookupError) as error:
            if self._reported.get(path) != str(error) and not isinstance(error, FileNotFoundError):
                self._reported[path] = str(error)
                yield LineBatch(name, failure=explain_damage(name, 0, error))
            return
        yield from self._look_for_rests(self._index.list_displaced())
        if found is not None:
            yield from self._follow(*found, name)

    def _look_for_rests(self, records: Sequence[FileRecord]) -> Iterator[LineBatch]:
        """Follow what is left of files that were renamed, copied or compressed while nobody followed them."""
        for record in records:
            if self._is_open(record) or not (self._is_first_scan or not record.is_finished):
                continue
            if self._tracker.is_moved(record):
                yield from self._follow_rest(record)

    def _remove_missing(self) -> None:
        """Remove records of files that were read and are gone, also a scan later, when a new name would be known."""
        missing = {
            id(each): each
            for each in self._index.records
            if each.is_done and each.is_finished and not self._is_open(each) and self._tracker.locate(each) is None
        }
        for key in self._missing & set(missing):
            self._index.remove(missing[key])
        self._missing = set(missing)
        if missing:
            self._tracker.forget_copies()

    def _follow_rest(self, record: FileRecord) -> Iterator[LineBatch]:
        was_read, name = record.is_done or not self._is_first_scan, record.path
        try:
            opened = self._tracker.find_rest(record)
        except FileNotFoundError:
            self._index.remove(record)
            if not was_read and record.ahead.line:
                yield report_lost(record)
            elif record.inode < 0:
                log.warning("%s was truncated after line %s; it is read from its start", name, record.ahead.line)
            return
        if opened is None:
            yield LineBatch(name, position=record.ahead, source=record, is_last=True)
        else:
            yield from self._follow(record, opened, record.path)

    def _follow(self, record: FileRecord, opened: OpenFile, name: str) -> Iterator[LineBatch]:
        self._reported.pop(record.path, None)
        if record in self._files:  # the file was replaced
            self._close(self._files[record])
        if opened.is_complete:
            try:
                yield from read_to_end(make_reader(opened, name, record, self._most), record, name)
            finally:
                opened.close()
            return
        content = GrowingFile(opened.file, record.ahead)
        file = FollowedFile(record, opened, LineReader(content, name, record.ahead, self._most, record))
        self._files[record] = file
        yield from self._read_file(file)

    def _is_open(self, record: FileRecord) -> bool:
        return record in self._files

    def _warn_once(self, path: str, message: str) -> None:
        if self._reported.get(path) != message:
            self._reported[path] = message
            log.warning("%s: %s", path, message)

    # -- Reading files

    def _read_file(self, file: FollowedFile) -> Iterator[LineBatch]:
        """Yield what was added to a file, but not too much at once."""
        try:
            for _ in range(_READS_AT_ONCE):
                if (batches := file.reader.read_some()) is None:
                    yield from self._rest_file(file)
                    return
                file.quiet_since = None
                yield from follow_position(batches, file.record)
        except FileTruncated:
            yield from self._restart(file)
        except OSError as error:
            yield from self._end(file, explain_damage(file.record.path, file.reader.position.line, error))

    def _rest_file(self, file: FollowedFile) -> Iterator[LineBatch]:
        """Close a file that was renamed or removed, and is quiet."""
        if file.quiet_since is None:
            file.quiet_since = self._clock()
        elif self._clock() - file.quiet_since >= QUIET_SECONDS and (
            file.record.former_paths or self._tracker.is_moved(file.record)
        ):
            yield from self._end(file)

    def _end(self, file: FollowedFile, failure: Exception | None = None) -> Iterator[LineBatch]:
        if file.reader.position.offset + file.reader.pending == file.opened.status.st_size:
            file.record.note_change(file.opened.status)  # so that the next scan does not open it again
        self._close(file)
        yield from follow_position(file.reader.finish(failure), file.record)
        file.record.is_finished = True
        yield LineBatch(file.record.path, position=file.record.ahead, source=file.record, is_last=True)

    def _restart(self, file: FollowedFile) -> Iterator[LineBatch]:
        """Follow what is left in the copy of a truncated file; the file itself is found by the next scan."""
        self._close(file)
        self._tracker.lose(file.record)
        self._next_scan = self._clock()
        yield from self._follow_rest(file.record)

    def _close(self, file: FollowedFile) -> None:
        file.opened.close()
        del self._files[file.record]


def _allow_many_files() -> None:
    """Raise the limit of open files to what the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
