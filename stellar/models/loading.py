"""Model files: the kind of one, by its content, and the model that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from stellar.models.boosters.json_document import JsonLimits
from stellar.models.boosters.lightgbm import read_lightgbm_document
from stellar.models.boosters.lightgbm_text import TextLimits
from stellar.models.boosters.xgboost import read_xgboost_document
from stellar.models.errors import InvalidModel, KeyOrigin
from stellar.models.pmml.reader import read_document
from stellar.models.pmml.xml import XmlLimits
from stellar.models.scoring import ScoringModel, pause_collection

ModelKind: TypeAlias = Literal["pmml", "xgboost", "lightgbm"]

LARGEST = 64 << 20  # bytes, of each kind

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # of UTF-8 and UTF-16


def detect_kind(data: bytes) -> ModelKind | None:
    """Return the kind of a model file by its first bytes, None if it is none of them."""
    start = data[:1024]
    for mark in _MARKS:
        start = start.removeprefix(mark)
    start = start.replace(b"\0", b"").lstrip()
    if start.startswith(b"<"):
        return "pmml"
    if start.startswith(b"{") and b"learner" in start:
        return "xgboost"
    if start.split(b"\n", 1)[0].rstrip() == b"tree":
        return "lightgbm"
    return None


def load_model(path: Path) -> ScoringModel:
    """Return the model of a file of PMML, XGBoost or LightGBM, whose kind follows from its content.

    Raise InvalidModel, with element and line, if it cannot be scored; OSError, if it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    return read_model_file(data)


def read_model_file(data: bytes) -> ScoringModel:
    """Return the model of the content of a file. Raise InvalidModel if it cannot be scored."""
    kind = detect_kind(data)
    if kind is None:
        message = "unknown format; expected PMML, XGBoost (JSON or UBJSON) or LightGBM (text)"
        raise InvalidModel(message, KeyOrigin("file", 1))
    return READERS[kind](data)


def read_pmml(data: bytes, limits: XmlLimits | None = None) -> ScoringModel:
    """Return the model of a PMML document. Raise InvalidModel, with element and line, if it cannot be scored."""
    with pause_collection():
        return ScoringModel(read_document(data, limits), data)


def read_xgboost(data: bytes, limits: JsonLimits | None = None) -> ScoringModel:
    """Return the model of a JSON or UBJSON file of XGBoost.

    Raise InvalidModel, with the path or byte, if it cannot be scored.
    """
    return ScoringModel(read_xgboost_document(data, limits), data)


def read_lightgbm(data: bytes, limits: TextLimits | None = None) -> ScoringModel:
    """Return the model of a text file of LightGBM. Raise InvalidModel, with the line, if it cannot be scored."""
    return ScoringModel(read_lightgbm_document(data, limits), data)


READERS: dict[ModelKind, Callable[[bytes], ScoringModel]] = {
    "pmml": read_pmml,
    "xgboost": read_xgboost,
    "lightgbm": read_lightgbm,
}
