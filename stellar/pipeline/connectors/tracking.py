"""Recognition of files that were read before: renamed, copied, compressed, truncated or replaced since then.

A file is identified by its device and inode, as long as its content agrees: its first bytes, and the last ones before
the position. Inodes are reused, and a file may be truncated in place, so neither alone is sufficient.

    same inode, same content         the file, perhaps under a new name
    other inode, same content        if the file that was read is gone: its continuation, such as its compressed form
    other inode, same beginning      a copy of a file that exists, which is not read again
    same inode, other content        the file was truncated or replaced; what was not read may be in a copy
    neither                          a new file
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from enum import Enum
from io import FileIO

from stellar.pipeline.connectors.compression import (
    ByteStream,
    Compression,
    open_content,
)
from stellar.pipeline.connectors.lines import HEAD_BYTES, TAIL_BYTES, LinePosition, LineReader
from stellar.pipeline.connectors.parquet import ParquetReader
from stellar.pipeline.connectors.positions import FileRecord
from stellar.pipeline.connectors.record_index import RecordIndex, agree, find_family
from stellar.pipeline.connectors.sources import is_parquet

log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024


class Agreement(Enum):
    """The result of comparing a file with a position.

    SAME: the content before the position is the same
    PREFIX: the file ends before the position, and begins the same
    OTHER: another content
    """

    SAME = "same"
    PREFIX = "prefix"
    OTHER = "other"


@dataclass(frozen=True)
class OpenFile:
    """An open file.

    content: its decompressed content
    compression: its compression; None for a plain file
    is_parquet: true for a Parquet file, whose positions are rows
    """

    file: FileIO
    content: ByteStream
    compression: Compression | None = None
    is_parquet: bool = False

    @property
    def is_complete(self) -> bool:
        """True for a file that is written at once: compressed, or Parquet."""
        return self.compression is not None or self.is_parquet

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def open_file(path: str) -> OpenFile:
    """Open a file. Raises OSError."""
    file = FileIO(path)
    try:
        if is_parquet(file):
            return OpenFile(file, file, is_parquet=True)
        content, compression = open_content(file, path)
        if compression is None:
            file.seek(0)
            content = file
        return OpenFile(file, content, compression)
    except BaseException:
        file.close()
        raise


def make_reader(opened: OpenFile, name: str, record: FileRecord, most: int) -> LineReader | ParquetReader:
    """Return a reader from the position to which the file was read."""
    if opened.is_parquet:
        return ParquetReader(opened.file, name, record.ahead, record)
    return LineReader(opened.content, name, record.ahead, most, record)


def open_at(path: str, position: LinePosition) -> tuple[OpenFile, Agreement]:
    """Open a file, and seek to a position. Raises OSError."""
    opened = open_file(path)
    try:
        return opened, _seek(opened, position)
    except BaseException:
        opened.close()
        raise


def _seek(opened: OpenFile, position: LinePosition) -> Agreement:
    if opened.compression is None:
        return _seek_plain(opened.file, position)
    head, tail, offset = b"", b"", 0
    try:
        while offset < position.offset:
            part = opened.content.read(min(_READ_BYTES, position.offset - offset))
            if not part:
                break
            offset += len(part)
            head += part[: HEAD_BYTES - len(head)]
            tail = (tail + part[-TAIL_BYTES:])[-TAIL_BYTES:]
    except OSError as error:  # it is damaged, or still being written
        log.debug("%s: %s", opened.file.name, error)
    if not agree(head, position.head):
        return Agreement.OTHER
    if offset < position.offset:
        return Agreement.PREFIX
    return Agreement.SAME if tail.endswith(position.tail) else Agreement.OTHER


def _seek_plain(file: FileIO, position: LinePosition) -> Agreement:
    descriptor, tail = file.fileno(), position.tail
    if not agree(os.pread(descriptor, HEAD_BYTES, 0)[: len(position.head)], position.head):
        return Agreement.OTHER
    if os.fstat(descriptor).st_size < position.offset:
        return Agreement.PREFIX
    if os.pread(descriptor, len(tail), position.offset - len(tail)) != tail:
        return Agreement.OTHER
    file.seek(position.offset)
    return Agreement.SAME


class FileTracker:
    """Finds the records of files, and opens the files at their positions. Paths are absolute.

    records: all records; new files are added
    settle_seconds: a compressed file that was written more recently than this is not opened yet
    """

    def __init__(self, records: list[FileRecord], settle_seconds: float = 0.0) -> None:
        self.index = RecordIndex(records)
        self._settle_seconds = settle_seconds
        self._copies: set[tuple[int, ...]] = set()

    def open(self, path: str) -> tuple[FileRecord, OpenFile] | None:
        """Open a file at the position in its record; None if it was read to its end, or is the copy of another one.

        A record whose file was truncated or replaced loses its identity; see `find_rest`.

        Raises OSError.
        """
        status = os.stat(path)
        known = self.index.find(status)
        if known is None and self._settle_seconds and not status.st_size:
            return None  # it is not known yet whether its content is compressed
        if known is not None:
            if known.is_finished and known.is_unchanged(status):
                return None
            opened, match = open_at(path, known.ahead)
            if match is Agreement.SAME:
                return self._take(known, path, opened)
            opened.close()
            self.lose(known)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key in self._copies:
            return None
        candidates = self._list_candidates(path)
        if (original := self._find_original(path, candidates)) is not None:
            log.info("%s is not read: its content is the beginning of %s, which is read", path, original)
            self._copies.add(key)
            return None
        return self._open_unknown(path, candidates)

    def lose(self, record: FileRecord) -> None:
        """Note that the file of a record was truncated or replaced."""
        self.index.displace(record)
        self.forget_copies()

    def forget_copies(self) -> None:
        """Compare files again that were copies of others, because those may be gone."""
        self._copies.clear()

    def is_moved(self, record: FileRecord) -> bool:
        """Return True if the name of a record is that of another file now, or of none."""
        return _identify(record.path) != record.identity

    def find_rest(self, record: FileRecord) -> OpenFile | None:
        """Open the file to which that of a record was renamed, copied or compressed, at the position in it.

        Returns None if that file ends before the position, which is then that of its end.

        Raises FileNotFoundError if no such file is found.
        """
        paths = list(_list_family(record.path))
        moved = [path for path in paths if _identify(path) == record.identity]
        unknown = [path for path in paths if path not in moved and self._is_unknown(path)]
        for path in (*moved, *unknown) if record.ahead.offset else moved:
            opened, match = open_at(path, record.ahead)
            if match is Agreement.SAME:
                return self._take(record, path, opened)[1]
            opened.close()
        if record.inode < 0:
            for path in unknown:
                if path != record.path and self._adopt_earlier_copy(record, path):
                    return None
        raise FileNotFoundError(record.path)

    def _adopt_earlier_copy(self, record: FileRecord, path: str) -> bool:
        """Use a copy that was made before the last lines were read, so that it is not read as a new file."""
        end = _find_end(path)
        if not end.offset or end.offset > record.ahead.offset or not agree(end.head, record.ahead.head):
            return False
        opened = open_file(path)
        self._take(record, path, opened)
        opened.close()
        record.ahead = replace(end, line=record.ahead.line)
        record.is_finished = True
        return True

    def _take(self, record: FileRecord, path: str, opened: OpenFile) -> tuple[FileRecord, OpenFile]:
        self.index.identify(record, path, opened.status)
        return record, opened

    def _is_unknown(self, path: str) -> bool:
        try:
            known = self.index.find(os.stat(path))
            return known is None or not _is_intact(path, known)  # inodes are reused
        except FileNotFoundError:
            return False

    def _open_unknown(self, path: str, candidates: list[FileRecord]) -> tuple[FileRecord, OpenFile] | None:
        """Open a file as the continuation of one that is gone, or as a new one.

        candidates: the records whose content it may have
        """
        for record in candidates:
            if self.locate(record) is None:
                opened, match = open_at(path, record.ahead)
                if match is Agreement.SAME:
                    return self._take(record, path, opened)
                opened.close()
        opened = open_file(path)
        if opened.is_complete and time.time() - opened.status.st_mtime < self._settle_seconds:
            opened.close()
            return None
        record = FileRecord(path)
        self.index.add(record)
        return self._take(record, path, opened)

    def _find_original(self, path: str, candidates: list[FileRecord]) -> str | None:
        """Return the file of which a file is a copy, or a copy of its beginning; None if it is none."""
        for record in candidates:
            place = self.locate(record)
            # A file under the name of a renamed one is its successor
            is_successor = path == record.path or path in record.former_paths
            if place is not None and not is_successor and _is_beginning(path, place):
                return place
        return None

    def _list_candidates(self, path: str) -> list[FileRecord]:
        """Return the records whose content a file may have, the latest first."""
        if not self.index.has_family(path):
            return []
        with closing(open_file(path)) as opened:
            head = _read_head(opened)
        return list(self.index.list_like(path, head))[::-1]

    def locate(self, record: FileRecord) -> str | None:
        """Return the path where the file of a record is now; None if it is gone, or was truncated."""
        if record.inode < 0:
            return None
        place = next((path for path in _list_family(record.path) if _identify(path) == record.identity), None)
        return place if place is not None and _is_intact(place, record) else None


def _read_head(opened: OpenFile) -> bytes:
    try:
        return opened.content.read(HEAD_BYTES)
    except OSError as error:  # a compressed file that is still being written
        log.debug("%s: %s", opened.file.name, error)
        return b""


def _is_intact(path: str, record: FileRecord) -> bool:
    """Return True if a file with the identity of a record still has the content that was read."""
    if record.is_unchanged(os.stat(path)):
        return True
    opened, agreement = open_at(path, record.ahead)
    opened.close()
    return agreement is Agreement.SAME and record.ahead.offset > 0


def _find_end(path: str) -> LinePosition:
    """Return the position at the end of a file."""
    with closing(open_file(path)) as opened:
        position = LinePosition()
        for part in _read_parts(opened):
            position = position.advance(part, 0)
        return position


def _read_parts(opened: OpenFile) -> Iterator[bytes]:
    try:
        while part := opened.content.read(_READ_BYTES):
            yield part
    except OSError as error:  # as above
        log.debug("%s: %s", opened.file.name, error)


def _is_beginning(path: str, whole_path: str) -> bool:
    """Return True if another file begins with the content of a file, or has the same."""
    with closing(open_file(path)) as opened, closing(open_file(whole_path)) as whole:
        rest = b""
        for part in _read_parts(opened):
            while len(rest) < len(part) and (more := whole.content.read(_READ_BYTES)):
                rest += more
            if not rest.startswith(part):
                return False
            rest = rest[len(part) :]
        return True


def _identify(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _list_family(path: str) -> Iterator[str]:
    """Yield the files of the same directory that are a log and its rotated files, the file itself first."""
    folder, name = os.path.split(path)
    family = find_family(path)
    if os.path.isfile(path):
        yield path
    with suppress(OSError), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
        yield from (os.path.join(folder, each) for each in names if each != name and find_family(each) == family)
