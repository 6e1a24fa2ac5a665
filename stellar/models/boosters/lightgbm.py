"""Reader of the text files of LightGBM."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from stellar.models.boosters.documents import MOST_FEATURES, MOST_NODES, build_document, check_names
from stellar.models.boosters.lightgbm_text import Section, TextLimits, TextModel, read_sections
from stellar.models.boosters.lightgbm_trees import read_tree
from stellar.models.errors import InvalidModel, KeyOrigin
from stellar.models.forms.boosting import BoostedTree, BoosterForm, Feature, Link
from stellar.models.forms.model import ModelDocument
from stellar.models.values import round_single
from stellar.util.abbreviate import quote

MOST_OUTPUTS = 10_000
ZERO = round_single(1e-35)  # LightGBM reads smaller numbers as zero
_NUMBER = Link("identity", "number")
_EXPONENTIAL = Link("exponential", "number")
OBJECTIVES = {
    "binary": Link("logistic", "probabilities"),
    "cross_entropy": Link("logistic", "number"),
    "cross_entropy_lambda": Link("softplus", "number"),
    "fair": _NUMBER,
    "gamma": _EXPONENTIAL,
    "huber": _NUMBER,
    "lambdarank": _NUMBER,
    "mape": _NUMBER,
    "multiclass": Link("softmax", "probabilities"),
    "multiclassova": Link("logistics", "probabilities"),
    "poisson": _EXPONENTIAL,
    "quantile": _NUMBER,
    "rank_xendcg": _NUMBER,
    "regression": _NUMBER,
    "regression_l1": _NUMBER,
    "tweedie": _EXPONENTIAL,
}
# Keys of a header that change no score
_KNOWN_KEYS = {
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "average_output",
    "feature_names",
    "monotone_constraints",
    "feature_infos",
    "tree_sizes",
}


def read_lightgbm_document(data: bytes, limits: TextLimits | None = None) -> ModelDocument:
    """Return the document of a model file. Raise InvalidModel, with the line, if it cannot be scored."""
    model = read_sections(data, limits or TextLimits())
    header = model.header
    _check_header(header)
    outputs = header.integer("num_tree_per_iteration", 1, MOST_OUTPUTS)
    features = _read_features(model)
    form = BoosterForm(
        trees=_read_trees(model, len(features), outputs),
        features=features,
        bases=(0.0,) * outputs,
        link=_read_link(header, outputs),
        is_single=False,
        divisor=len(model.trees) // outputs if "average_output" in header.values else 1,
        zero=ZERO,
        origin=header.origin,
    )
    return build_document(form, header.string("version"))


# -- The header -------------------------------------------------------------------------------------------------------


def _check_header(header: Section) -> None:
    version = header.string("version")
    if version not in ("v3", "v4"):
        header.refuse("version", f"version {quote(version)} is not supported, v3 and v4 are; export with LightGBM 4")
    for key in header.values:
        if key not in _KNOWN_KEYS:
            header.refuse(key, "the key is not supported; export with LightGBM 4")


def _read_link(header: Section, outputs: int) -> Link:
    """Return the link of an objective. Sums are not converted for one that training was given as a function."""
    if "objective" not in header.values:
        return _NUMBER
    name, *options = header.string("objective").split(" ")
    if name not in OBJECTIVES:
        header.refuse("objective", f"objective {quote(name)} is not supported; supported are {', '.join(OBJECTIVES)}")
    link = OBJECTIVES[name]
    for option in options:
        link = _apply_option(header, link, option, outputs)
    is_multiclass = name in ("multiclass", "multiclassova")
    if outputs != header.integer("num_class", 1, MOST_OUTPUTS) or (outputs > 1) != is_multiclass:
        header.refuse("num_class", f"num_class does not match the objective {quote(name)}; export the model again")
    return link


def _apply_option(header: Section, link: Link, option: str, outputs: int) -> Link:
    key, _, value = option.partition(":")
    match key:
        case "sqrt" if link == _NUMBER and not value:
            return Link("signed_square", "number")
        case "sigmoid" if link.name in ("logistic", "logistics"):
            return replace(link, scale=_parse_scale(header, value))
        case "num_class" if value == str(outputs):
            return link
    header.refuse("objective", f"option {quote(option, 80)} is not supported; train with another objective")


def _parse_scale(header: Section, value: str) -> float:
    try:
        scale = float(value)
    except ValueError:
        scale = math.nan
    if not 0 < scale < math.inf:
        header.refuse("objective", f"expected a positive number for sigmoid, got {quote(value, 80)}")
    return scale


# -- Features ---------------------------------------------------------------------------------------------------------


def _read_features(model: TextModel) -> tuple[Feature, ...]:
    header = model.header
    count = header.integer("max_feature_idx", 0, MOST_FEATURES - 1) + 1
    names = header.string("feature_names").split(" ")
    kinds = header.string("feature_infos").split(" ")
    for key, values in (("feature_names", names), ("feature_infos", kinds)):
        if len(values) != count:
            header.refuse(key, f"expected {count} values, got {len(values)}; export the model again")
    check_names(names, header.origin)
    categorical = [index for index, kind in enumerate(kinds) if kind != "none" and not kind.startswith("[")]
    categories = _read_categories(model, categorical)
    return tuple(Feature(name, categories.get(index, ())) for index, name in enumerate(names))


def _read_categories(model: TextModel, categorical: list[int]) -> dict[int, tuple[str | int, ...]]:
    """Return the names of categories by feature. The file has them in the order of features, without their indexes."""
    if model.categories is None:
        return {}
    text, line = model.categories
    origin = KeyOrigin("pandas_categorical", line)
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"invalid JSON: {error!s:.200}; export the model again", origin) from None
    if not stored:
        return {}
    if not isinstance(stored, list) or not all(isinstance(names, list) and are_categories(names) for names in stored):
        raise InvalidModel("expected arrays of strings or integers; convert the categories and train again", origin)
    if len(stored) != len(categorical):
        message = f"{len(stored)} features have names of categories, but {len(categorical)} are categorical"
        raise InvalidModel(f"{message}; train with a category column for each, without constant ones", origin)
    return {index: tuple(names) for index, names in zip(categorical, stored, strict=True)}


def are_categories(names: list[object]) -> bool:
    """Return True for strings, and for integers, without duplicates."""
    kinds = {type(name) for name in names}
    return kinds in ({str}, {int}) and len(set(names)) == len(names)


# -- Trees ------------------------------------------------------------------------------------------------------------


def _read_trees(model: TextModel, features: int, outputs: int) -> tuple[BoostedTree, ...]:
    header = model.header
    sizes = header.string("tree_sizes")
    expected = sizes.count(" ") + 1 if sizes else 0
    if len(model.trees) != expected or expected % outputs or not expected:
        header.refuse("tree_sizes", f"expected {expected} trees, got {len(model.trees)}; export the model again")
    trees: list[BoostedTree] = []
    nodes = 0
    for index, section in enumerate(model.trees):
        trees.append(BoostedTree(read_tree(section, features), index % outputs, 1.0, section.origin))
        nodes += len(trees[-1].nodes)
        if nodes > MOST_NODES:
            header.refuse("tree_sizes", f"more than {MOST_NODES} nodes; train a smaller model")
    return tuple(trees)
