"""What clients need in order to evaluate an instance's model themselves, if it is data and has no code of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maas_runtime.runner.files import read_regular_file
from maas_runtime.serving.lock import LOCK_FILE, MAX_BYTES, SCRIPT, ModelLock


def describe_data_model(work: Path, script: str, content: str) -> dict[str, Any]:
    """Return the setting that is published for an instance of a data-only model; none for a model with its own script.

    work: the instance's directory
    script: name of its start script; its content must be that of the generated one
    content: path of the copy of its files in the model store; empty if unknown

    Raises ValueError for an invalid lock, OSError for one that cannot be read.
    """
    if not content or not _is_generated(work / script):
        return {}
    lock = ModelLock.from_json(read_regular_file(work / LOCK_FILE, MAX_BYTES))
    return {"model": {"kind": lock.kind, "sha256": lock.sha256, "path": f"{content}/{lock.file}"}}


def _is_generated(script: Path) -> bool:
    try:
        return read_regular_file(script, len(SCRIPT)) == SCRIPT.encode()
    except ValueError:  # longer, or no regular file, and so the user's own
        return False
