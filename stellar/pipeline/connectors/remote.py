"""Directories of JSON lines in HDFS and object stores, to which nothing can be appended durably.

    s3://bucket/out/squid/2026-11-30/161500-8f14e45f.jsonl

Documents are collected, and a file for each sub-directory is written when enough are, and when positions are stored. A
file has its name when it is complete: it is written as `.NAME.part`, and renamed.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from stellar.pipeline.connectors.directories import choose_by_type, encode_in_directory, split_encoded
from stellar.pipeline.records import Record
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    from stellar.net.hadoop.webhdfs import WebHdfs

log = logging.getLogger(__name__)

_MAX_PENDING_BYTES = 16 * 1024 * 1024
_DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0)


class RemoteFiles(Protocol):
    """The files of a directory in another file system."""

    def store(self, name: str, content: bytes) -> None:
        """Store a file completely or not at all; its directory is created. Raises OSError."""

    def close(self) -> None:
        """Close the connections."""


class HdfsDirectory:
    """A directory in HDFS, by WebHDFS."""

    def __init__(self, client: WebHdfs, path: str) -> None:
        self._client = client
        self._path = path.rstrip("/")

    def store(self, name: str, content: bytes) -> None:
        """See RemoteFiles."""
        part, path = _name_part(self._path, name), f"{self._path}/{name}"
        self._client.write(part, content)
        self._client.replace(part, path)

    def close(self) -> None:
        """See RemoteFiles."""
        self._client.close()


class FsspecDirectory:
    """A directory in a file system of fsspec, which has its credentials from its own configuration.

    Raises ValueError if the scheme is unknown, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, path = import_optional("fsspec.core", "files").url_to_fs(url)
        except (LookupError, ImportError, ValueError) as error:
            raise ValueError(f"cannot write to {url}: {error}") from error
        self._path = path.rstrip("/")

    def store(self, name: str, content: bytes) -> None:
        """See RemoteFiles."""
        part, path = _name_part(self._path, name), f"{self._path}/{name}"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(part, content)
            self._files.mv(part, path)
        except OSError:
            raise
        except Exception as error:  # each file system has exceptions of its own
            raise OSError(f"cannot write {path}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """See RemoteFiles."""


def _name_part(base: str, name: str) -> str:
    """Return the path under which a file is written before it is complete; readers ignore hidden files."""
    folder, _, last = name.rpartition("/")
    return "/".join(filter(None, (base, folder, f".{last}.part"))) if base else f"{folder}/.{last}.part"


class RemoteOutput:
    """Writes documents to files in the sub-directories of a directory in another file system.

    choose: returns the sub-directory of a document; raises ValueError if there is none
    """

    def __init__(
        self,
        files: RemoteFiles,
        choose: Callable[[Record], str] = choose_by_type,
        get_time: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._files = files
        self._choose = choose
        self._get_time = get_time
        self._sleep = sleep
        self._pending: dict[str, bytearray] = {}
        self._size = 0

    def __call__(self, document: Record) -> None:
        """Add a document. Raises ValueError if it has no valid sub-directory, and OSError if it cannot be stored."""
        self.write(encode_in_directory(document, self._choose))

    def write(self, encoded: bytes) -> None:
        """Add a document that `encode_in_directory` returned."""
        folder, line = split_encoded(encoded)
        pending = self._pending.setdefault(folder, bytearray())
        pending += line
        self._size += len(line)
        if self._size >= _MAX_PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Store a file for each sub-directory with documents. Raises OSError."""
        while self._pending:
            folder = next(iter(self._pending))
            self._store(folder, bytes(self._pending[folder]))
            self._size -= len(self._pending.pop(folder))

    def sync(self) -> dict[str, int]:
        """Store all documents; there is no file whose length is stored. Raises OSError."""
        self.flush()
        return {}

    def roll_back(self, lengths: Mapping[str, int]) -> None:
        """Discard the documents that are not stored."""
        self._pending.clear()
        self._size = 0

    def close(self) -> None:
        """Store all documents, and close the connections. Raises OSError."""
        try:
            self.flush()
        finally:
            self._files.close()

    def _store(self, folder: str, content: bytes) -> None:
        now = self._get_time()
        name = f"{now:%Y-%m-%d}/{now:%H%M%S}-{uuid.uuid4().hex[:12]}.jsonl"
        path = "/".join(filter(None, (folder, name)))
        for delay in _DELAYS:
            try:
                self._files.store(path, content)
            except PermissionError:
                raise
            except OSError as error:
                log.warning("%s; the file is written again", error)
                self._sleep(delay)
            else:
                return
        self._files.store(path, content)
