"""PMML documents of trained estimators of scikit-learn with two classes, for the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Leaf = Callable[[Any], str]


def write_document(estimator: Any, features: list[str]) -> str:
    """Return the document of a logistic regression, a tree, a random forest or gradient boosted trees."""
    fields = "".join(f'<DataField name="{name}" optype="continuous" dataType="double"/>' for name in features)
    target = (
        '<DataField name="y" optype="categorical" dataType="integer"><Value value="0"/><Value value="1"/></DataField>'
    )
    model = _WRITERS[type(estimator).__name__](estimator, features)
    return f'<PMML version="4.4"><DataDictionary>{fields}{target}</DataDictionary>{model}</PMML>'


def _write_schema(features: Iterable[str], target: str = '<MiningField name="y" usageType="target"/>') -> str:
    inputs = "".join(f'<MiningField name="{name}"/>' for name in features)
    return f"<MiningSchema>{inputs}{target}</MiningSchema>"


def _write_regression(estimator: Any, features: list[str]) -> str:
    terms = "".join(
        f'<NumericPredictor name="{name}" coefficient="{float(coefficient)!r}"/>'
        for name, coefficient in zip(features, estimator.coef_[0], strict=True)
    )
    return _write_logit(_write_schema(features), f"{float(estimator.intercept_[0])!r}", terms)


def _write_logit(schema: str, intercept: str, terms: str) -> str:
    tables = f'<RegressionTable targetCategory="1" intercept="{intercept}">{terms}</RegressionTable>'
    tables += '<RegressionTable targetCategory="0" intercept="0"/>'
    attributes = 'functionName="classification" normalizationMethod="logit"'
    return f"<RegressionModel {attributes}>{schema}{tables}</RegressionModel>"


def _write_nodes(tree: Any, features: list[str], node: int, predicate: str, write_leaf: Leaf) -> str:
    left, right = int(tree.children_left[node]), int(tree.children_right[node])
    if left < 0:
        return write_leaf(tree.value[node][0]).replace("<True/>", predicate)
    name, threshold = features[int(tree.feature[node])], float(tree.threshold[node])
    children = "".join(
        _write_nodes(
            tree,
            features,
            child,
            f'<SimplePredicate field="{name}" operator="{operator}" value="{threshold!r}"/>',
            write_leaf,
        )
        for child, operator in ((left, "lessOrEqual"), (right, "greaterThan"))
    )
    return f"<Node>{predicate}{children}</Node>"


def _write_shares(shares: Any) -> str:
    distributions = "".join(
        f'<ScoreDistribution value="{category}" recordCount="{float(share)!r}"/>'
        for category, share in enumerate(shares)
    )
    return f'<Node score="{int(shares[1] > shares[0])}"><True/>{distributions}</Node>'


def _write_tree(estimator: Any, features: list[str]) -> str:
    nodes = _write_nodes(estimator.tree_, features, 0, "<True/>", _write_shares)
    attributes = 'functionName="classification" splitCharacteristic="binarySplit"'
    return f"<TreeModel {attributes}>{_write_schema(features)}{nodes}</TreeModel>"


def _write_forest(estimator: Any, features: list[str]) -> str:
    segments = "".join(f"<Segment><True/>{_write_tree(tree, features)}</Segment>" for tree in estimator.estimators_)
    return (
        f'<MiningModel functionName="classification">{_write_schema(features)}'
        f'<Segmentation multipleModelMethod="average">{segments}</Segmentation></MiningModel>'
    )


def _write_boosting(estimator: Any, features: list[str]) -> str:
    """A chain: the sum of the trees, then the logistic function of it."""
    schema = _write_schema(features, "")
    segments = "".join(
        f'<Segment><True/><TreeModel functionName="regression" splitCharacteristic="binarySplit">{schema}'
        + _write_nodes(
            tree.tree_, features, 0, "<True/>", lambda value: f'<Node score="{float(value[0])!r}"><True/></Node>'
        )
        + "</TreeModel></Segment>"
        for tree in estimator.estimators_[:, 0]
    )
    start = float(estimator._raw_predict_init([[0.0] * len(features)])[0, 0])
    target = f'<Targets><Target rescaleFactor="{estimator.learning_rate!r}" rescaleConstant="{start!r}"/></Targets>'
    output = (
        '<Output><OutputField name="sum" dataType="double" feature="predictedValue" isFinalResult="false"/></Output>'
    )
    trees = f'<Segmentation multipleModelMethod="sum">{segments}</Segmentation>'
    total = f'<MiningModel functionName="regression">{schema}{output}{target}{trees}</MiningModel>'
    logit = _write_logit(_write_schema(["sum"]), "0", '<NumericPredictor name="sum" coefficient="1"/>')
    chain = f"<Segment><True/>{total}</Segment><Segment><True/>{logit}</Segment>"
    return (
        f'<MiningModel functionName="classification">{_write_schema(features)}'
        f'<Segmentation multipleModelMethod="modelChain">{chain}</Segmentation></MiningModel>'
    )


_WRITERS: dict[str, Callable[[Any, list[str]], str]] = {
    "LogisticRegression": _write_regression,
    "DecisionTreeClassifier": _write_tree,
    "RandomForestClassifier": _write_forest,
    "GradientBoostingClassifier": _write_boosting,
}
