"""Association rules: those that apply to the items of a record, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stellar.models.errors import InvalidField
from stellar.models.evaluation.frames import Frame
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions
from stellar.models.forms.bodies import AssociationForm, AssociationRule
from stellar.models.forms.fields import OutputField
from stellar.models.values import describe, to_string


class MatchedRules:
    """The rules of a model, and the items of a record."""

    def __init__(self, rules: Sequence[AssociationRule], items: frozenset[str]) -> None:
        self._rules = rules
        self._items = items

    def find(self, algorithm: str) -> Iterable[AssociationRule]:
        """Yield the rules that an algorithm selects."""
        for rule in self._rules:
            if not rule.antecedent <= self._items:
                continue
            has_consequent = rule.consequent <= self._items
            if algorithm == "recommendation" or (algorithm == "ruleAssociation") is has_consequent:
                yield rule


def select_rules(matched: MatchedRules, form: OutputField) -> Any:
    """Return the value of a rule by its rank, or of all rules up to the rank in a list."""
    rules = list(matched.find(form.algorithm))
    basis = form.rank_basis
    rules.sort(key=lambda rule: rule.values[basis] or 0.0, reverse=form.rank_order == "descending")
    if form.is_multi_valued:
        return [_read_value(rule, form.rule_feature) for rule in rules[: form.rank]]
    if not 1 <= form.rank <= len(rules):
        return None
    return _read_value(rules[form.rank - 1], form.rule_feature)


def _read_value(rule: AssociationRule, feature: str) -> Any:
    match feature:
        case "antecedent":
            return sorted(rule.antecedent)
        case "consequent":
            return sorted(rule.consequent)
        case "ruleId":
            return rule.id
        case "rule":
            return f"{{{','.join(sorted(rule.antecedent))}}}->{{{','.join(sorted(rule.consequent))}}}"
    return rule.values[feature]


def compile_association(form: AssociationForm, field: str, target: str | None) -> BodyEvaluation:
    """Return the evaluation of an association model.

    field: with the list of items of a record
    """

    def evaluate(frame: Frame) -> Predictions:
        items = frame.get(field)
        if items is None:
            raise InvalidField(field, "it is missing; set it to a list of items")
        if not isinstance(items, list):
            raise InvalidField(field, f"expected a list of items, got {describe(items)}")
        present = frozenset(to_string(item) for item in items if item is not None)
        return {target: Prediction(None, rules=MatchedRules(form.rules, present))}

    return evaluate
