"""Trees and ensembles that have a compiled function, and what their leaves and segments add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stellar.models.compiled.fields import NotCompiled
from stellar.models.evaluation.boosting_links import sum_in_order
from stellar.models.evaluation.model import is_input
from stellar.models.evaluation.targets import TargetField, find_targets
from stellar.models.forms.bodies import EnsembleForm, SegmentForm, TreeForm, TreeNode
from stellar.models.forms.fields import DataField
from stellar.models.forms.model import ModelForm
from stellar.models.forms.predicates import Always

MOST_NODES = 200_000


def count_nodes(model: ModelForm) -> int:
    """Return the number of nodes of the trees of a model."""
    match model.body:
        case TreeForm():
            return len(model.body.nodes)
        case EnsembleForm():
            return sum(count_nodes(segment.model) for segment in model.body.segments)
    return 0


# -- Leaves -----------------------------------------------------------------------------------------------------------


def read_score(node: TreeNode) -> float:
    """Return the number of a leaf."""
    if node.score is None:
        raise NotCompiled
    return float(node.score)


def read_shares(node: TreeNode) -> list[float]:
    """Return the shares of a node's categories."""
    if not node.shares:
        raise NotCompiled
    if all(share.probability is not None for share in node.shares):
        return [share.probability or 0.0 for share in node.shares]
    total = sum(share.count for share in node.shares)
    # A count of 0 has the share 0.0 and not -0.0, even if the total is negative
    return [(share.count / total or 0.0) if total else 0.0 for share in node.shares]


def find_categories(form: TreeForm, target: TargetField) -> tuple[Any, ...]:
    """Return the categories of a tree's leaves. Raise NotCompiled unless all have the same in the same order."""
    values = {tuple(share.value for share in node.shares) for node in form.nodes if node.shares}
    if len(values) != 1:
        raise NotCompiled
    (categories,) = values
    return tuple(target.parse(category, form.origin) for category in categories)


# -- Segments ---------------------------------------------------------------------------------------------------------


def check_segment(segment: SegmentForm) -> None:
    """Raise NotCompiled for a segment that is for some records alone, or that changes extreme values."""
    if not (isinstance(segment.predicate, Always) and segment.predicate.value):
        raise NotCompiled
    if any(field.outliers != "asIs" for field in segment.model.fields if is_input(field)):
        raise NotCompiled


def list_trees(form: EnsembleForm, model: ModelForm, fields: Mapping[str, DataField]) -> list[TreeForm]:
    """Return the trees of an ensemble.

    Raise NotCompiled if it has other models, or if they have fields of their own.
    """
    trees = []
    for segment in form.segments:
        check_segment(segment)
        inner = segment.model
        if inner.is_single or inner.outputs or inner.targets or inner.derived or inner.function != model.function:
            raise NotCompiled
        if not isinstance(inner.body, TreeForm):
            raise NotCompiled
        _check_number(inner, fields)
        trees.append(inner.body)
    return trees


def _check_number(model: ModelForm, fields: Mapping[str, DataField]) -> None:
    """Raise NotCompiled for a number that the target of its segment converts."""
    names = [field.name for field in model.fields if not is_input(field)]
    types = {fields[name].type.data for name in names if name in fields}
    if model.function != "classification" and not types <= {"double"}:
        raise NotCompiled


def list_weights(form: EnsembleForm) -> tuple[list[float], float]:
    """Return the weights of the segments, and the divisor of an average."""
    if form.method.startswith("weighted"):
        weights = [segment.weight for segment in form.segments]
        return weights, sum_in_order(weights)
    return [1.0] * len(form.segments), float(len(form.segments))


def find_segment_target(form: EnsembleForm, fields: Mapping[str, DataField], target: TargetField) -> TargetField:
    """Return the target of the segments of a classification."""
    return find_targets(form.segments[0].model, dict(fields), target.category_type)[0]


def find_common_categories(trees: Sequence[TreeForm], target: TargetField) -> tuple[Any, ...]:
    """Return the categories of all trees. Raise NotCompiled if they differ."""
    categories = find_categories(trees[0], target)
    if any(find_categories(tree, target) != categories for tree in trees):
        raise NotCompiled
    return categories
