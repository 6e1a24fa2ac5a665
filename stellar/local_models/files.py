"""Model files of the model store, read once and stored for later processes of the same user.

A file is named and checked by the digest of its content, so it does not matter who wrote it, or when.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from stellar.maas.client.local import PublishedModel
from stellar.maas.default_location import home
from stellar.maas.registries.directory import FileRegistry
from stellar.maas.registry import Registry
from stellar.util.abbreviate import quote
from stellar.util.disk_cache import CacheDirectory
from stellar.util.program_cache import find_default_directory

LARGEST = 64 << 20  # bytes, as models have at most
MOST_FILES = 32
HDFS = ("hdfs", "webhdfs", "swebhdfs")
FOLDER, SUFFIX = "models", ".model"


class ModelFiles:
    """The files of a model store.

    store: its directory or URI
    folder: where files are stored; by default in the user's directory for caches. No other user can change it.

    Raise ValueError for another URI.
    """

    def __init__(self, store: str, folder: str | None = None) -> None:
        if "://" in store and urlsplit(store).scheme not in (*HDFS, "file"):
            raise ValueError(f"invalid model store {quote(store)}: expected a directory, hdfs://… or webhdfs://…")
        self._store, self._given = store, folder

    def read(self, published: PublishedModel) -> bytes:
        """Return the content of a model file.

        Raise ValueError if its digest is another one, OSError if it cannot be read.
        """
        file = self._open_folder() / f"{published.sha256}{SUFFIX}"
        with suppress(FileNotFoundError):
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest() == published.sha256:
                return data
        data = self._fetch(published.path)
        if (found := hashlib.sha256(data).hexdigest()) != published.sha256:
            raise ValueError(f"the file {quote(published.path)} of the model store has another digest: {found}")
        _write(file, data)
        return data

    def _open_folder(self) -> Path:
        base = find_default_directory() if self._given is None else self._given
        if base is None:
            raise OSError("no directory for model files: the user has no home; set XDG_CACHE_HOME")
        return Path(CacheDirectory(os.path.join(base, FOLDER)).path)

    def _fetch(self, path: str) -> bytes:
        if urlsplit(self._store).scheme in HDFS:
            from stellar.net.hadoop.webhdfs import open_hdfs  # loads an HTTP client

            with open_hdfs(self._store) as hdfs:
                data = hdfs.read(path, LARGEST)
        else:
            with Path(self._store.removeprefix("file://"), path.lstrip("/")).open("rb") as source:
                data = source.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"the file {quote(path)} of the model store is larger than {LARGEST >> 20} MB")
        return data


def find_store(registry: Registry) -> str:
    """Return the model store of `maas serve` with a registry, unless that has the option --store."""
    if isinstance(registry, FileRegistry):
        return str(registry.directory / "store")
    from stellar.net.hadoop.webhdfs import read_default_uri

    return read_default_uri() or str(home() / "store")


def _write(file: Path, data: bytes) -> None:
    """Write a file atomically, readable for this user alone, and remove those that are older than the last 32."""
    draft = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(data)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    newest = sorted(file.parent.glob(f"*{SUFFIX}"), key=_read_time, reverse=True)
    for old in newest[MOST_FILES:]:
        old.unlink(missing_ok=True)


def _read_time(file: Path) -> float:
    with suppress(FileNotFoundError):  # another process removed it
        return file.stat().st_mtime
    return 0.0
