"""Elements of trees, rule sets and scorecards."""

from __future__ import annotations

from stellar.models.errors import InvalidModel
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
from stellar.models.pmml.attributes import boolean, choice, find_required, number, optional_number, required
from stellar.models.pmml.expressions import find_expression, read_expression
from stellar.models.pmml.predicates import DEEPEST, find_predicate
from stellar.models.pmml.xml import Element

MISSING = ("none", "lastPrediction", "nullPrediction", "defaultChild", "weightedConfidence", "aggregateNodes")


def read_tree(element: Element) -> TreeForm:
    """Return the tree of a TreeModel. Nodes are read in a loop, as trees may be deep."""
    elements: list[Element] = []
    children: list[list[int]] = []
    stack = [(find_required(element, "Node"), -1)]
    while stack:
        node, parent = stack.pop()
        if parent >= 0:
            children[parent].append(len(elements))
        stack.extend([(child, len(elements)) for child in reversed(node.children) if _is_node(child)])
        elements.append(node)
        children.append([])
    return TreeForm(
        tuple(_read_node(node, indexes) for node, indexes in zip(elements, children, strict=True)),
        choice(element, "missingValueStrategy", MISSING, "none"),
        number(element, "missingValuePenalty", 1.0),
        choice(
            element, "noTrueChildStrategy", ("returnNullPrediction", "returnLastPrediction"), "returnNullPrediction"
        ),
        element.origin,
    )


def _is_node(element: Element) -> bool:
    if element.name in ("Regression", "DecisionTree"):
        raise InvalidModel("embedded models are not supported", element.origin)
    return element.name == "Node"


def _read_node(element: Element, children: list[int]) -> TreeNode:
    return TreeNode(
        element.attributes.get("id"),
        element.attributes.get("score"),
        optional_number(element, "recordCount"),
        element.attributes.get("defaultChild"),
        find_predicate(element),
        tuple([_read_share(share) for share in element.children if share.name == "ScoreDistribution"]),
        tuple(children),
        element.origin,
    )


def _read_share(element: Element) -> ScoreShare:
    return ScoreShare(
        required(element, "value"),
        number(element, "recordCount"),
        optional_number(element, "confidence"),
        optional_number(element, "probability"),
    )


# -- Rule sets --------------------------------------------------------------------------------------------------------


def read_rule_set(element: Element) -> RuleSetForm:
    """Return the rules of a RuleSetModel."""
    rules = find_required(element, "RuleSet")
    criteria = tuple(
        choice(method, "criterion", ("firstHit", "weightedSum", "weightedMax"))
        for method in rules.find_all("RuleSelectionMethod")
    )
    if not criteria:
        raise InvalidModel("missing <RuleSelectionMethod>; add it", rules.origin)
    return RuleSetForm(
        _read_rules(rules, 0),
        criteria,
        rules.attributes.get("defaultScore"),
        optional_number(rules, "defaultConfidence"),
        rules.origin,
    )


def _read_rules(element: Element, depth: int) -> tuple[SimpleRule | CompoundRule, ...]:
    if depth > DEEPEST:
        raise InvalidModel(f"rules are nested deeper than {DEEPEST}", element.origin)
    return tuple(_read_rule(child, depth) for child in element.children if child.name in ("SimpleRule", "CompoundRule"))


def _read_rule(element: Element, depth: int) -> SimpleRule | CompoundRule:
    if element.name == "CompoundRule":
        return CompoundRule(find_predicate(element), _read_rules(element, depth + 1), element.origin)
    return SimpleRule(
        element.attributes.get("id"),
        find_predicate(element),
        required(element, "score"),
        number(element, "weight", 1.0),
        number(element, "confidence", 1.0),
        element.origin,
    )


# -- Scorecards -------------------------------------------------------------------------------------------------------


def read_scorecard(element: Element) -> ScorecardForm:
    """Return the characteristics of a Scorecard."""
    uses_reasons = bool(boolean(element, "useReasonCodes", True))
    characteristics = find_required(element, "Characteristics")
    return ScorecardForm(
        number(element, "initialScore", 0.0),
        uses_reasons,
        choice(element, "reasonCodeAlgorithm", ("pointsAbove", "pointsBelow"), "pointsBelow"),
        optional_number(element, "baselineScore"),
        tuple(_read_characteristic(child) for child in characteristics.find_all("Characteristic")),
        element.origin,
    )


def _read_characteristic(element: Element) -> Characteristic:
    return Characteristic(
        element.attributes.get("name"),
        optional_number(element, "baselineScore"),
        element.attributes.get("reasonCode"),
        tuple(_read_attribute(child) for child in element.find_all("Attribute")),
        element.origin,
    )


def _read_attribute(element: Element) -> AttributeForm:
    expression = None
    if (complex_score := element.find("ComplexPartialScore")) is not None:
        expression = read_expression(find_expression(complex_score))
    return AttributeForm(
        find_predicate(element),
        optional_number(element, "partialScore"),
        expression,
        element.attributes.get("reasonCode"),
        element.origin,
    )
