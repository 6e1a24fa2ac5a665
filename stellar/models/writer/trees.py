"""Elements of predicates, trees, rule sets and scorecards."""

from __future__ import annotations

from stellar.models.forms.bodies import (
    AttributeForm,
    Characteristic,
    CompoundRule,
    RuleSetForm,
    ScorecardForm,
    ScoreShare,
    SimpleRule,
    TreeForm,
    TreeNode,
)
from stellar.models.forms.predicates import Always, FieldComparison, Predicate, SetMembership
from stellar.models.pmml.xml import Element
from stellar.models.writer.elements import build, build_array, unless
from stellar.models.writer.expressions import write_expression


def write_predicate(form: Predicate) -> Element:
    """Return the element of a predicate."""
    match form:
        case Always():
            return build("True" if form.value else "False")
        case FieldComparison():
            return build("SimplePredicate", field=form.field, operator=form.operator, value=form.value)
        case SetMembership():
            operator = "isNotIn" if form.negated else "isIn"
            values = build_array(form.values, "string")
            return build("SimpleSetPredicate", values, field=form.field, booleanOperator=operator)
    return build("CompoundPredicate", *map(write_predicate, form.predicates), booleanOperator=form.operator)


def write_tree(form: TreeForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a TreeModel."""
    nodes = [_write_node(node) for node in form.nodes]
    for node, element in zip(form.nodes, nodes, strict=True):
        element.children.extend(nodes[index] for index in node.children)
    return nodes[:1], {
        "missingValueStrategy": unless(form.missing, "none"),
        "missingValuePenalty": unless(form.penalty, 1.0),
        "noTrueChildStrategy": unless(form.no_true_child, "returnNullPrediction"),
        "splitCharacteristic": _find_characteristic(form),
    }


def _find_characteristic(form: TreeForm) -> str:
    is_binary = all(len(node.children) in (0, 2) for node in form.nodes)
    return "binarySplit" if is_binary else "multiSplit"


def _write_node(form: TreeNode) -> Element:
    return build(
        "Node",
        write_predicate(form.predicate),
        *map(_write_share, form.shares),
        id=form.id,
        score=form.score,
        recordCount=form.count,
        defaultChild=form.default_child,
    )


def _write_share(form: ScoreShare) -> Element:
    return build(
        "ScoreDistribution",
        value=form.value,
        recordCount=form.count,
        confidence=form.confidence,
        probability=form.probability,
    )


# -- Rule sets --------------------------------------------------------------------------------------------------------


def write_rule_set(form: RuleSetForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children of a RuleSetModel."""
    rules = build(
        "RuleSet",
        *(build("RuleSelectionMethod", criterion=criterion) for criterion in form.criteria),
        *map(_write_rule, form.rules),
        defaultScore=form.default_score,
        defaultConfidence=form.default_confidence,
    )
    return [rules], {}


def _write_rule(form: SimpleRule | CompoundRule) -> Element:
    predicate = write_predicate(form.predicate)
    if isinstance(form, CompoundRule):
        return build("CompoundRule", predicate, *map(_write_rule, form.rules))
    return build(
        "SimpleRule",
        predicate,
        id=form.id,
        score=form.score,
        confidence=unless(form.confidence, 1.0),
        weight=unless(form.weight, 1.0),
    )


# -- Scorecards -------------------------------------------------------------------------------------------------------


def write_scorecard(form: ScorecardForm) -> tuple[list[Element], dict[str, str | float | None]]:
    """Return the children and attributes of a Scorecard."""
    characteristics = build("Characteristics", *map(_write_characteristic, form.characteristics))
    return [characteristics], {
        "initialScore": unless(form.initial, 0.0),
        "useReasonCodes": unless(form.uses_reasons, True),
        "reasonCodeAlgorithm": unless(form.algorithm, "pointsBelow"),
        "baselineScore": form.baseline,
    }


def _write_characteristic(form: Characteristic) -> Element:
    attributes = map(_write_attribute, form.attributes)
    return build("Characteristic", *attributes, name=form.name, reasonCode=form.reason, baselineScore=form.baseline)


def _write_attribute(form: AttributeForm) -> Element:
    score = None if form.expression is None else build("ComplexPartialScore", write_expression(form.expression))
    return build("Attribute", write_predicate(form.predicate), score, reasonCode=form.reason, partialScore=form.score)
