"""The model store in HDFS, as Metron's own is, by its REST interface.

<path>/rest.sh, …             the files of a model, at the path that it was uploaded to
<home>/MaaS/published/…       what the nodes of a cluster fetch
"""

from __future__ import annotations

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
    Tally,
    chosen_of,
    chosen_script,
    model_files,
)
from stellar.net.hadoop.webhdfs import SCHEMES, Status, WebHdfs

PUBLISHED = "MaaS/published"
_DRAFT = ".maas-draft"


class HdfsStore:
    """A model store in HDFS. A path that does not begin with a slash is below the user's home there.

    most: how large models may be, when they are uploaded and when they are started
    """

    def __init__(self, hdfs: WebHdfs, most: ModelSize | None = None) -> None:
        self._hdfs = hdfs
        self._most = most or ModelSize()

    def upload(self, local: Path, path: str, script: str | None = None) -> list[str]:
        chosen = chosen_script(local, script)
        files = list(model_files(local, self._most))
        with _told():
            target = self._place(path)
            for file in files:
                self._put(local / file, f"{target}/{file.as_posix()}")
            self._write(BytesIO(chosen.encode()), f"{target}/{SCRIPT_MARK}", 0o644)
        return [str(file) for file in files]

    def script(self, path: str) -> str:
        with _told():
            folder = self._place(path)
            there = self._existing(folder, path)
            names = [status.name for status in there if not status.is_directory]
            marked = self._hdfs.read(f"{folder}/{SCRIPT_MARK}").decode().strip() if SCRIPT_MARK in names else None
        return chosen_of(path, names, marked)

    def fetch(self, path: str, to: Path) -> None:
        with _told():
            self._fetch(self._place(path), path, to, Tally(path, self._most))
        (to / ENDPOINT_FILE).unlink(missing_ok=True)

    def publish(self, file: Path, name: str) -> str:
        with _told():
            target = f"{self._hdfs.home()}/{PUBLISHED}/{name}"
            if self._hdfs.status(target) is None:
                self._put(file, target, 0o644)  # whoever runs the nodes must be able to read it
        return self._hdfs.uri + target

    def _put(self, file: Path, target: str, permission: int | None = None) -> None:
        """Copy a file, with its mode if none is given."""
        with file.open("rb") as content:
            self._write(content, target, permission or file.stat().st_mode & 0o777)

    def _write(self, content: BinaryIO, target: str, permission: int) -> None:
        """Write a file so that nobody sees a part of it."""
        draft = f"{target.rpartition('/')[0]}/.{uuid.uuid4().hex}{_DRAFT}"
        self._hdfs.write(draft, content, permission)
        self._hdfs.replace(draft, target)

    def _existing(self, folder: str, path: str) -> list[Status]:
        status = self._hdfs.status(folder)
        if status is None or not status.is_directory:
            raise DeployError(f"the model store has no directory {path}; upload the model's files with -lmp")
        return self._hdfs.list(folder)

    def _fetch(self, folder: str, path: str, to: Path, tally: Tally) -> None:
        there = self._existing(folder, path)
        to.mkdir(parents=True)
        for status in there:
            if status.name in ("", ".", "..") or "/" in status.name:
                raise DeployError(f"the model store names a file {status.name!r} in {path}")
            if status.name.endswith(_DRAFT):
                continue
            if status.is_directory:
                self._fetch(f"{folder}/{status.name}", f"{path}/{status.name}", to / status.name, tally)
                continue
            tally.add(status.size)
            with (to / status.name).open("xb") as target:
                for chunk in self._hdfs.chunks(f"{folder}/{status.name}"):
                    target.write(chunk)
            (to / status.name).chmod(status.permission & 0o777 | 0o600)

    def _place(self, path: str) -> str:
        scheme, authority, place, *_ = urlsplit(path)
        if scheme and (scheme not in SCHEMES or f"{scheme}://{authority}" != self._hdfs.uri):
            raise DeployError(f"the model store is {self._hdfs.uri or 'HDFS'}; {path} is elsewhere")
        place = unquote(place) if scheme else path
        if ".." in place.split("/") or "\0" in place or not place.strip("/"):
            raise DeployError(f"{path!r} is not a path such as /user/me/models")
        return place.rstrip("/") if place.startswith("/") else f"{self._hdfs.home()}/{place.rstrip('/')}"


@contextmanager
def _told() -> Iterator[None]:
    """Who deploys is told what is wrong with HDFS."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise DeployError(f"the model store: {error}") from error
