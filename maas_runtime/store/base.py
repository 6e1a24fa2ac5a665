"""The model store: the files of each model, uploaded once and fetched by every instance."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from maas_runtime.errors import DeployError
from maas_runtime.store.content import (
    CONTENT,
    StoredContent,
    digest_files,
    read_digest,
    reject_content_path,
    require_content_path,
    verify_content,
)
from stellar.util.abbreviate import quote

SAMPLES_FILE = "samples.jsonl"  # requests before the registration; see maas_runtime.runner.samples
SERVE_SCRIPT = "serve.sh"  # the generated start script of a model that is data; see maas_runtime.serving.lock
ENDPOINT_FILE = "endpoint.dat"  # written by a running model; an uploaded one would be stale
PUBLISHED = ".published"  # files for the nodes of a cluster
SCRIPT_MARK = ".maas-script"  # contains the name of the start script


class ModelStore(Protocol):
    """Store the files of models, each model under a path."""

    def upload(self, local: Path, path: str, script: str | None = None) -> list[str]:
        """Copy a local directory to a path, replacing files of the same name. Return the names of the files.

        script: name of the start script, if the directory has several `.sh` files
        Raises DeployError, before any file is copied, if the directory is not a valid model.
        """

    def add_content(self, local: Path, script: str | None = None) -> str:
        """Copy a local directory to an immutable directory named by the digest of its files. Return its path.

        It is complete before it is visible. An existing copy is left unchanged. Raises DeployError as `upload`.
        """

    def snapshot(self, path: str) -> str:
        """Copy the files at a path as `add_content` does. Return the path of the copy.

        Raises DeployError as `script` and `fetch`.
        """

    def contents(self) -> list[StoredContent]:
        """Return all immutable copies that this store made. Raises DeployError if the store does not exist."""

    def remove_content(self, path: str) -> None:
        """Remove an immutable copy."""

    def script(self, path: str) -> str:
        """Return the name of the start script of the model at a path.

        Raises DeployError if the path does not exist or has no script.
        """

    def fetch(self, path: str, to: Path) -> None:
        """Copy the files at a path to a new local directory.

        Raises DeployError if the path does not exist, or if an immutable copy was changed.
        """

    def publish(self, file: Path, name: str) -> str:
        """Store a file for the nodes of a cluster under a name that is unique to its content. Return its URI.

        An existing file is left unchanged.
        """


@dataclass(frozen=True)
class ModelSize:
    """Limits of a model: number of files and total size."""

    files: int = 10_000
    megabytes: int = 20_000


class SizeLimiter:
    """A counter of a model's files and their size, which enforces the limits."""

    def __init__(self, owner: Path | str, max_size: ModelSize) -> None:
        self._owner, self._max_size = owner, max_size
        self._files = self._bytes = 0

    def add(self, size: int) -> None:
        """Count a file of `size` bytes. Raises DeployError above a limit."""
        self._files += 1
        self._bytes += size
        if self._files > self._max_size.files:
            raise DeployError(
                f"too many files in {self._owner}: expected at most {self._max_size.files:,}; raise --model-files"
            )
        if self._bytes > self._max_size.megabytes * 1_000_000:
            raise DeployError(f"{self._owner} is larger than {self._max_size.megabytes:,} MB; raise --model-mb")


class LocalStore:
    """A model store in a directory of this machine. A `file://` path names a directory outside the store.

    file_roots: directories that `file://` paths must be in; empty allows any
    max_size: limits of a model, for upload and for start
    """

    def __init__(self, directory: Path, file_roots: Sequence[Path] = (), max_size: ModelSize | None = None) -> None:
        self._directory = directory
        self._max_size = max_size or ModelSize()
        self._file_roots = [root.resolve() for root in file_roots]

    def upload(self, local: Path, path: str, script: str | None = None) -> list[str]:
        reject_content_path(path)
        files = self._copy_model(local, self._resolve(path), choose_script(local, script))
        return [str(file) for file in files]

    def add_content(self, local: Path, script: str | None = None) -> str:
        chosen = choose_script(local, script)
        content = self._directory / CONTENT
        draft = content / f"{uuid.uuid4().hex}{_DRAFT}"
        try:
            files = self._copy_model(local, draft, chosen)
            digest = digest_files(draft, files, chosen)  # of the copy, as the originals may change meanwhile
            _rename_unless_exists(draft, content / digest)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return f"/{CONTENT}/{digest}"

    def snapshot(self, path: str) -> str:
        if read_digest(path):
            self.script(path)
            return path
        return self.add_content(self._find_existing(path), self.script(path))

    def contents(self) -> list[StoredContent]:
        if not self._directory.is_dir():
            raise DeployError(f"the model store {self._directory} does not exist; check --store")
        found = (self._directory / CONTENT).glob("*")
        return [StoredContent(f"/{CONTENT}/{each.name}", each.stat().st_mtime) for each in found]

    def remove_content(self, path: str) -> None:
        shutil.rmtree(self._directory / path.strip("/"))

    def _copy_model(self, local: Path, target: Path, script: str) -> list[Path]:
        files = list(model_files(local, self._max_size))
        for file in files:
            _copy(local / file, target / file)
        _write(target / SCRIPT_MARK, script)
        return files

    def script(self, path: str) -> str:
        folder = self._find_existing(path)
        mark = folder / SCRIPT_MARK
        return choose_script(folder, mark.read_text().strip() if mark.exists() else None)

    def fetch(self, path: str, to: Path) -> None:
        folder = self._find_existing(path)
        for _ in model_files(
            folder, self._max_size
        ):  # checked again: files may have changed, and file:// paths were not uploaded
            pass
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*" + _DRAFT))
        (to / ENDPOINT_FILE).unlink(missing_ok=True)
        if read_digest(path):
            verify_fetched(path, to, self.script(path))

    def publish(self, file: Path, name: str) -> str:
        target = self._directory.absolute() / PUBLISHED / name
        if not target.exists():
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = target.with_name(f".{uuid.uuid4().hex}{_DRAFT}")
            shutil.copyfile(file, draft)
            draft.chmod(0o644)  # readable by the user that runs the nodes
            draft.replace(target)
        return target.as_uri()

    def _find_existing(self, path: str) -> Path:
        folder = self._resolve(path)
        try:
            exists = folder.is_dir()
        except OSError as error:  # such as a name that is too long
            raise DeployError(f"invalid path {path[:80]!r}: {error.strerror}") from None
        if not exists:
            raise DeployError(f"unknown path {path} in the model store; upload the model's files with -lmp")
        return folder

    def _resolve(self, path: str) -> Path:
        scheme, host, location, *_ = urlsplit(path)
        if scheme not in ("", "file") or host not in ("", "localhost"):
            raise DeployError(f"invalid path {quote(path)}: the model store is a directory of this machine")
        if ".." in location.split("/") or "\0" in location or not location.strip("/"):
            raise DeployError(f"invalid path {quote(path)}: expected a path such as /user/me/models")
        return self._resolve_outside(unquote(location)) if scheme else self._directory / location.strip("/")

    def _resolve_outside(self, location: str) -> Path:
        """Return a directory outside the store, if `file_roots` allows it."""
        if ".." in location.split("/") or "\0" in location:
            raise DeployError(f"invalid path {quote(location)}: expected a path such as file:///home/me/models")
        folder = Path(location).absolute()
        if self._file_roots and not any(folder.resolve().is_relative_to(root) for root in self._file_roots):
            raise DeployError(
                f"invalid path {quote(location)}: --file-root allows only {', '.join(map(str, self._file_roots))}"
            )
        return folder


_DRAFT = ".maas-draft"


def has_script(folder: Path) -> bool:
    """Return whether a model's directory has a `.sh` file at its top level. Raises DeployError if it does not exist."""
    return any(name.endswith(".sh") for name in _list_files(folder))


def choose_script(folder: Path, script: str | None) -> str:
    """Return the start script of a model's directory: `script`, or the only `.sh` file at its top level.

    Raises DeployError for no script or several.
    """
    return choose_script_name(folder, _list_files(folder), script)


def _list_files(folder: Path) -> list[str]:
    """Return the names of the files at the top level of a directory."""
    if not folder.is_dir():
        raise DeployError(f"{folder} is not a directory")
    return [file.name for file in folder.iterdir() if file.is_file()]


def choose_script_name(folder: Path | str, files: Iterable[str], script: str | None) -> str:
    """Return the start script, given the names of the files at the top level."""
    scripts = sorted(name for name in files if name.endswith(".sh"))
    if script is not None:
        if script not in scripts:
            raise DeployError(f"unknown script {quote(script)} in {folder}: {_list_scripts(scripts)}")
        return script
    if len(scripts) != 1:
        raise DeployError(f"{folder} must contain one start script: {_list_scripts(scripts)}")
    return scripts[0]


def _list_scripts(scripts: list[str]) -> str:
    if not scripts:
        return "no .sh file at its top level"
    return f"found {', '.join(scripts)}" + ("; choose one with --script" if len(scripts) > 1 else "")


def model_files(folder: Path, max_size: ModelSize) -> Iterator[Path]:
    """Return the files of a model, relative to its directory.

    Raises DeployError for a link to the outside, a special file, and above a limit.
    """
    limiter = SizeLimiter(folder, max_size)
    inside = folder.resolve()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if not file.resolve().is_relative_to(inside):
            raise DeployError(f"{file} links outside {folder}; replace the link by a copy")
        if file.is_dir() or str(name) in (ENDPOINT_FILE, SCRIPT_MARK):
            continue
        if not file.is_file():
            raise DeployError(f"{file} is neither a file nor a directory")
        limiter.add(file.stat().st_size)
        yield name


def require_uploaded(store: ModelStore, content: str, uploaded_to: str, name: str) -> None:
    """Check that an uploaded copy is in a store.

    uploaded_to, name: names of the store to which it was uploaded, and of this one

    Raises DeployError if it is missing, which names both stores if they differ.
    """
    try:
        store.script(require_content_path(content))
    except DeployError as error:
        if uploaded_to == name:
            raise
        raise DeployError(
            f"the files were uploaded to the model store {uploaded_to}, but the service uses {name}; "
            f"use the same --store for both ({error})"
        ) from None


def verify_fetched(path: str, folder: Path, script: str) -> None:
    """Raise DeployError if the files fetched from a path do not have the digest that the path names, if any."""
    verify_content(path, folder, model_files(folder, ModelSize()), script)


def _rename_unless_exists(draft: Path, target: Path) -> None:
    """Give a directory its name; do nothing if it exists already, as its name is the digest of its files."""
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _copy(source: Path, target: Path) -> None:
    """Copy a file and its mode atomically."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = target.with_name(f".{uuid.uuid4().hex}{_DRAFT}")
    try:
        shutil.copy(source, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _write(target: Path, text: str) -> None:
    draft = target.with_name(f".{uuid.uuid4().hex}{_DRAFT}")
    draft.write_text(text)
    draft.replace(target)
