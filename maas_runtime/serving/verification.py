"""Loading of a model file with proof that its model gives the results that the file has for some records."""

from __future__ import annotations

from maas_runtime.serving.detection import DetectedModel
from maas_runtime.serving.errors import ServingError
from stellar.models.errors import InvalidModel
from stellar.models.loading import LARGEST, read_model_file
from stellar.models.scoring import ScoringModel


def read_content(found: DetectedModel) -> bytes:
    """Return the content of a model file. Raise ServingError if it is unreadable or too large."""
    try:
        with found.file.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ServingError(f"cannot read {found.file}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise ServingError(f"{found.file} is too large: expected at most {LARGEST >> 20} MB")
    return data


def load_verified(found: DetectedModel, data: bytes) -> ScoringModel:
    """Return the model in the content of a file, which gives the results of its verification records.

    Raise ServingError, with file, element and line, if it does not, or has an element that is not supported.
    """
    try:
        model = read_model_file(data)
        model.verify()
    except InvalidModel as error:
        raise ServingError(f"{found.file.name}: {error}") from None
    return model
