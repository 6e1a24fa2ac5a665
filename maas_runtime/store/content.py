"""Immutable copies of models' files in a model store, named by a digest of the files.

    <store>/.content/<sha256>/      the files of one upload, complete before the directory gets its name

The digest covers the start script and, of each file, its path, its content and whether its owner may execute it. Other
mode bits depend on the umask and on the file system, and are not part of a model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from maas_runtime.errors import DeployError

CONTENT = ".content"
_PATH = re.compile(r"(?:[^\x00-\x1f]*/)?\.content/([0-9a-f]{64})")


class StoredContent(NamedTuple):
    """A copy in the store: its path, and the time since the epoch in seconds at which it was made."""

    path: str
    made: float


def digest_files(folder: Path, files: Iterable[Path], script: str) -> str:
    """Return the digest of a model.

    files: paths relative to the folder
    """
    digest = hashlib.sha256(f"script {script!r}\n".encode())
    for name in sorted(file.as_posix() for file in files):
        with (folder / name).open("rb") as content:
            hashed = hashlib.file_digest(content, "sha256").hexdigest()
        mode = "x" if (folder / name).stat().st_mode & 0o100 else "-"
        digest.update(f"{mode} {hashed} {name!r}\n".encode())
    return digest.hexdigest()


def read_digest(path: str) -> str | None:
    """Return the digest in the path of an immutable copy; None for any other path."""
    match = _PATH.fullmatch(path)
    return match[1] if match else None


def require_content_path(path: str) -> str:
    """Return a path of an immutable copy. Raises DeployError for any other."""
    if read_digest(path) is None or ".." in path.split("/"):
        raise DeployError(f"invalid path of a model's copy {path[:120]!r}: expected …/{CONTENT}/<sha256>")
    return path


def reject_content_path(path: str) -> None:
    """Raise DeployError if a path leads into the directory of immutable copies."""
    if CONTENT in path.split("/"):
        raise DeployError(f"invalid path {path!r}: {CONTENT} is for the store's own copies; choose another directory")


def verify_content(path: str, folder: Path, files: Iterable[Path], script: str) -> None:
    """Raise DeployError if the files that were fetched from an immutable copy differ from its digest."""
    expected = read_digest(path)
    if expected is not None and (found := digest_files(folder, files, script)) != expected:
        raise DeployError(
            f"the files at {path} of the model store were changed: their digest is {found}; upload the model again"
        )
