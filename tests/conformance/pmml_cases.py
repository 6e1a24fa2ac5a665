"""Cases of PMML: a document, a record, and the results of JPMML-Evaluator."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.evaluation.predictions import Prediction, Scores
from stellar.models.loading import load_model
from stellar.models.scoring import ScoringModel
from stellar.models.values import to_string


@dataclass(frozen=True)
class PmmlDocument:
    """A document of a corpus: its model, or the error of our reader."""

    model: ScoringModel | None
    error: str
    is_single: bool


@dataclass(frozen=True)
class PmmlOutcome:
    """Our result of a case, or the error."""

    scores: Scores | None
    error: str = ""


def load_documents(folder: Path) -> dict[str, PmmlDocument]:
    """Return the documents of a folder by the path that cases have."""
    documents = {}
    for path in sorted((folder / "models").iterdir()):
        is_single = b'x-mathContext="float"' in path.read_bytes()
        try:
            documents[f"models/{path.name}"] = PmmlDocument(load_model(path), "", is_single)
        except InvalidModel as error:
            documents[f"models/{path.name}"] = PmmlDocument(None, str(error), is_single)
    return documents


def read_pmml_cases(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the cases of a folder."""
    with (folder / "cases.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def run_pmml_case(raw: Mapping[str, Any], document: PmmlDocument) -> PmmlOutcome:
    """Return our result of a case."""
    if document.model is None:
        return PmmlOutcome(None, document.error)
    try:
        return PmmlOutcome(document.model.evaluate(untag(raw["record"])))
    except NotScored as error:
        return PmmlOutcome(None, str(error))


def untag(value: Any) -> Any:
    """Return a tagged value as Python's."""
    match value:
        case {"$nan": True}:
            return math.nan
        case {"$inf": sign}:
            return sign * math.inf
        case {"$float": number}:
            return untag(number)
        case dict():
            return {key: untag(item) for key, item in value.items()}
        case list():
            return [untag(item) for item in value]
    return value


def find_pmml_difference(raw: Mapping[str, Any], document: PmmlDocument) -> str:
    """Return the difference between our result and JPMML's, or an empty string."""
    ours, theirs = run_pmml_case(raw, document), raw["result"]
    if raw.get("free"):
        return ""
    if ours.scores is None or not theirs["ok"]:
        return "" if ours.scores is None and not theirs["ok"] else f"error: {ours.error or 'none'}"
    tolerance = 1e-6 if document.is_single else 1e-9
    for part, expected in theirs.items():
        if part != "ok" and (difference := _compare_part(part, ours.scores, expected, tolerance)):
            return difference
    return ""


# Documents that JPMML loads and ours refuses: by the message of our error, with the row of docs/models/pmml.md
REFUSALS = {
    "is not for this classification": "an option that fails every complete record",
    "'augmentedNormalizedTermFrequency' is not supported": "an option that fails every complete record",
}


def find_pmml_reason(raw: Mapping[str, Any], document: PmmlDocument) -> str:
    """Return the reason for a difference that is documented in docs/models/pmml.md, or an empty string."""
    has_no_result = raw["result"]["ok"] and None in raw["result"]["target"].values()
    for message, reason in REFUSALS.items():
        if message in document.error and (has_no_result or None in raw["record"].values()):
            return reason
    return ""


def _compare_part(part: str, scores: Scores, expected: Mapping[str, Any], tolerance: float) -> str:
    if part == "output":
        return compare_maps("output", scores.outputs, expected, tolerance)
    if part == "extra":
        return _compare_extra(scores.first(), expected, tolerance)
    predictions = {name or "$target": prediction for name, prediction in scores.predictions.items()}
    if part == "target":
        values = {name: prediction.value for name, prediction in predictions.items() if prediction.rules is None}
        if "$target" in values and "$target" not in expected:  # results of a segment without the model's target
            values = dict.fromkeys(expected)
        return compare_maps("target", values, expected, tolerance)
    for name, shares in expected.items():
        difference = compare_maps(f"probability {name}", predictions[name].probabilities or {}, shares, tolerance)
        if difference:
            return difference
    return ""


def _compare_extra(prediction: Prediction, expected: Mapping[str, Any], tolerance: float) -> str:
    entities = prediction.entities or (None,)
    ours: dict[str, Any] = {
        "entityId": entities[0],
        "affinity": prediction.affinities or {},
        "confidence": prediction.confidences or {},
    }
    for name, value in expected.items():
        if isinstance(value, dict):
            if difference := compare_maps(name, ours[name], value, tolerance):
                return difference
        elif not is_same(ours[name], value, tolerance):
            return f"{name}: ours {ours[name]!r}, theirs {value!r}"
    return ""


def compare_maps(part: str, ours: Mapping[Any, Any], theirs: Mapping[str, Any], tolerance: float) -> str:
    """Return the first difference of two maps, or an empty string."""
    by_name = {to_string(key): value for key, value in ours.items()}
    if by_name.keys() != theirs.keys():
        return f"{part}: ours has {sorted(by_name)}, theirs {sorted(theirs)}"
    for name, value in theirs.items():
        if not is_same(by_name[name], value, tolerance):
            return f"{part} {name}: ours {by_name[name]!r}, theirs {value!r}"
    return ""


def is_same(ours: Any, theirs: Any, tolerance: float) -> bool:
    """Return True if two values are the same within a tolerance."""
    if isinstance(theirs, dict) and "$float" in theirs:
        tolerance = 1e-6
    theirs = untag(theirs)
    if isinstance(theirs, bool) or isinstance(ours, bool) or theirs is None or ours is None:
        return ours is theirs
    if isinstance(theirs, int | float) and isinstance(ours, int | float):
        if math.isnan(theirs) or math.isnan(ours):
            return math.isnan(theirs) and math.isnan(ours)
        return math.isclose(ours, theirs, rel_tol=tolerance, abs_tol=1e-12 if tolerance < 1e-6 else 1e-9)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs, [tolerance] * len(ours)))
    return bool(ours == theirs)
