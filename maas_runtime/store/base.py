"""The model store: the files of each model, uploaded once, fetched by every instance."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from maas_runtime.errors import DeployError

ENDPOINT_FILE = "endpoint.dat"  # written by a model that runs; one in the collateral would be of another run
PUBLISHED = ".published"  # what a cluster's nodes fetch
SCRIPT_MARK = ".maas-script"  # names the script, where there are several


class ModelStore(Protocol):
    """Keeps the files of models, each model's under a path."""

    def upload(self, local: Path, path: str, script: str | None = None) -> list[str]:
        """Copy a local directory to the path, replacing files of the same names; returns the files' names.

        script: which of several `.sh` files starts the model
        Raises DeployError before anything is copied, if the directory can't be a model.
        """

    def script(self, path: str) -> str:
        """The name of the script that starts the model at this path.

        Raises DeployError if nothing is there, or no script.
        """

    def fetch(self, path: str, to: Path) -> None:
        """Copy the files at the path to a local directory, which is made.

        Raises DeployError if nothing is there.
        """

    def publish(self, file: Path, name: str) -> str:
        """Keep a file for the nodes of a cluster, under a name that no other content has; returns its URI there.

        One that is there already is left as it is.
        """


@dataclass(frozen=True)
class ModelSize:
    """How many files a model may have, and how large they may be together."""

    files: int = 10_000
    megabytes: int = 20_000


class Tally:
    """Counts the files of a model, as they are uploaded or fetched."""

    def __init__(self, what: Path | str, most: ModelSize) -> None:
        self._what, self._most = what, most
        self._files = self._bytes = 0

    def add(self, size: int) -> None:
        """Raises DeployError if that is one too many, or too much."""
        self._files += 1
        self._bytes += size
        if self._files > self._most.files:
            raise DeployError(f"{self._what} has more than {self._most.files:,} files; --model-files allows more")
        if self._bytes > self._most.megabytes * 1_000_000:
            raise DeployError(f"{self._what} is larger than {self._most.megabytes:,} MB; --model-mb allows more")


class LocalStore:
    """A model store in a directory of this machine. A `file://` path is taken as it stands, outside the store.

    file_roots: directories below which alone that is so; anywhere, if there are none
    most: how large models may be, when they are uploaded and when they are started
    """

    def __init__(self, directory: Path, file_roots: Sequence[Path] = (), most: ModelSize | None = None) -> None:
        self._directory = directory
        self._most = most or ModelSize()
        self._file_roots = [root.resolve() for root in file_roots]

    def upload(self, local: Path, path: str, script: str | None = None) -> list[str]:
        chosen = chosen_script(local, script)
        target = self._folder(path)
        files = list(model_files(local, self._most))
        for file in files:
            _copy(local / file, target / file)
        _write(target / SCRIPT_MARK, chosen)
        return [str(file) for file in files]

    def script(self, path: str) -> str:
        folder = self._existing(path)
        mark = folder / SCRIPT_MARK
        return chosen_script(folder, mark.read_text().strip() if mark.exists() else None)

    def fetch(self, path: str, to: Path) -> None:
        folder = self._existing(path)
        for _ in model_files(folder, self._most):  # it may have been changed since, or never have been uploaded
            pass
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*" + _DRAFT))
        (to / ENDPOINT_FILE).unlink(missing_ok=True)

    def publish(self, file: Path, name: str) -> str:
        target = self._directory.absolute() / PUBLISHED / name
        if not target.exists():
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = target.with_name(f".{uuid.uuid4().hex}{_DRAFT}")
            shutil.copyfile(file, draft)
            draft.chmod(0o644)  # whoever runs the nodes must be able to read it
            draft.replace(target)
        return target.as_uri()

    def _existing(self, path: str) -> Path:
        folder = self._folder(path)
        try:
            there = folder.is_dir()
        except OSError as error:  # such as a name that no directory can have
            raise DeployError(f"{path[:80]!r} can't be looked up: {error.strerror}") from None
        if not there:
            raise DeployError(f"the model store has no directory {path}; upload the model's files with -lmp")
        return folder

    def _folder(self, path: str) -> Path:
        scheme, host, place, *_ = urlsplit(path)
        if scheme not in ("", "file") or host not in ("", "localhost"):
            raise DeployError(f"the model store is a directory of this machine; {path} is elsewhere")
        if ".." in place.split("/") or "\0" in place or not place.strip("/"):
            raise DeployError(f"{path!r} is not a path such as /user/me/models")
        return self._outside(unquote(place)) if scheme else self._directory / place.strip("/")

    def _outside(self, place: str) -> Path:
        """A directory of this machine outside the store, if it may be used."""
        if ".." in place.split("/") or "\0" in place:
            raise DeployError(f"{place!r} is not a path such as file:///home/me/models")
        folder = Path(place).absolute()
        if self._file_roots and not any(folder.resolve().is_relative_to(root) for root in self._file_roots):
            raise DeployError(
                f"{place} is not below {', '.join(map(str, self._file_roots))}, where alone file:// paths may be"
            )
        return folder


_DRAFT = ".maas-draft"


def chosen_script(folder: Path, script: str | None) -> str:
    """The script that starts the model in a directory: the one named, else the only `.sh` at its top.

    Raises DeployError.
    """
    if not folder.is_dir():
        raise DeployError(f"{folder} is not a directory")
    return chosen_of(folder, (file.name for file in folder.iterdir() if file.is_file()), script)


def chosen_of(folder: Path | str, files: Iterable[str], script: str | None) -> str:
    """The same, of the names of the files at its top."""
    scripts = sorted(name for name in files if name.endswith(".sh"))
    if script is not None:
        if script not in scripts:
            raise DeployError(f"{folder} has no script {script}; {_those(scripts)}")
        return script
    if len(scripts) != 1:
        raise DeployError(f"{folder} must have one script that starts the model; {_those(scripts)}")
    return scripts[0]


def _those(scripts: list[str]) -> str:
    if not scripts:
        return "there is no .sh file at its top"
    return f"at its top: {', '.join(scripts)}" + ("; choose one with --script" if len(scripts) > 1 else "")


def model_files(folder: Path, most: ModelSize) -> Iterator[Path]:
    """The files of a model, relative to the directory.

    Raises DeployError for a link that leads out, for what is no file, and for more than allowed.
    """
    tally = Tally(folder, most)
    inside = folder.resolve()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if not file.resolve().is_relative_to(inside):
            raise DeployError(f"{file} is a link that leads out of {folder}; copy what it points to")
        if file.is_dir() or str(name) in (ENDPOINT_FILE, SCRIPT_MARK):
            continue
        if not file.is_file():
            raise DeployError(f"{file} is neither a file nor a directory")
        tally.add(file.stat().st_size)
        yield name


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its mode, so that nobody sees a part of it."""
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
