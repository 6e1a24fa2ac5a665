"""Directories of JSON lines, with a file for each day in the sub-directory of each document, as Metron's HDFS writer.

    out/squid/2026-11-30.jsonl
    out/error/2026-11-30.jsonl

Files are opened only to append what was buffered, so there may be any number of them. With positions, the length of a
file is stored before the run appends to it for the first time; so a restart can cut it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from stellar.language.conversions import to_optional_string
from stellar.pipeline.encoding import encode_document
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote

ERROR_TYPE = "error"  # of error documents
_SEPARATOR = b"\0"  # which no name of a directory contains
_BUFFER_BYTES = 64 * 1024
_MAX_PENDING_BYTES = 32 * 1024 * 1024
_MAX_FILES = 10_000
_MAX_NAME_BYTES = 255
_MAX_FOLDER_LENGTH = 1000


class _AppendedFile:
    """A file to which lines are appended.

    length: its length without the lines that are buffered
    is_synced: True if nothing was appended since the file was last written to the disk
    """

    def __init__(self, path: str, length: int) -> None:
        self.path = path
        self.length = length
        self.pending = bytearray()
        self.is_synced = True

    def flush(self, *, durably: bool = False) -> None:
        """Append the buffered lines, and write the file to the disk if `durably`. Raises OSError."""
        if not self.pending and (self.is_synced or not durably):
            return
        self.is_synced = False
        pending, self.pending = self.pending, bytearray()
        with open(self.path, "ab", buffering=0) as file:
            rest = memoryview(pending)
            while rest:
                written = file.write(rest) or 0
                self.length += written
                rest = rest[written:]
            if durably:
                os.fsync(file.fileno())
                self.is_synced = True


def choose_by_type(document: Record) -> str:
    """Return the sub-directory of a document: its sensor, or `error`."""
    return to_optional_string(document.get("source.type")) or "unknown"


def get_date() -> str:
    """Return the current date in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def encode_in_directory(document: Record, choose: Callable[[Record], str]) -> bytes:
    """Return a document as a line, after its sub-directory. Raises ValueError if it has no valid sub-directory."""
    line = encode_document(document) + b"\n"
    return "/".join(_split_folder(choose(document))).encode() + _SEPARATOR + line


def split_encoded(encoded: bytes) -> tuple[str, bytes]:
    """Return the sub-directory and the line that `encode_in_directory` has joined."""
    folder, _, line = encoded.partition(_SEPARATOR)
    return folder.decode(), line


class OutputDirectory:
    """Writes each document to the file of the day in its sub-directory; existing files are appended to.

    choose: returns the sub-directory of a document; raises ValueError if there is none
    note: called with the lengths of files by their paths before the first line is appended to one of them
    """

    def __init__(
        self,
        base: str,
        choose: Callable[[Record], str] = choose_by_type,
        note: Callable[[Mapping[str, int]], None] | None = None,
        get_date: Callable[[], str] = get_date,
    ) -> None:
        self._base = os.path.abspath(base)
        self._choose = choose
        self._note = note
        self._get_date = get_date
        self._files: dict[str, _AppendedFile] = {}
        self._pending = 0
        self._unnoted: dict[str, int] = {}
        os.makedirs(self._base, exist_ok=True)

    def __call__(self, document: Record) -> None:
        """Add a document. Raises ValueError if it has no valid sub-directory, and OSError if it cannot be stored."""
        self.write(encode_in_directory(document, self._choose))

    def write(self, encoded: bytes) -> None:
        """Add a document that `encode_in_directory` returned."""
        folder, line = split_encoded(encoded)
        path = os.path.join(self._base, folder, f"{self._get_date()}.jsonl")
        file = self._files.get(path) or self._open(path)
        file.pending += line
        self._pending += len(line)
        if len(file.pending) >= _BUFFER_BYTES:
            self._pending -= len(file.pending)
            self._note_lengths()
            file.flush()
        elif self._pending >= _MAX_PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all buffered lines. Raises OSError."""
        self._note_lengths()
        for file in self._files.values():
            file.flush()
        self._pending = 0

    def sync(self) -> dict[str, int]:
        """Write all buffered lines to the disk, and return the lengths of the files that the run appends to."""
        self._note_lengths()
        for file in self._files.values():
            file.flush(durably=True)
        self._pending = 0
        date = self._get_date()
        current = {path: file for path, file in self._files.items() if path.endswith(f"{date}.jsonl")}
        self._files = current if len(current) < _MAX_FILES else {}
        return {path: file.length for path, file in self._files.items()}

    def roll_back(self, lengths: Mapping[str, int]) -> None:
        """Discard the lines after the lengths of files, as stored last. Raises OSError."""
        for path in self._files:
            if path in lengths and os.path.exists(path):
                os.truncate(path, lengths[path])
        self._files.clear()
        self._unnoted.clear()
        self._pending = 0

    def close(self) -> None:
        """Write all buffered lines. Raises OSError."""
        self.flush()

    def _open(self, path: str) -> _AppendedFile:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"cannot create the directory of {path}: {error.strerror}") from error
        if os.path.isdir(path):
            raise ValueError(f"cannot write {path}: it is a directory")
        length = os.path.getsize(path) if os.path.exists(path) else 0
        if self._note is not None:
            self._unnoted[path] = length
        with open(path, "ab"):  # now, so that no other document can use the name for a directory
            pass
        file = self._files[path] = _AppendedFile(path, length)
        if length and not _ends_line(path):
            file.pending += b"\n"  # the last line is incomplete, because an earlier run was killed
        return file

    def _note_lengths(self) -> None:
        """Note the lengths of all files that were opened since the last time, as storing them takes a write each."""
        if self._note is not None and self._unnoted:
            self._note(self._unnoted)
            self._unnoted.clear()


def _ends_line(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _split_folder(folder: str) -> list[str]:
    """Return the names in the path of a sub-directory. Raises ValueError if it leads outside or is invalid."""
    names = [name for name in folder.split("/") if name not in ("", ".")]
    encoded = [name.encode("utf-8", "backslashreplace") for name in names]
    if ".." in names or "\0" in folder:
        raise ValueError(
            f"invalid output directory {quote(folder, 100)}: expected names without '..' and null characters"
        )
    if len(folder) > _MAX_FOLDER_LENGTH or any(len(name) > _MAX_NAME_BYTES for name in encoded):
        raise ValueError(
            f"invalid output directory {quote(folder, 100)}: expected at most {_MAX_NAME_BYTES} bytes in a name, and "
            f"{_MAX_FOLDER_LENGTH:,} characters"
        )
    return [name.decode() for name in encoded]
