"""Evaluation of rule sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.predicates import Test, compile_predicate
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import CompoundRule, RuleSetForm, SimpleRule

# A rule that applies: the rule and its category
Hit = tuple[SimpleRule, Any]
Match = Callable[[Frame], Iterator[Hit]]


def compile_rule_set(form: RuleSetForm, target: TargetField, scope: FieldScope) -> BodyEvaluation:
    """Return the evaluation of a RuleSetModel. The first criterion is used, as by JPMML."""
    match = _compile_rules(form.rules, target, scope)
    select = SELECTIONS[form.criteria[0]]
    default = None if form.default_score is None else target.parse(form.default_score, form.origin)
    confidence = 1.0 if form.default_confidence is None else form.default_confidence

    def evaluate(frame: Frame) -> Predictions:
        hits = list(match(frame))
        if hits:
            return {target.name: select(hits)}
        if default is None:
            return {target.name: Prediction(None)}
        return {target.name: Prediction(default, confidences={default: confidence}, entities=(None,))}

    return evaluate


def _compile_rules(rules: tuple[SimpleRule | CompoundRule, ...], target: TargetField, scope: FieldScope) -> Match:
    matches = [_compile_rule(rule, target, scope) for rule in rules]

    def match(frame: Frame) -> Iterator[Hit]:
        for inner in matches:
            yield from inner(frame)

    return match


def _compile_rule(rule: SimpleRule | CompoundRule, target: TargetField, scope: FieldScope) -> Match:
    test: Test = compile_predicate(rule.predicate, scope)
    if isinstance(rule, SimpleRule):
        hit = (rule, target.parse(rule.score, rule.origin))
        return lambda frame: iter((hit,) if test(frame) else ())
    inner = _compile_rules(rule.rules, target, scope)
    return lambda frame: inner(frame) if test(frame) else iter(())


def _select_first(hits: list[Hit]) -> Prediction:
    rule, category = hits[0]
    confidences = {other: later.confidence for later, other in reversed(hits)}
    return Prediction(category, confidences=confidences, entities=(rule.id,))


def _find_heaviest(hits: list[Hit]) -> dict[Any, SimpleRule]:
    """Return the rule with the largest weight by category."""
    heaviest: dict[Any, SimpleRule] = {}
    for rule, category in hits:
        if category not in heaviest or rule.weight > heaviest[category].weight:
            heaviest[category] = rule
    return heaviest


def _select_heaviest(hits: list[Hit]) -> Prediction:
    heaviest = _find_heaviest(hits)
    winner = max(heaviest, key=lambda category: heaviest[category].weight)
    confidences = {category: rule.confidence for category, rule in heaviest.items()}
    return Prediction(winner, confidences=confidences, entities=(heaviest[winner].id,))


def _select_by_sum(hits: list[Hit]) -> Prediction:
    """Return the category with the largest sum of weights; confidences are the mean over all rules that apply."""
    totals: dict[Any, float] = {}
    for rule, category in hits:
        totals[category] = totals.get(category, 0.0) + rule.weight
    winner = max(totals, key=totals.__getitem__)
    confidences = {category: total / len(hits) for category, total in totals.items()}
    return Prediction(winner, confidences=confidences, entities=(_find_heaviest(hits)[winner].id,))


SELECTIONS: dict[str, Callable[[list[Hit]], Prediction]] = {
    "firstHit": _select_first,
    "weightedMax": _select_heaviest,
    "weightedSum": _select_by_sum,
}
