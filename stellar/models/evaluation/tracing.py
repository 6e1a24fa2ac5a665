"""Steps of a score, for its explanation: the nodes of trees, and the terms of sums, that a record reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stellar.models.errors import Origin
from stellar.models.forms.bodies import Term, TreeForm, TreeNode
from stellar.models.forms.predicates import Always, Combination, FieldComparison, Predicate

_SYMBOLS = {
    "equal": "=",
    "notEqual": "≠",
    "lessThan": "<",
    "lessOrEqual": "≤",
    "greaterThan": ">",
    "greaterOrEqual": "≥",
}


@dataclass(frozen=True, slots=True)
class ScoreStep:
    """A step of a score.

    origin: the element of the document
    description: the predicate of a node, or the term of a sum
    value: score of the node, or what the term adds to the sum
    """

    origin: Origin
    description: str
    value: Any

    def __str__(self) -> str:
        return f"{self.origin}: {self.description} → {self.value}"


def describe_predicate(form: Predicate) -> str:
    """Return a predicate as a formula."""
    match form:
        case Always():
            return "true" if form.value else "false"
        case FieldComparison():
            if form.value is None:
                return f"{form.field} is {'missing' if form.operator == 'isMissing' else 'not missing'}"
            return f"{form.field} {_SYMBOLS[form.operator]} {form.value}"
        case Combination():
            return f" {form.operator} ".join(f"({describe_predicate(inner)})" for inner in form.predicates)
    return f"{form.field} {'not in' if form.negated else 'in'} {{{', '.join(form.values)}}}"


def describe_term(form: Term) -> str:
    """Return a term as a formula."""
    if form.category is not None:
        return f"{form.coefficient} if {form.factors[0][0]} = {form.category}"
    factors = (name if exponent == 1 else f"{name}^{exponent:g}" for name, exponent in form.factors)
    return " · ".join([str(form.coefficient), *factors])


def trace_path(form: TreeForm, last: TreeNode) -> list[ScoreStep]:
    """Return the steps from the root of a tree to a node."""
    parents = {child: index for index, node in enumerate(form.nodes) for child in node.children}
    index = next(index for index, node in enumerate(form.nodes) if node is last)
    path = [index]
    while (index := parents.get(index, -1)) >= 0:
        path.append(index)
    nodes = [form.nodes[index] for index in reversed(path)]
    return [ScoreStep(node.origin, describe_predicate(node.predicate), node.score) for node in nodes]
