"""Elements of predicates."""

from __future__ import annotations

from stellar.models.errors import InvalidModel
from stellar.models.forms.predicates import Always, Combination, FieldComparison, Predicate, SetMembership
from stellar.models.pmml.attributes import choice, find_required, read_array, required
from stellar.models.pmml.xml import Element

NAMES = ("SimplePredicate", "SimpleSetPredicate", "CompoundPredicate", "True", "False")
DEEPEST = 100
COMPARISONS = ("equal", "notEqual", "lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual")

OPERATORS = (*COMPARISONS, "isMissing", "isNotMissing")


def find_predicate(element: Element) -> Predicate:
    """Return the predicate of an element."""
    return read_predicate(find_required(element, *NAMES))


def read_predicate(element: Element, depth: int = 0) -> Predicate:
    """Return a predicate."""
    if depth > DEEPEST:
        raise InvalidModel(f"predicates are nested deeper than {DEEPEST}", element.origin)
    match element.name:
        case "True" | "False":
            return Always(element.name == "True", element.origin)
        case "SimplePredicate":
            return _read_comparison(element)
        case "SimpleSetPredicate":
            negated = choice(element, "booleanOperator", ("isIn", "isNotIn")) == "isNotIn"
            values = read_array(find_required(element, "Array"))
            return SetMembership(required(element, "field"), values, negated, element.origin)
    return _read_combination(element, depth)


def _read_comparison(element: Element) -> FieldComparison:
    operator = choice(element, "operator", OPERATORS)
    value = required(element, "value") if operator in COMPARISONS else None
    return FieldComparison(required(element, "field"), operator, value, element.origin)


def _read_combination(element: Element, depth: int) -> Combination:
    operator = choice(element, "booleanOperator", ("and", "or", "xor", "surrogate"))
    predicates = tuple(read_predicate(child, depth + 1) for child in element.children if child.name in NAMES)
    if len(predicates) < 2:
        raise InvalidModel("expected two predicates or more", element.origin)
    return Combination(operator, predicates, element.origin)
