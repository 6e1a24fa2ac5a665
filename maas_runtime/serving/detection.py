"""The one model file of a folder, found by content.

A folder may have other files beside the model: samples, a reference for monitoring, settings, notes. They are ignored,
as are files of JSON and XML that are not models. A folder with a start script is not searched when it is deployed: the
script decides what is served.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_runtime.serving.errors import ServingError
from maas_runtime.serving.lock import LOCK_FILE, SERVE_ARCHIVE, read_lock
from maas_runtime.store.base import ENDPOINT_FILE, SAMPLES_FILE, SERVE_SCRIPT
from stellar.models.loading import ModelKind, detect_kind
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

KINDS: dict[ModelKind, str] = {
    "pmml": "PMML",
    "xgboost": "XGBoost (JSON or UBJSON)",
    "lightgbm": "LightGBM (text)",
}
SUPPORTED = ", ".join(KINDS.values())

_NO_MODELS = (
    LOCK_FILE,
    SERVE_SCRIPT,
    SERVE_ARCHIVE,
    ENDPOINT_FILE,
    SAMPLES_FILE,
    "model.toml",
    "reference.*",
    "readme*",
    "license*",
    ".*",
)
_CLAIMED = (".pmml", ".ubj")  # suffixes of files that are meant to be models, whatever their content
_OTHER_KINDS = ("*.onnx", "*.skops", "*.joblib", "*.pkl", "*.pickle", "MLmodel", "saved_model.pb")
_START = 65_536  # bytes within which the root element of a document is found
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")


@dataclass(frozen=True)
class DetectedModel:
    """A model file and its kind, which follows from its content."""

    file: Path
    kind: ModelKind


def find_model_file(folder: Path, name: str | None = None) -> Path:
    """Return the model file of a folder. Raise ServingError as `find_model` does."""
    return find_model(folder, name).file


def find_model(folder: Path, name: str | None = None) -> DetectedModel:
    """Return the one model of a folder, or the model in a file.

    folder: its top level is searched; or the file itself
    name: of the file, for a folder with several models; by default that of the lock, if the folder was deployed

    Raise ServingError if there is none, if there are several, if the file is outside the folder, or if it is not the
    one that was deployed.
    """
    if folder.is_file():
        return _require_model(folder)
    if not folder.is_dir():
        raise ServingError(f"{folder} does not exist; expected a folder with a model, or a model file")
    if name is not None:
        return _require_model(_find_named(folder, name))
    if (lock := read_lock(folder)) is not None:
        return _require_model(folder / lock.file)  # may be a link, as in a container of Metron: its digest is checked
    found = [each for file in _list_candidates(folder) if (each := detect_model(file))]
    if len(found) == 1:
        return DetectedModel(_require_inside(found[0].file, folder), found[0].kind)
    raise ServingError(_explain_several(folder, found) if found else _explain_none(folder))


def detect_model(file: Path) -> DetectedModel | None:
    """Return the model in a file by its first bytes; None for any other file. Raise ServingError if it is unreadable.

    A file with the suffix `.pmml` or `.ubj` and another content is an error: it was meant to be a model.
    """
    start = _read_start(file)
    kind = detect_kind(start)
    if kind == "pmml" and not _is_pmml(start):
        kind = None
    if kind is None and file.suffix.lower() in _CLAIMED:
        raise ServingError(f"{file} is not a model, in spite of its suffix: expected {SUPPORTED}; export it again")
    return None if kind is None else DetectedModel(file, kind)


def _read_start(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            return content.read(_START)
    except OSError as error:
        raise ServingError(f"cannot read {file}: {error.strerror}") from None


def _is_pmml(start: bytes) -> bool:
    """Return True if the root element is PMML, in any namespace and in UTF-8 or UTF-16."""
    root = _ROOT.search(_COMMENT.sub(b"", start.replace(b"\0", b"")))
    return root is not None and root[1] == b"PMML"


def _list_candidates(folder: Path) -> list[Path]:
    """Return the files at the top level that may be models."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [file for file in files if not _matches(file, _NO_MODELS)]


def _matches(file: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(file.name.lower(), pattern.lower()) for pattern in patterns)


def _find_named(folder: Path, name: str) -> Path:
    """Return the file of a name at the top level of a folder."""
    names = [file.name for file in _list_candidates(folder)]
    if name not in names:
        hint = suggest_name(name, names) if names else "the folder has no files"
        raise ServingError(f"unknown model file {quote(name)} in {folder}: {hint}")
    return _require_inside(folder / name, folder)


def _require_inside(file: Path, folder: Path) -> Path:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ServingError(f"{file} links outside {folder}; replace the link by a copy")
    return file


def _require_model(file: Path) -> DetectedModel:
    if (found := detect_model(file)) is None:
        raise ServingError(f"{file} is not a model: expected {SUPPORTED}")
    return found


def _explain_several(folder: Path, found: Sequence[DetectedModel]) -> str:
    names = ", ".join(f"{each.file.name} ({each.kind})" for each in found)
    return f"{folder} has several models: {names}; choose one with --model FILE"


def _explain_none(folder: Path) -> str:
    others = [file.name for file in sorted(folder.iterdir()) if _matches(file, _OTHER_KINDS)]
    script = f"{others[0]} needs" if others else "a model of another kind needs"
    return f"{folder} has no model file: expected one of {SUPPORTED}; {script} a start script (.sh)"
