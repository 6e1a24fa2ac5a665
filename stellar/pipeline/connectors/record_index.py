"""An index of the records of files: by identity, by name, and by what their contents begin with.

There may be tens of thousands of files, which are looked up each second, so no look-up reads all records.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from stellar.pipeline.connectors.compression import find_compression_of_name
from stellar.pipeline.connectors.positions import FileRecord

_NUMBER = re.compile(r"[-._]\d+(?=[-._]|$)")
_START_BYTES = 24
_Records = dict[FileRecord, None]  # an ordered set


def find_family(path: str) -> str:
    """Return what the names of a log and its rotated files have in common, such as access.log of access.log.2.gz."""
    name = os.path.basename(path)
    if (compression := find_compression_of_name(name)) is not None:
        name = name[: -len(compression.suffix)]
    return _NUMBER.sub("", name)


def agree(head: bytes, known: bytes) -> bool:
    """Return True if one of two heads begins with the other."""
    return known.startswith(head) or head.startswith(known)


class _Family:
    """The records of a log and its rotated files, by the first bytes of their contents.

    short: records with too few bytes
    """

    def __init__(self) -> None:
        self.short: _Records = {}
        self.by_start: dict[bytes, _Records] = {}
        self._starts: dict[FileRecord, bytes] = {}

    def add(self, record: FileRecord) -> None:
        self.short[record] = None

    def remove(self, record: FileRecord) -> None:
        self.short.pop(record, None)
        if (start := self._starts.pop(record, None)) is not None:
            del self.by_start[start][record]

    def list_like(self, head: bytes) -> list[FileRecord]:
        """Return the records of which something was read, and whose content may begin with a head."""
        for record in [each for each in self.short if len(each.ahead.head) >= _START_BYTES]:
            del self.short[record]
            start = self._starts[record] = record.ahead.head[:_START_BYTES]
            self.by_start.setdefault(start, {})[record] = None
        if len(head) >= _START_BYTES:
            found = [*self.short, *self.by_start.get(head[:_START_BYTES], ())]
        else:
            found = [*self.short, *self._starts]
        return [each for each in found if each.ahead.offset and agree(head, each.ahead.head)]


class RecordIndex:
    """Finds records. Paths are absolute.

    records: all records; this list is changed
    """

    def __init__(self, records: list[FileRecord]) -> None:
        self.records = records
        self._by_identity = {each.identity: each for each in records if each.inode >= 0}
        self._displaced: _Records = {each: None for each in records if each.inode < 0}
        self._by_path: dict[str, _Records] = {}
        self._families: dict[tuple[str, str], _Family] = {}
        for record in records:
            self._add_name(record)

    def add(self, record: FileRecord) -> None:
        """Add a record."""
        self.records.append(record)
        self._add_name(record)

    def remove(self, record: FileRecord) -> None:
        """Remove a record."""
        self._drop_identity(record)
        self._displaced.pop(record, None)
        self._remove_name(record)
        self.records.remove(record)

    def find(self, status: os.stat_result) -> FileRecord | None:
        """Return the record of a file by its identity; None if there is none."""
        return self._by_identity.get((status.st_dev, status.st_ino))

    def list_named(self, path: str) -> list[FileRecord]:
        """Return the records of files with a name."""
        return list(self._by_path.get(path, ()))

    def list_displaced(self) -> list[FileRecord]:
        """Return the records whose file was truncated or replaced."""
        return list(self._displaced)

    def list_like(self, path: str, head: bytes) -> Iterable[FileRecord]:
        """Return the records whose content a file may have, by its name and its first bytes."""
        family = self._families.get(_family_key(path))
        return family.list_like(head) if family is not None and head else ()

    def has_family(self, path: str) -> bool:
        """Return True if there is a record of a file with a similar name."""
        return _family_key(path) in self._families

    def displace(self, record: FileRecord) -> None:
        """Note that the file of a record was truncated or replaced."""
        self._drop_identity(record)
        record.forget_identity()
        self._displaced[record] = None

    def rename(self, record: FileRecord, path: str) -> None:
        """Note a new name of the file of a record."""
        if record.path != path:
            self._remove_name(record)
            record.rename(path)
            self._add_name(record)

    def identify(self, record: FileRecord, path: str, status: os.stat_result) -> None:
        """Note the file of a record."""
        self._drop_identity(record)
        self._displaced.pop(record, None)
        self.rename(record, path)
        if (other := self.find(status)) is not None:
            self.displace(other)  # the inode is reused
        record.identify(path, status)
        self._by_identity[record.identity] = record

    def _add_name(self, record: FileRecord) -> None:
        self._by_path.setdefault(record.path, {})[record] = None
        self._families.setdefault(_family_key(record.path), _Family()).add(record)

    def _remove_name(self, record: FileRecord) -> None:
        del self._by_path[record.path][record]
        self._families[_family_key(record.path)].remove(record)

    def _drop_identity(self, record: FileRecord) -> None:
        if self._by_identity.get(record.identity) is record:
            del self._by_identity[record.identity]


def _family_key(path: str) -> tuple[str, str]:
    return os.path.dirname(path), find_family(path)
