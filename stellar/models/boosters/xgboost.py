"""Reader of the model files of XGBoost 1 to 3: JSON and UBJSON."""

from __future__ import annotations

import json
import math

from stellar.models.boosters.categories import add_categories
from stellar.models.boosters.documents import MOST_FEATURES, MOST_NODES, build_document, check_names
from stellar.models.boosters.json_document import JsonLimits, JsonValue, abbreviate, read_json
from stellar.models.boosters.xgboost_trees import read_tree
from stellar.models.errors import InvalidModel, KeyOrigin
from stellar.models.forms.boosting import BoostedTree, BoosterForm, Feature, Link
from stellar.models.forms.model import ModelDocument
from stellar.models.singles import log_single
from stellar.models.values import round_single
from stellar.util.abbreviate import quote

MOST_OUTPUTS = 10_000
_NUMBER = Link("identity", "number")
_EXPONENTIAL = Link("exponential", "number")
# The links of the objectives, and the function of a base score that gives its margin
OBJECTIVES = {
    "binary:hinge": (Link("step", "class"), "identity"),
    "binary:logistic": (Link("logistic", "probabilities"), "logit"),
    "binary:logitraw": (_NUMBER, "identity"),
    "count:poisson": (_EXPONENTIAL, "log"),
    "multi:softmax": (Link("argmax", "class"), "identity"),
    "multi:softprob": (Link("softmax", "probabilities"), "identity"),
    "rank:map": (_NUMBER, "identity"),
    "rank:ndcg": (_NUMBER, "identity"),
    "rank:pairwise": (_NUMBER, "identity"),
    "reg:absoluteerror": (_NUMBER, "identity"),
    "reg:gamma": (_EXPONENTIAL, "log"),
    "reg:linear": (_NUMBER, "identity"),
    "reg:logistic": (Link("logistic", "number"), "logit"),
    "reg:pseudohubererror": (_NUMBER, "identity"),
    "reg:quantileerror": (_NUMBER, "identity"),
    "reg:squarederror": (_NUMBER, "identity"),
    "reg:squaredlogerror": (_NUMBER, "identity"),
    "reg:tweedie": (_EXPONENTIAL, "log"),
    "survival:aft": (_EXPONENTIAL, "log"),
    "survival:cox": (_EXPONENTIAL, "log"),
}


def read_xgboost_document(data: bytes, limits: JsonLimits | None = None) -> ModelDocument:
    """Return the document of a model file. Raise InvalidModel, with the path, if it cannot be scored."""
    if data[:4] in (b"binf", b"bs64"):
        message = "XGBoost's old binary format is not supported; save the model as .json or .ubj"
        raise InvalidModel(message, KeyOrigin("byte 0", 0))
    root = read_json(data, limits)
    version = _read_version(root.get("version"))
    learner = root.get("learner")
    parameters = learner.get("learner_model_param")
    link, base_function = _read_objective(learner.get("objective").get("name"))
    outputs = _read_outputs(parameters)
    _check_outputs(link, outputs, learner)
    features = _read_features(learner, parameters.get("num_feature").integer(0, MOST_FEATURES))
    model, weight_drop = _find_model(learner.get("gradient_booster"))
    form = BoosterForm(
        trees=_read_trees(model, weight_drop, len(features), outputs),
        features=add_categories(features, model.find("cats")),
        bases=_read_bases(parameters.get("base_score"), outputs, base_function),
        link=link,
        is_single=True,
        divisor=1,
        zero=0.0,
        origin=learner.origin,
    )
    return build_document(form, version)


# -- The learner ------------------------------------------------------------------------------------------------------


def _read_version(value: JsonValue) -> str:
    numbers = value.integers(3)
    if not 1 <= numbers[0] <= 3:
        value.refuse(f"files of XGBoost {numbers[0]} are not supported, those of 1 to 3 are; export with one of them")
    return ".".join(map(str, numbers))


def _read_objective(name: JsonValue) -> tuple[Link, str]:
    objective = name.string()
    if objective not in OBJECTIVES:
        name.refuse(f"objective {quote(objective, 80)} is not supported; supported are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[objective]


def _read_outputs(parameters: JsonValue) -> int:
    classes = parameters.get("num_class").integer(0, MOST_OUTPUTS)
    target = parameters.find("num_target")
    targets = 1 if target is None else target.integer(0, MOST_OUTPUTS)
    if classes > 1 and targets > 1:
        parameters.refuse("several targets with classes are not supported; train a model for each target")
    return max(classes, targets, 1)


def _check_outputs(link: Link, outputs: int, learner: JsonValue) -> None:
    is_multiclass = link.name in ("softmax", "argmax")
    if is_multiclass and outputs < 2:
        learner.get("learner_model_param").refuse("the objective is of several classes, but num_class is below 2")
    if not is_multiclass and link.result != "number" and outputs > 1:
        learner.get("learner_model_param").refuse(
            "several targets of classes are not supported; train a model for each"
        )


def _read_features(learner: JsonValue, count: int) -> tuple[Feature, ...]:
    stored = learner.find("feature_names")
    names = () if stored is None else stored.strings()
    if stored is not None and names and len(names) != count:
        stored.refuse(f"expected {count} names, got {len(names)}; export the model again")
    check_names(names, learner.origin)
    return tuple(Feature(name) for name in names or (f"f{index}" for index in range(count)))


def _read_bases(value: JsonValue, outputs: int, function: str) -> tuple[float, ...]:
    """Return the margins of base scores: one for all outputs, or one for each since version 3.1."""
    try:
        parsed = json.loads(value.string())
    except ValueError:
        parsed = None
    scores = parsed if isinstance(parsed, list) else [parsed]
    if len(scores) not in (1, outputs) or not all(isinstance(score, int | float) for score in scores):
        value.refuse(f"expected {outputs} numbers, got {abbreviate(value.value)}; export the model again")
    margins = [_convert_base(value, score, function) for score in scores]
    return tuple(margins * outputs if len(margins) == 1 else margins)


def _convert_base(value: JsonValue, score: float, function: str) -> float:
    single = round_single(score)
    if function != "identity" and not 0 < single < (1 if function == "logit" else math.inf):
        value.refuse(f"base score {score} is out of the range of the objective; train again")
    if not math.isfinite(single):
        value.refuse("the base score is not finite; train again")
    if function == "logit":
        return -log_single(round_single(round_single(1.0 / single) - 1.0))
    return log_single(single) if function == "log" else single


# -- The booster ------------------------------------------------------------------------------------------------------


def _find_model(booster: JsonValue) -> tuple[JsonValue, JsonValue | None]:
    """Return the trees' model, and the weights of the trees of DART."""
    name = booster.get("name").string()
    match name:
        case "gbtree":
            return booster.get("model"), None
        case "dart":
            return booster.get("gbtree").get("model"), booster.get("weight_drop")
    booster.get("name").refuse(f"booster {quote(name, 80)} is not supported; use gbtree or dart")


def _read_trees(
    model: JsonValue, weight_drop: JsonValue | None, features: int, outputs: int
) -> tuple[BoostedTree, ...]:
    trees = model.get("trees")
    count = model.get("gbtree_model_param").get("num_trees").integer(0, MOST_NODES)
    values = list(trees.items())
    if len(values) != count:
        trees.refuse(f"expected {count} trees, got {len(values)}; export the model again")
    groups = model.get("tree_info")
    weights = [1.0] * count if weight_drop is None else weight_drop.numbers(count)
    result: list[BoostedTree] = []
    nodes = 0
    for value, group, weight in zip(values, groups.integers(count), weights, strict=True):
        if not 0 <= group < outputs:
            groups.refuse(f"tree {len(result)} is of output {group}, expected 0 to {outputs - 1}")
        result.append(BoostedTree(read_tree(value, features), group, round_single(weight), value.origin))
        nodes += len(result[-1].nodes)
        if nodes > MOST_NODES:
            trees.refuse(f"more than {MOST_NODES} nodes; train a smaller model")
    return tuple(result)
