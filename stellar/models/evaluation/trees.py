"""Evaluation of trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stellar.models.errors import InvalidModel, NotScored, Origin
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.predicates import Test, compile_predicate
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, find_winner
from stellar.models.evaluation.targets import TargetField
from stellar.models.evaluation.tracing import trace_path
from stellar.models.forms.bodies import TreeForm, TreeNode
from stellar.models.forms.model import ModelForm
from stellar.models.forms.predicates import Combination, Predicate
from stellar.models.values import identity, round_single
from stellar.util.abbreviate import quote


@dataclass(slots=True)
class CompiledNode:
    """A node: its test, children and prediction.

    primary: the first of surrogate predicates; each record for which it is unknown counts as a missing level
    """

    test: Test
    primary: Test | None
    children: list[CompiledNode]
    default: CompiledNode | None
    form: TreeNode
    id: str
    score: Any = None
    shares: dict[Any, float] | None = None
    confidences: dict[Any, float] | None = None
    predictions: Predictions | None = None


# -- Compilation ------------------------------------------------------------------------------------------------------


def compile_tree(form: TreeForm, model: ModelForm, target: TargetField, scope: FieldScope) -> BodyEvaluation:
    """Return the evaluation of a TreeModel."""
    nodes = [
        CompiledNode(
            compile_predicate(node.predicate, scope),
            _compile_primary(node.predicate, scope) if form.penalty != 1 else None,
            [],
            None,
            node,
            node.id or str(index),
        )
        for index, node in enumerate(form.nodes, 1)
    ]
    to_width = round_single if model.is_single else identity
    is_classification = model.function == "classification"
    parse = _memoize_categories(target)
    for node in nodes:
        node.children = [nodes[index] for index in node.form.children]
        node.default = _find_default(node, form)
        if is_classification:
            _set_shares(node, parse, to_width)
        elif node.form.score is not None:
            node.score = parse_constant(node.form.score, "double", node.form.origin)
            node.score = to_width(node.score)
    predict = _predict_category if is_classification else _predict_number
    return _evaluate_tree(form, nodes[0], target.name, predict)


def _compile_primary(predicate: Predicate, scope: FieldScope) -> Test | None:
    if isinstance(predicate, Combination) and predicate.operator == "surrogate":
        return compile_predicate(predicate.predicates[0], scope)
    return None


def _find_default(node: CompiledNode, form: TreeForm) -> CompiledNode | None:
    if node.form.default_child is None or form.missing != "defaultChild":
        return None
    for child in node.children:
        if child.form.id == node.form.default_child:
            return child
    raise InvalidModel(f"defaultChild {quote(node.form.default_child, 80)} is not a child", node.form.origin)


def _memoize_categories(target: TargetField) -> Callable[[str, Origin], Any]:
    """Return a function that parses each category once."""
    known: dict[str, Any] = {}

    def parse(category: str, origin: Origin) -> Any:
        if category not in known:
            known[category] = target.parse(category, origin)
        return known[category]

    return parse


def _set_shares(node: CompiledNode, parse: Callable[[str, Origin], Any], to_width: Callable[[float], float]) -> None:
    form = node.form
    if form.score is not None:
        node.score = parse(form.score, form.origin)
    if not form.shares:
        return
    names = [parse(share.value, form.origin) for share in form.shares]
    total = sum([share.count for share in form.shares])
    has_probabilities = None not in [share.probability for share in form.shares]
    node.shares, node.confidences = {}, {}
    for name, share in zip(names, form.shares, strict=True):
        probability = share.probability if has_probabilities else share.count / total if total else 0.0
        node.shares[name] = to_width(probability or 0.0)
        if share.confidence is not None:
            node.confidences[name] = to_width(share.confidence)
    if form.score is None:
        node.score = find_winner(node.shares)


# -- Evaluation -------------------------------------------------------------------------------------------------------


Search = Callable[[Frame], tuple[CompiledNode | None, int]]


def _evaluate_tree(
    form: TreeForm, root: CompiledNode, target: str | None, predict: Callable[[CompiledNode, float], Prediction]
) -> BodyEvaluation:
    search = compile_search(form, root)
    penalty = form.penalty

    def evaluate(frame: Frame) -> Predictions:
        node, missing_levels = search(frame)
        if node is not None and frame.steps is not None:
            frame.steps.extend(trace_path(form, node.form))
        if node is None:
            return {target: Prediction(None)}
        if missing_levels:
            return {target: predict(node, penalty**missing_levels)}
        if node.predictions is None:
            node.predictions = {target: predict(node, 1.0)}
        return node.predictions

    return evaluate


def compile_search(form: TreeForm, root: CompiledNode) -> Search:
    """Return a function that finds the node of a record, and the number of unknown predicates on its path."""
    returns_last = form.no_true_child == "returnLastPrediction"
    missing = form.missing

    def search(frame: Frame) -> tuple[CompiledNode | None, int]:
        if not root.test(frame):
            return None, 0
        node, levels = root, 0
        while node.children:
            chosen = None
            for child in node.children:
                outcome = child.test(frame)
                if child.primary is not None and outcome is not None and child.primary(frame) is None:
                    levels += 1
                if outcome:
                    chosen = child
                    break
                if outcome is None and missing != "none":
                    if missing == "nullPrediction":
                        return None, levels
                    if missing == "lastPrediction":
                        return find_scored(node), levels
                    chosen, levels = choose_default(node, missing), levels + 1
                    break
            if chosen is None:
                return (find_scored(node) if returns_last else None), levels
            node = chosen
        return node, levels

    return search


def find_scored(node: CompiledNode) -> CompiledNode | None:
    """Return a node whose prediction is the last one of a record, None if it has no score."""
    return None if node.form.score is None else node


def choose_default(node: CompiledNode, strategy: str) -> CompiledNode:
    """Return the child for a predicate that is unknown."""
    if strategy != "defaultChild":
        raise NotScored(
            f"{node.form.origin}: missingValueStrategy {quote(strategy)} is not supported for a record that lacks a "
            "field"
        )
    if node.default is None:
        raise NotScored(f"{node.form.origin}: the node has no defaultChild for a record that lacks a field")
    return node.default


def _predict_number(node: CompiledNode, _: float) -> Prediction:
    if node.score is None:
        raise NotScored(f"{node.form.origin}: the node has no score")
    return Prediction(node.score, entities=(node.id,))


def _predict_category(node: CompiledNode, penalty: float) -> Prediction:
    if node.score is None:
        raise NotScored(f"{node.form.origin}: the node has no score")
    confidences = node.confidences
    if confidences and penalty != 1.0:
        confidences = {name: value * penalty for name, value in confidences.items()}
    return Prediction(
        node.score,
        probabilities=node.shares,
        confidences=confidences or {},
        entities=(node.id,),
    )
