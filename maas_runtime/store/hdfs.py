"""A model store in HDFS, as Metron's, through WebHDFS.

<path>/rest.sh, …             the files of a model, at the path of the upload
<home>/MaaS/.content/…        immutable copies of the files of each upload; see maas_runtime.store.content
<home>/MaaS/published/…       files for the nodes of a cluster
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from maas_runtime.errors import DeployError
from maas_runtime.store.base import (
    ENDPOINT_FILE,
    SCRIPT_MARK,
    ModelSize,
    SizeLimiter,
    choose_script,
    choose_script_name,
    model_files,
    verify_fetched,
)
from maas_runtime.store.content import CONTENT, StoredContent, digest_files, read_digest, reject_content_path
from stellar.net.hadoop.webhdfs import SCHEMES, Status, WebHdfs
from stellar.util.abbreviate import quote

PUBLISHED = "MaaS/published"
CONTENT_PARENT = "MaaS"
_DRAFT = ".maas-draft"


class HdfsStore:
    """A model store in HDFS. A relative path is in the user's home directory there.

    max_size: limits of a model, for upload and for start
    """

    def __init__(self, hdfs: WebHdfs, max_size: ModelSize | None = None) -> None:
        self._hdfs = hdfs
        self._max_size = max_size or ModelSize()

    def upload(self, local: Path, path: str, script: str | None = None) -> list[str]:
        reject_content_path(path)
        chosen = choose_script(local, script)
        files = list(model_files(local, self._max_size))
        with _convert_errors():
            target = self._resolve(path)
            for file in files:
                self._put(local / file, f"{target}/{file.as_posix()}")
            self._write(BytesIO(chosen.encode()), f"{target}/{SCRIPT_MARK}", 0o644)
        return [str(file) for file in files]

    def add_content(self, local: Path, script: str | None = None) -> str:
        chosen = choose_script(local, script)
        files = list(model_files(local, self._max_size))
        digest = digest_files(local, files, chosen)
        with _convert_errors():
            parent = self._content()
            target, draft = f"{parent}/{digest}", f"{parent}/{uuid.uuid4().hex}{_DRAFT}"
            if self._hdfs.status(target) is None:
                for file in files:
                    self._put(local / file, f"{draft}/{file.as_posix()}")
                self._write(BytesIO(chosen.encode()), f"{draft}/{SCRIPT_MARK}", 0o644)
                self._give_name(draft, target)
        return target

    def snapshot(self, path: str) -> str:
        if read_digest(path):
            self.script(path)
            return path
        with tempfile.TemporaryDirectory() as folder:
            self.fetch(path, Path(folder, "model"))
            return self.add_content(Path(folder, "model"), self.script(path))

    def contents(self) -> list[StoredContent]:
        with _convert_errors():
            parent = self._content()
            if self._hdfs.status(parent) is None:
                return []
            return [StoredContent(f"{parent}/{each.name}", each.modified) for each in self._hdfs.list(parent)]

    def remove_content(self, path: str) -> None:
        with _convert_errors():
            self._hdfs.delete(path, recursive=True)

    def _content(self) -> str:
        return f"{self._hdfs.home()}/{CONTENT_PARENT}/{CONTENT}"

    def _give_name(self, draft: str, target: str) -> None:
        """Rename a draft; remove it instead if another client was faster."""
        try:
            self._hdfs.replace(draft, target)
        except OSError:
            if self._hdfs.status(target) is None:
                raise
            self._hdfs.delete(draft, recursive=True)

    def script(self, path: str) -> str:
        with _convert_errors():
            folder = self._resolve(path)
            entries = self._list_existing(folder, path)
            names = [status.name for status in entries if not status.is_directory]
            marked = self._hdfs.read(f"{folder}/{SCRIPT_MARK}").decode().strip() if SCRIPT_MARK in names else None
        return choose_script_name(path, names, marked)

    def fetch(self, path: str, to: Path) -> None:
        with _convert_errors():
            self._fetch(self._resolve(path), path, to, SizeLimiter(path, self._max_size))
        (to / ENDPOINT_FILE).unlink(missing_ok=True)
        if read_digest(path):
            verify_fetched(path, to, self.script(path))

    def publish(self, file: Path, name: str) -> str:
        with _convert_errors():
            target = f"{self._hdfs.home()}/{PUBLISHED}/{name}"
            if self._hdfs.status(target) is None:
                self._put(file, target, 0o644)  # readable by the user that runs the nodes
        return self._hdfs.uri + target

    def _put(self, file: Path, target: str, permission: int | None = None) -> None:
        """Copy a file; `permission` defaults to its mode."""
        with file.open("rb") as content:
            self._write(content, target, permission or file.stat().st_mode & 0o777)

    def _write(self, content: BinaryIO, target: str, permission: int) -> None:
        """Write a file atomically."""
        draft = f"{target.rpartition('/')[0]}/.{uuid.uuid4().hex}{_DRAFT}"
        self._hdfs.write(draft, content, permission)
        self._hdfs.replace(draft, target)

    def _list_existing(self, folder: str, path: str) -> list[Status]:
        status = self._hdfs.status(folder)
        if status is None or not status.is_directory:
            raise DeployError(f"unknown path {path} in the model store; upload the model's files with -lmp")
        return self._hdfs.list(folder)

    def _fetch(self, folder: str, path: str, to: Path, limiter: SizeLimiter) -> None:
        entries = self._list_existing(folder, path)
        to.mkdir(parents=True)
        for status in entries:
            if status.name in ("", ".", "..") or "/" in status.name:
                raise DeployError(f"invalid file name {quote(status.name)} in {path} of the model store")
            if status.name.endswith(_DRAFT):
                continue
            if status.is_directory:
                self._fetch(f"{folder}/{status.name}", f"{path}/{status.name}", to / status.name, limiter)
                continue
            limiter.add(status.size)
            with (to / status.name).open("xb") as target:
                for chunk in self._hdfs.chunks(f"{folder}/{status.name}"):
                    target.write(chunk)
            (to / status.name).chmod(status.permission & 0o777 | 0o600)

    def _resolve(self, path: str) -> str:
        scheme, authority, location, *_ = urlsplit(path)
        if scheme and (scheme not in SCHEMES or f"{scheme}://{authority}" != self._hdfs.uri):
            raise DeployError(f"invalid path {quote(path)}: the model store is {self._hdfs.uri or 'HDFS'}")
        location = unquote(location) if scheme else path
        if ".." in location.split("/") or "\0" in location or not location.strip("/"):
            raise DeployError(f"invalid path {quote(path)}: expected a path such as /user/me/models")
        return location.rstrip("/") if location.startswith("/") else f"{self._hdfs.home()}/{location.rstrip('/')}"


@contextmanager
def _convert_errors() -> Iterator[None]:
    """Raise DeployError for an error of HDFS."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise DeployError(f"the model store: {error}") from error
