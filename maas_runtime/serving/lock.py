"""The file `model.lock.json` of a deployed model: which file is the model, what it has, and that it is unchanged.

It is generated when a folder without a start script is deployed, and stored beside the user's files:

    {"kind": "pmml", "file": "model.pmml", "sha256": "9f…", "inputs": [{"name": "ttl", "type": "double"}], "outputs": …}
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maas_runtime.serving.errors import ServingError
from stellar.maas.schema import read_json
from stellar.util.abbreviate import quote
from stellar.util.json_objects import read_object

if TYPE_CHECKING:
    pass

LOCK_FILE = "model.lock.json"
SERVE_ARCHIVE = "serving.pyz"

# Our runners set MAAS_PYTHON to a Python that suffices, and MODEL_HOST. Metron's service sets neither: in its
# containers, where YARN sets NM_HOST, other machines call the model.
SCRIPT = f"""#!/bin/sh
[ -z "$NM_HOST" ] || export MODEL_HOST="${{MODEL_HOST:-0.0.0.0}}"
exec "${{MAAS_PYTHON:-python3}}" -I {SERVE_ARCHIVE} .
"""

MAX_BYTES = 32 << 20  # of 100,000 inputs with long names


@dataclass(frozen=True)
class ModelLock:
    """The model of a deployed folder.

    file: its name in the folder
    sha256: of its content, as 64 hexadecimal digits
    inputs, outputs: name, type and listed values of each field
    """

    kind: str
    file: str
    sha256: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]

    def to_json(self) -> bytes:
        return f"{json.dumps(asdict(self), indent=2, ensure_ascii=False)}\n".encode()

    @classmethod
    def from_json(cls, data: bytes) -> ModelLock:
        """Read the content of the file. Raise ServingError if it is invalid."""
        try:
            content = read_json(data)
            if not isinstance(content, dict):
                raise ValueError("expected a JSON object")
            lock = read_object(cls, content, ignore_unknown=True)
        except ValueError as error:
            raise ServingError(f"invalid {LOCK_FILE}: {error}; deploy the model again") from None
        if "/" in lock.file or lock.file in ("", ".", ".."):
            raise ServingError(f"invalid {LOCK_FILE}: file: expected the name of a file, got {quote(lock.file)}")
        return lock


def read_lock(folder: Path) -> ModelLock | None:
    """Return the lock of a deployed folder; None for a folder that was not deployed.

    Raise ServingError if it is invalid, or if the model is not the one that was deployed.
    """
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    lock = ModelLock.from_json(data)
    _check_digest(folder / lock.file, lock)
    return lock


def _check_digest(file: Path, lock: ModelLock) -> None:
    try:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ServingError(f"cannot read {file}, the model of {LOCK_FILE}: {error.strerror}") from None
    if found != lock.sha256:
        raise ServingError(f"{file} is not the model of {LOCK_FILE}: its sha256 is {found}; deploy the model again")
