"""Explains the threat triage of a record: each rule with its values, and the aggregation of the scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from stellar.language.conversions import to_string
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Record, Report
from stellar.pipeline.stages.triage import RuleMatch, Triage, TriageRule, is_alert
from stellar.util.abbreviate import abbreviate_value
from stellar.util.text_trees import TreeBranch, draw_branches


@dataclass(frozen=True, slots=True)
class RuleExplanation:
    """The result of a rule for a record.

    variables: the values of the variables in its condition, score and reason; None for those that are missing
    match: its score and reason; None if the record does not match
    failures: the components that failed, with their errors
    """

    rule: TriageRule
    variables: Record
    match: RuleMatch | None
    failures: tuple[tuple[str, Exception], ...]

    @property
    def matches(self) -> bool | None:
        """True if the record matches; None if the condition or the score failed."""
        if self.match is not None:
            return True
        return None if self.failures else False


@dataclass(frozen=True, slots=True)
class TriageExplanation:
    """The triage of a record.

    is_alert: True for an alert; other records are not scored; None if the field is_alert is not a boolean
    rules: the results of all rules, in order; empty unless the record is an alert
    score: the aggregate of the scores; None if no rule matches
    result: the record after the stage
    reports: failures of the stage, and of functions that it calls
    """

    triage: Triage
    is_alert: bool | None
    rules: tuple[RuleExplanation, ...]
    score: float | None
    result: Record
    reports: tuple[Report, ...]

    @property
    def has_failures(self) -> bool:
        """True if anything failed."""
        return bool(self.reports) or any(rule.failures for rule in self.rules)


def select_triage(pipeline: Pipeline, config: SensorConfig) -> Pipeline:
    """Return a pipeline with the stage triage alone, which needs only the services that its rules call."""
    location = config.enrichment_location / "threatIntel" / "triageConfig"
    expressions = tuple(
        (where, expression)
        for where, expression in pipeline.expressions
        if where.file == location.file and where.path.startswith(location.path)
    )
    functions = frozenset().union(*(expression.functions for _, expression in expressions))
    stages = tuple((name, stage) for name, stage in pipeline.stages if name == "triage")
    return replace(pipeline, stages=stages, expressions=expressions, functions=functions, checks=())


def find_stage(pipeline: Pipeline) -> Triage:
    """Return the stage triage of a pipeline."""
    return next(stage for _, stage in pipeline.stages if isinstance(stage, Triage))


def explain_triage(triage: Triage, record: Record) -> TriageExplanation:
    """Return the triage of a record, which is that of a run, with the results of all rules."""
    context = RecordContext()
    before = RECORD_CONTEXT.set(context)
    try:
        alert = is_alert(record)
        if not alert:
            result = triage(record)
            return TriageExplanation(triage, alert, (), None, result, tuple(context.reports))
        record = {**record, "is_alert": "true"}
        rules = tuple(_explain_rules(triage, record))
        matches = [each.match for each in rules if each.match is not None]
        score = triage.compute_score(matches) if matches else None
        return TriageExplanation(
            triage, alert, rules, score, triage.add_matches(record, matches), tuple(context.reports)
        )
    finally:
        RECORD_CONTEXT.reset(before)


def _explain_rules(triage: Triage, record: Record) -> Iterator[RuleExplanation]:
    known = triage.list_variables(record)
    for rule in triage.rules:
        failures: list[tuple[str, Exception]] = []

        def fail(_: TriageRule, component: str, error: Exception, record: Record, found: Any = failures) -> None:
            found.append((component, error))

        match = triage.match_rule(rule, known, record, fail)
        variables = {name: known.get(name) for name in sorted(_list_names(rule)) if name in known or name != "_"}
        yield RuleExplanation(rule, variables, match, tuple(failures))


def _list_names(rule: TriageRule) -> set[str]:
    components = (rule.matches, rule.score, rule.reason)
    return {name for each in components for name in getattr(each, "variables", ())}


# -- Forms ------------------------------------------------------------------------------------------------------------


def draw_triage(explanation: TriageExplanation, origin: str) -> str:
    """Return an explanation as a tree: a branch for each rule, and one for the aggregation."""
    branches = [_draw_rule(each) for each in explanation.rules]
    branches += (TreeBranch(f"report: {_first_line(report.reason)}") for report in explanation.reports)
    return "\n".join([origin, *draw_branches([*branches, TreeBranch(_describe_score(explanation))])])


def _draw_rule(explanation: RuleExplanation) -> TreeBranch:
    rule, match = explanation.rule, explanation.match
    verdict = {True: "matches", False: "does not match", None: "failed"}[explanation.matches]
    lines = [rule.text] if rule.name else []
    lines += (f"{name} = {abbreviate_value(value)}" for name, value in explanation.variables.items())
    lines += (f"{component} failed: {_first_line(str(error))}" for component, error in explanation.failures)
    if match is not None:
        is_number = isinstance(rule.score, float)
        lines.append(
            f"score {_format(match.score)}" if is_number else f"score {rule.score_text} → {_format(match.score)}"
        )
    if match is not None and rule.reason is not None:
        lines.append(f"reason {rule.reason.source} → {abbreviate_value(match.reason, 200)}")
    return TreeBranch(f"rule {rule.name or rule.text}: {verdict}", tuple(map(TreeBranch, lines)))


def _describe_score(explanation: TriageExplanation) -> str:
    if explanation.is_alert is None:
        return "not scored: is_alert is not a boolean"
    if not explanation.is_alert:
        return "not scored: no alert; an alert has is_alert = true, or a field that begins with threatintels"
    if explanation.score is None:
        return "no rule matches, so the alert has no score"
    scores = ", ".join(_format(each.match.score) for each in explanation.rules if each.match is not None)
    return f"score {_format(explanation.score)}: {explanation.triage.aggregator} of {scores}"


def _format(number: float) -> str:
    return to_string(number)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def describe_triage(explanation: TriageExplanation) -> Record:
    """Return an explanation as a map for JSON."""
    return {
        "is_alert": explanation.is_alert,
        "rules": [_describe_rule(each) for each in explanation.rules],
        "aggregator": explanation.triage.aggregator,
        "aggregation_config": dict(explanation.triage.aggregation),
        "score": explanation.score,
        "reports": [report.reason for report in explanation.reports],
        "record": explanation.result,
    }


def _describe_rule(explanation: RuleExplanation) -> Record:
    rule, match = explanation.rule, explanation.match
    return {
        "name": rule.name,
        "comment": rule.comment,
        "rule": rule.text,
        "variables": explanation.variables,
        "matches": explanation.matches,
        "score_expression": rule.score_text,
        "score": None if match is None else match.score,
        "reason_expression": None if rule.reason is None else rule.reason.source,
        "reason": None if match is None else match.reason,
        "errors": {component: str(error) for component, error in explanation.failures},
    }
