"""Categories of features, which XGBoost stores since version 3.1: their index is the value of the feature."""

from __future__ import annotations

from itertools import pairwise

from stellar.models.boosters.json_document import JsonValue
from stellar.models.forms.boosting import Feature


def add_categories(features: tuple[Feature, ...], stored: JsonValue | None) -> tuple[Feature, ...]:
    """Return the features with their categories."""
    encodings = [] if stored is None else list(stored.get("enc").items())
    if stored is None or not encodings:
        return features
    if len(encodings) != len(features):
        stored.refuse(f"expected categories of {len(features)} features, got {len(encodings)}; export the model again")
    return tuple(
        Feature(feature.name, _read_encoding(encoding)) for feature, encoding in zip(features, encodings, strict=True)
    )


def _read_encoding(encoding: JsonValue) -> tuple[str | int, ...]:
    """Return the categories of a feature: integers, or strings that are cut out of bytes; none of a number."""
    offsets = encoding.find("offsets")
    values = encoding.get("values")
    categories = tuple(values.integers()) if offsets is None else _cut(offsets, values)
    if len(set(categories)) < len(categories):
        values.refuse("a category occurs twice; export the model again")
    return categories


def _cut(offsets: JsonValue, values: JsonValue) -> tuple[str, ...]:
    bounds = offsets.integers()
    codes = values.integers()
    if not all(-128 <= code < 256 for code in codes):
        values.refuse("expected the bytes of strings; export the model again")
    if not all(0 <= code < 128 for code in codes):
        values.refuse("XGBoost cuts names of categories that are not ASCII; rename the categories and train again")
    data = bytes(codes).decode("ascii")
    pairs = list(pairwise(bounds))
    if not all(0 <= start <= end <= len(data) for start, end in pairs):
        offsets.refuse("an offset is beyond the values; export the model again")
    return tuple(data[start:end] for start, end in pairs)
