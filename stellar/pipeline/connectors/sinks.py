"""Sinks for documents: JSON lines, SQLite, Parquet, directories and search servers.

A target is `-` for standard output, a name that ends in `.db`, `.sqlite` or `.sqlite3` for a database, or in `.parquet`
for a Parquet file, a directory, also by the URL of another file system, a search server by its URL after `opensearch:`
or `elasticsearch:`, or any other name for a file of JSON lines.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from stellar.pipeline.connectors.directories import OutputDirectory, choose_by_type, encode_in_directory
from stellar.pipeline.connectors.parquet import SUFFIX as PARQUET_SUFFIX
from stellar.pipeline.connectors.parquet import ParquetWriter
from stellar.pipeline.connectors.positions import PositionFile, PositionStore, RunState
from stellar.pipeline.connectors.sources import is_pipe
from stellar.pipeline.connectors.sqlite import FORKED, Database, encode_row
from stellar.pipeline.encoding import encode_document
from stellar.pipeline.records import Record, to_json_bytes
from stellar.util.forks import reset_after_fork

if TYPE_CHECKING:
    from stellar.pipeline.connectors.remote import RemoteFiles, RemoteOutput
    from stellar.pipeline.connectors.search.output import SearchOutput

log = logging.getLogger(__name__)

STANDARD_OUTPUT = "-"
STANDARD_OUTPUT_NAME = "standard output"
_DATABASES = (".db", ".sqlite", ".sqlite3")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SEARCH_PREFIXES = ("opensearch:", "elasticsearch:")
_BUFFER_BYTES = 64 * 1024
SECONDS_BETWEEN_SAVES = 1.0
# Each save makes a file that is never appended to
SECONDS_BETWEEN_REMOTE_SAVES = 60.0
_LOCAL_ONLY = "this command writes to files and SQLite only"
_MISSING = "%s does not exist any more; the run continues with a new file"


class Sink(Protocol):
    """Stores documents. Those in this module also have `write`, for documents that `find_encoding` encodes."""

    def __call__(self, document: Record, /) -> None:
        """Add a document. It is stored at the latest when the sink is closed.

        Raises ValueError for a document that JSON cannot represent, and OSError if it cannot be stored.
        """


class Encoding(NamedTuple):
    """The form in which another process passes documents to a sink.

    encode: returns the bytes of a document; raises ValueError if the sink cannot store it
    joins: True if the bytes of several documents can be written at once
    """

    encode: Callable[[Record], bytes]
    joins: bool = False


def find_encoding(target: str, choose: Callable[[Record], str] = choose_by_type) -> Encoding:
    """Return the form in which the sink of a target takes documents from other processes."""
    if is_database(target):
        return Encoding(encode_row)
    if is_directory(target):
        return Encoding(partial(encode_in_directory, choose=choose))
    if target.endswith(PARQUET_SUFFIX) or is_search(target):
        return Encoding(to_json_bytes)
    return Encoding(encode_line, joins=True)


def encode_line(document: Record) -> bytes:
    """Return a document as a line of JSON in UTF-8. Raises ValueError if JSON cannot represent it."""
    return encode_document(document) + b"\n"


class JsonLines:
    """Writes each document as a line of JSON in UTF-8.

    Lines are buffered here, not in a buffered file, because the child of a fork would write its copy of a file's buffer
    a second time. In the child the buffer is empty, and adding a document is an error.

    stream: a file; it is flushed after each write
    name: the name of the file, for errors
    length: the length of the file in bytes, without buffered lines
    is_file: true for a file that can be cut, false for a pipe or a device
    """

    def __init__(self, stream: IO[bytes] | FileIO, name: str, length: int = 0) -> None:
        self._stream = stream
        self._name = name
        self.length = length
        self.is_file = isinstance(stream, FileIO) and S_ISREG(os.fstat(stream.fileno()).st_mode)
        self._pending = bytearray()
        self._forked = False
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Discard the buffered lines, which the parent writes."""
        self._forked = True
        self._pending = bytearray()

    def __call__(self, document: Record) -> None:
        self.write(encode_document(document) + b"\n")

    def write(self, encoded: bytes) -> None:
        """Add one or more documents that `encode_line` returned."""
        if self._forked:
            raise RuntimeError(FORKED.format(self._name))
        self._pending += encoded
        if len(self._pending) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        pending, self._pending = self._pending, bytearray()
        with self._name_errors():
            rest = memoryview(pending)
            while rest:
                written = self._stream.write(rest) or 0
                self.length += written
                rest = rest[written:]
            if not self._forked:
                self._stream.flush()

    def sync(self) -> dict[str, int]:
        """Write the buffered lines to the disk, and return the length of the file by its path; none for a pipe."""
        self.flush()
        if not self.is_file:
            return {}
        with self._name_errors():
            os.fsync(self._stream.fileno())
        return {str(Path(self._name).resolve()): self.length}

    def roll_back(self, lengths: Mapping[str, int]) -> None:
        """Discard the buffered lines, and those in a file after its length, as stored last."""
        self._pending = bytearray()
        if self.is_file:
            with self._name_errors():
                self._stream.truncate(lengths.get(str(Path(self._name).resolve()), 0))

    def close(self) -> None:
        """Write the buffered lines, and close the file."""
        try:
            self.flush()
        finally:
            with self._name_errors():
                self._stream.close()

    @contextmanager
    def _name_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._name) from error


class Sinks:
    """Opens sinks by their targets, and closes all of them.

    A target that is opened twice is shared, such as records and errors in one file or database.

    With positions (`open_positions`), documents are stored together with them: `save` writes both, and `roll_back`
    discards the documents after the last save, as the next run does if this one is killed.

    open_search: opens a search server; None if such targets cannot be used
    open_remote: opens a directory of another file system, likewise
    """

    def __init__(
        self,
        open_search: Callable[[str], SearchOutput] | None = None,
        open_remote: Callable[[str], RemoteFiles] | None = None,
    ) -> None:
        self._stack = ExitStack()
        self._open_search = open_search
        self._open_remote = open_remote
        self._search: dict[str, SearchOutput] = {}
        self._databases: dict[str, Database] = {}
        self._files: dict[str, JsonLines | OutputDirectory | ParquetWriter | RemoteOutput] = {}
        self.seconds_between_saves = SECONDS_BETWEEN_SAVES
        self._store: PositionStore | None = None
        self._run = ""
        self._lengths: dict[str, int] = {}

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._stack:
            if exception[0] is None:
                self.deliver()

    @property
    def search_outputs(self) -> Sequence[SearchOutput]:
        """The search servers that are open."""
        return tuple(self._search.values())

    def deliver(self) -> None:
        """Wait until search servers have acknowledged all documents. Raises OSError.

        A document that one of them rejects may be added to another sink as an error document.
        """
        while any(output.has_pending for output in self._search.values()):
            for output in self._search.values():
                output.flush()

    def open_positions(self, run: str, targets: Sequence[str], file: str | None) -> PositionStore:
        """Return the store for the positions of a run; call it before `open`.

        It is a table in the database of the targets; otherwise `file`, by default the name of the first target with
        `.position`.

        run: the name of the run in a database
        targets: those that will be opened; the first one is for records

        Raises OSError if it cannot be used, and ValueError if the targets cannot store positions.
        """
        self._run = run
        databases = sorted({str(Path(each).resolve()) for each in targets if is_database(each)})
        if len(databases) > 1:
            raise ValueError("--resume needs records and errors in one database, because they are committed together")
        if databases and any(map(is_directory, targets)):
            raise ValueError("--resume needs a database or a directory for both records and errors")
        if any(each.endswith(PARQUET_SUFFIX) for each in targets):
            raise ValueError(
                "a Parquet file cannot be continued; with --resume, write JSON lines, SQLite or a directory"
            )
        if databases and file is not None:
            raise ValueError(f"positions are stored in the database {databases[0]}; remove --position")
        if databases:
            self._store = self._database(databases[0], commits=False).open_positions(run)
        else:
            opened = PositionFile(file if file is not None else _name_position_file(targets[0]))
            self._stack.callback(opened.close)
            self._store = opened
        return self._store

    def resume(self, lengths: Mapping[str, int]) -> None:
        """Set the lengths at which files are cut when they are opened; those in directories are cut now.

        Raises ValueError for a file that is shorter, and OSError.
        """
        self._lengths = dict(lengths)
        for path, length in lengths.items():
            if not path.endswith(".jsonl"):
                continue
            if Path(path).exists():
                _open_cut(path, length).close()
            elif self._lengths.pop(path):
                log.warning(_MISSING, path)

    @property
    def has_positions(self) -> bool:
        """True if documents are stored together with positions."""
        return self._store is not None

    def save(self, state: RunState) -> None:
        """Write all documents so far, and the state with their lengths if it is stored. Raises OSError."""
        self.deliver()
        lengths: dict[str, int] = {}
        for output in self._files.values():
            lengths |= output.sync()
        if self._store is None:
            for database in self._databases.values():
                database.commit()
            return
        state.lengths = lengths
        self._store.save(state)

    def roll_back(self) -> RunState | None:
        """Discard the documents after the last save, and return its state, otherwise None.

        A pipe has written its documents already. Raises OSError.
        """
        if self._store is None:
            raise RuntimeError("no store for positions is open; call open_positions first")
        for search in self._search.values():
            search.roll_back()
        for database in self._databases.values():
            database.roll_back()
        state = self._store.load()  # a save may have been interrupted after it was complete
        for output in self._files.values():
            output.roll_back({} if state is None else state.lengths)
        return state

    def open(self, target: str, table: str, choose: Callable[[Record], str] = choose_by_type) -> Sink:
        """Return the sink for a target. A file of JSON lines is truncated, or cut at its stored length.

        table: the table in a database
        choose: returns the sub-directory of a document in a directory

        Raises OSError if the target cannot be written.
        """
        if is_search(target):
            return self.open_search(target)
        if is_database(target):
            return self._database(target).open_table(table)
        if is_remote(target):
            return self._open_remote_output(target, choose)
        path = STANDARD_OUTPUT if target == STANDARD_OUTPUT else str(Path(target).resolve())
        if is_directory(target):
            return self._open_directory(path, choose)
        if target.endswith(PARQUET_SUFFIX):
            return self._open_parquet(path)
        if path not in self._files:
            self._files[path] = self._open_lines(target, self._lengths.get(path, 0))
        return self._files[path]

    def open_search(self, target: str) -> SearchOutput:
        """Return the output for a search server. Raises OSError if it is not available, and ValueError."""
        if self._open_search is None:
            raise ValueError(f"cannot write to {target}: {_LOCAL_ONLY}")
        if target not in self._search:
            self._search[target] = output = self._open_search(target)
            self._stack.callback(output.close)
        return self._search[target]

    def _open_remote_output(self, target: str, choose: Callable[[Record], str]) -> Sink:
        from stellar.pipeline.connectors.remote import RemoteOutput  # most runs write to local files

        if self._open_remote is None:
            raise ValueError(f"cannot write to {target}: {_LOCAL_ONLY}")
        self.seconds_between_saves = SECONDS_BETWEEN_REMOTE_SAVES
        if target not in self._files:
            self._files[target] = output = RemoteOutput(self._open_remote(target), choose)
            self._stack.callback(output.close)
        return self._files[target]

    def _open_parquet(self, path: str) -> Sink:
        if path not in self._files:
            try:
                self._files[path] = writer = ParquetWriter(path)
            except LookupError as error:
                raise ValueError(f"cannot write {path}: {error}") from error
            self._stack.callback(writer.close)
        return self._files[path]

    def _open_directory(self, path: str, choose: Callable[[Record], str]) -> Sink:
        if path not in self._files:
            directory = OutputDirectory(path, choose, self._note_lengths if self.has_positions else None)
            self._files[path] = directory
            self._stack.callback(directory.close)
        return self._files[path]

    def _note_lengths(self, lengths: Mapping[str, int]) -> None:
        """Store the lengths of files of a directory that the run will append to, with the positions stored last."""
        if self._store is not None:
            state = self._store.load() or RunState(self._run)
            if not lengths.keys() <= state.lengths.keys():
                state.lengths = {**lengths, **state.lengths}
                self._store.save(state)

    def _open_lines(self, target: str, length: int) -> JsonLines:
        if target == STANDARD_OUTPUT:
            lines = JsonLines(sys.stdout.buffer, STANDARD_OUTPUT_NAME)
            self._stack.callback(lines.flush)
            return lines
        if not length or not Path(target).exists():
            if length:
                log.warning(_MISSING, target)
            lines = JsonLines(open(target, "wb", buffering=0), target)  # noqa: SIM115
        else:
            lines = JsonLines(_open_cut(target, length), target, length)
        self._stack.callback(lines.close)
        return lines

    def _database(self, target: str, *, commits: bool = True) -> Database:
        path = str(Path(target).resolve())
        if path not in self._databases:
            self._databases[path] = Database(target, commits=commits)
            self._stack.callback(self._databases[path].close)
        return self._databases[path]


def is_search(target: str) -> bool:
    """Return True if a target is a search server."""
    return target.startswith(_SEARCH_PREFIXES)


def is_remote(target: str) -> bool:
    """Return True if a target is a directory of another file system, given by its URL."""
    scheme, separator, _ = target.partition("://")
    return bool(separator) and _SCHEME.fullmatch(scheme) is not None


def is_database(target: str) -> bool:
    """Return True if a target is a SQLite file by its name."""
    return Path(target).suffix in _DATABASES and not is_search(target) and not is_remote(target)


def is_directory(target: str) -> bool:
    """Return True if a target is a directory, which exists or has a slash at its end, or is in another file system."""
    return is_remote(target) or ((target.endswith("/") or Path(target).is_dir()) and not is_search(target))


def _name_position_file(target: str) -> str:
    if is_search(target) or is_remote(target):
        raise ValueError("search servers and other file systems do not store positions; pass --position FILE")
    if target == STANDARD_OUTPUT or is_pipe(target):
        raise ValueError("standard output and pipes do not store positions; pass --position FILE")
    return f"{target.rstrip('/')}.position"


def _open_cut(target: str, length: int) -> FileIO:
    """Open a file for writing after a length, and discard what follows. Raises ValueError if it is shorter."""
    file = open(target, "r+b", buffering=0)  # noqa: SIM115
    if (size := file.seek(0, os.SEEK_END)) < length:
        file.close()
        raise ValueError(
            f"{target} has {size:,} bytes, but {length:,} were stored; restore it, or remove its "
            "positions to read all input again"
        )
    file.truncate(length)
    file.seek(length)
    return file
