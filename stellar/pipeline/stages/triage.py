"""Threat triage: matches alerts against rules, and aggregates the scores of the rules."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_boolean, to_double, to_string
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, merge_variables, shorten
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record, Report, Reporter
from stellar.util.abbreviate import quote
from stellar.util.cached_properties import cached_property
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.language.rule_set import RuleSet
    from stellar.pipeline.config.schema import RiskRule, ThreatIntelConfig

log = logging.getLogger(__name__)

MOST_SINGLE = 4  # rules that are evaluated one by one, in less time than together


# If a score is NaN, the result is NaN, as with max and min in Java
def _maximum(scores: Sequence[float]) -> float:
    if len(scores) == 1:
        return scores[0] if scores[0] > 0 or math.isnan(scores[0]) else 0.0
    return math.nan if any(map(math.isnan, scores)) else max(0.0, *scores)


def _minimum(scores: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, scores)) else min(scores)


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0


def _positive_mean(scores: Sequence[float]) -> float:
    return _mean([score for score in scores if score > 0])


AGGREGATORS: dict[str, Callable[[Sequence[float]], float]] = {
    "MAX": _maximum,
    "MIN": _minimum,
    "SUM": sum,
    "MEAN": _mean,
    "POSITIVE_MEAN": _positive_mean,
}


def aggregate(name: str, scores: Iterable[float], config: Mapping[str, Any]) -> float:
    """Return the aggregate of scores; 0 for no scores.

    name: a key of AGGREGATORS
    config: `aggregationConfig`; unless `negativeValuesTrump` is false, a negative score makes the result -infinity
    """
    return make_aggregate(name, config)([float(score) for score in scores])


def make_aggregate(name: str, config: Mapping[str, Any]) -> Callable[[Sequence[float]], float]:
    """Return a function that returns the aggregate of scores; see `aggregate`."""
    has_trumps = to_boolean(config.get("negativeValuesTrump")) is not False

    def aggregate_scores(scores: Sequence[float]) -> float:
        if not scores:
            return 0.0
        if has_trumps:
            for score in scores:
                if score < 0:
                    return -math.inf
        return float(AGGREGATORS[name](scores))

    return aggregate_scores


@dataclass(frozen=True, slots=True)
class TriageRule:
    """A compiled triage rule.

    text: the source of its condition
    score_text: the source of its score, which is written to the record
    score: a number, or an expression that returns one
    """

    text: str
    matches: Expression
    score_text: str
    score: float | Expression
    name: str | None = None
    comment: str | None = None
    reason: Expression | None = None

    @property
    def is_completed_purely(self) -> bool:
        """True if its score and reason call pure functions only."""
        return all(each.pure for each in (self.score, self.reason) if isinstance(each, Expression))

    def source_of(self, component: str) -> str | None:
        """Return the source of the condition, score or reason; None for a condition that serves as name of the rule."""
        match component:
            case "condition":
                return self.text if self.name else None
            case "score":
                return self.score_text
            case _:
                return self.reason.source if self.reason else None


def split_sections(rules: Iterable[TriageRule]) -> list[tuple[TriageRule, ...]]:
    """Split rules into sections within which all conditions can be evaluated before the scores and reasons.

    The order of evaluation may matter to functions that are not pure. A rule whose condition calls one is a section of
    its own, and one whose score or reason does ends its section.
    """
    from stellar.language.rule_set import can_join  # it loads the compiler

    sections: list[tuple[TriageRule, ...]] = []
    section: list[TriageRule] = []
    for rule in rules:
        joins = can_join(rule.matches)
        if not joins and section:
            sections.append(tuple(section))
            section = []
        section.append(rule)
        if not joins or not rule.is_completed_purely:
            sections.append(tuple(section))
            section = []
    return [*sections, tuple(section)] if section else sections


class RuleMatch(NamedTuple):
    """A rule that a record matches, with the score and the reason for that record."""

    rule: TriageRule
    score: float
    reason: str | None


# Receives a rule that fails, the component in which it does, the error and the record
FailRule = Callable[[TriageRule, str, Exception, Record], None]


@dataclass(frozen=True)
class Triage:
    """Adds the score and the matching rules to records that are alerts.

    A rule that fails is reported and skipped.
    """

    rules: tuple[TriageRule, ...]
    aggregator: str
    aggregation: Mapping[str, Any]
    defaults: tuple[Mapping[str, Any], ...]
    score_field: str
    level_field: str | None
    context: Context
    report: Reporter

    def __call__(self, record: Record) -> Record:
        alert = is_alert(record)
        if alert is None:
            message = (
                f"is_alert is {quote(to_string(record['is_alert']))}, which is not a boolean; the record is not scored"
            )
            self.report(Report(record, "triage", ValueError(message)))
            return record
        if not alert:
            is_marked = "is_alert" in record
            return {name: value for name, value in record.items() if name != "is_alert"} if is_marked else record
        record = {**record, "is_alert": "true"}
        return self.add_matches(record, self.match_rules(record))

    def score_alert(self, record: Record) -> None:
        """Add the score and the matching rules to an alert itself; reports have copies of it."""
        if matches := self.match_rules(record, self.report_copy):
            record |= self.make_fields(matches)

    def match_rules(self, record: Record, fail: FailRule | None = None) -> list[RuleMatch]:
        """Return the rules that a record matches, in their order.

        fail: receives failures; by default they are reported
        """
        known, fail = self.list_variables(record), fail or self._report_failure
        matches: list[RuleMatch | None] = []
        for rules, rule_set in self._sections:
            if rule_set is None:
                matches += [self.match_rule(rule, known, record, fail) for rule in rules]
            else:
                matches += self._match_together(rules, rule_set, known, record, fail)
        return [match for match in matches if match is not None]

    @cached_property
    def _sections(self) -> list[tuple[tuple[TriageRule, ...], RuleSet | None]]:
        """The rules in sections, in order; None for a section whose rules are evaluated one by one."""
        if len(self.rules) <= 1:
            return [(self.rules, None)]
        from stellar.language.rule_set import RuleSet  # see split_sections

        return [
            (rules, RuleSet(rule.matches for rule in rules) if len(rules) > MOST_SINGLE else None)
            for rules in split_sections(self.rules)
        ]

    def _match_together(
        self, rules: tuple[TriageRule, ...], rule_set: RuleSet, known: Record, record: Record, fail: FailRule
    ) -> Iterator[RuleMatch | None]:
        """Yield the matches of rules whose conditions are evaluated together."""
        numbers, failures = rule_set.find_matches(known, self.context)
        for number in sorted([*numbers, *failures]) if failures else numbers:
            if number in failures:
                fail(rules[number], "condition", failures[number], record)
            else:
                yield self.complete_match(rules[number], known, record, fail)

    def list_variables(self, record: Record) -> Record:
        """Return the variables of rules: the fields of a record, and the configured variables."""
        return merge_variables(record, self._configured) if self._configured else record

    @cached_property
    def _configured(self) -> Record:
        """The configured variables."""
        return merge_variables({}, *self.defaults)

    def add_matches(self, record: Record, matches: list[RuleMatch]) -> Record:
        """Return an alert with the fields of the rules that it matches."""
        return {**record, **self.make_fields(matches)} if matches else record

    def compute_score(self, matches: Iterable[RuleMatch]) -> float:
        """Return the aggregate score of a record that matches these rules."""
        return self._aggregate([each.score for each in matches])

    @cached_property
    def _aggregate(self) -> Callable[[Sequence[float]], float]:
        return make_aggregate(self.aggregator, self.aggregation)

    def match_rule(self, rule: TriageRule, known: Record, record: Record, fail: FailRule) -> RuleMatch | None:
        """Return the match of a rule; None if the record does not match it, or its condition or score fails.

        known: the variables, which `list_variables` returns
        fail: receives failures; a reason that fails does not prevent a match
        """
        try:
            if not rule.matches(known, self.context):
                return None
        except (StellarError, ValueError) as error:
            fail(rule, "condition", error, record)
            return None
        return self.complete_match(rule, known, record, fail)

    def complete_match(self, rule: TriageRule, known: Record, record: Record, fail: FailRule) -> RuleMatch | None:
        """Return the match of a rule whose condition is true; None if its score fails."""
        try:
            score = self._evaluate_score(rule, known)
        except (StellarError, ValueError) as error:
            fail(rule, "score", error, record)
            return None
        return RuleMatch(rule, score, self._evaluate_reason(rule, known, record, fail))

    def _evaluate_score(self, rule: TriageRule, known: Record) -> float:
        if not isinstance(rule.score, Expression):
            return rule.score
        value = rule.score(known, self.context)
        if (number := to_double(value)) is None:
            raise ValueError(f"expected a number, got {to_string(value)}")
        return number

    def _evaluate_reason(self, rule: TriageRule, known: Record, record: Record, fail: FailRule) -> str | None:
        """Return the reason; None for a rule without one, and if it fails, which is reported."""
        if rule.reason is None:
            return None
        try:
            reason = rule.reason(known, self.context)
        except StellarError as error:
            fail(rule, "reason", error, record)
            return None
        reason = _take_first(reason)
        return None if reason is None else to_string(reason)

    def _report_failure(self, rule: TriageRule, component: str, error: Exception, record: Record) -> None:
        subject = f"rule {quote(shorten(rule.name or rule.text))} failed in its {component}"
        if text := rule.source_of(component):
            subject += f" {quote(shorten(text))}"
        self.report(Report(record, "triage", error, subject))

    def report_copy(self, rule: TriageRule, component: str, error: Exception, record: Record) -> None:
        """Report the failure of a rule, with a copy of the record."""
        self._report_failure(rule, component, error, dict(record))

    def make_fields(self, matches: list[RuleMatch]) -> Record:
        """Return the fields that an alert gets for the rules that it matches."""
        score = self.compute_score(matches)
        result: Record = {self.score_field: score}
        if self.level_field:
            result[self.level_field] = int(score) if score.is_integer() else score
        for index, (rule, _, reason) in enumerate(matches):
            name, comment, score_text, reason_field = _name_fields(index)
            result[name] = rule.name
            result[comment] = rule.comment
            result[score_text] = rule.score_text
            result[reason_field] = reason
        return result


class RuleObserver(Protocol):
    """Counts the rules of a sensor that fail."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """The lock that is held while matches are counted."""

    def count_failure(self, sensor: str, rule: TriageRule, component: str) -> None:
        """Count the failure of a rule in one of its components."""


@dataclass(frozen=True)
class ObservedTriage(Triage):
    """A triage whose rules are counted.

    matches: the number of matches of each rule, a list of one integer, by the `id` of the rule
    """

    observer: RuleObserver
    sensor: str
    matches: Mapping[int, list[int]]

    def make_fields(self, matches: list[RuleMatch]) -> Record:
        """Return the fields of an alert, and count its rules."""
        counts = self.matches
        with self.observer.lock:
            for match in matches:
                counts[id(match[0])][0] += 1
        return super().make_fields(matches)

    def _report_failure(self, rule: TriageRule, component: str, error: Exception, record: Record) -> None:
        self.observer.count_failure(self.sensor, rule, component)
        super()._report_failure(rule, component, error, record)


@lru_cache(maxsize=1000)
def _name_fields(index: int) -> list[str]:
    """Return the names of the fields of the match at an index."""
    return [f"threat.triage.rules.{index}.{name}" for name in ("name", "comment", "score", "reason")]


def is_alert(record: Record) -> bool | None:
    """Return True if a record is an alert: by `is_alert`, or else by the fields of threat intelligence.

    None if `is_alert` is not a boolean in any accepted spelling.
    """
    if "is_alert" in record:
        value = _take_first(record["is_alert"])
        # As in Java, the string is not trimmed
        return to_boolean(value) if isinstance(value, str | bool | int) else None
    if THREAT_INTEL not in "\n".join(record):  # the usual case, found without a loop
        return False
    return any(name.startswith(THREAT_INTEL) and not name.endswith(".ts") for name in record)


THREAT_INTEL = "threatintels"


def _take_first(value: object) -> object:
    """Return the first element of a list, as Metron converts it to a single value, or the value."""
    return (value[0] if value else None) if isinstance(value, list) else value


def build_triage(
    config: ThreatIntelConfig, settings: Mapping[str, Any], location: SourceLocation, builder: BuildContext
) -> Triage:
    """Build the triage stage.

    settings: the map `configuration`, whose members are variables; they take precedence over the stage's own `config`
    location: the location of `threatIntel`

    Raises ConfigError for an unknown aggregator and for an invalid expression.
    """
    location = location / "triageConfig"
    aggregator = config.triage_config.aggregator
    builder.problems.attempt(lambda: _check_aggregator(aggregator, location / "aggregator"), None)
    rules: dict[str, TriageRule] = {}
    for key, rule in config.triage_config.risk_level_rules.items():
        here = location / "riskLevelRules" / key
        compiled = _rule(rule, here, builder)
        if rule.rule in rules:
            log.warning("%s: an earlier rule has the same condition, so this one has no effect", here / "rule")
        rules.setdefault(rule.rule, compiled)
    has_level = to_boolean(builder.settings.get("threat.triage.legacy.level")) is not False
    return Triage(
        tuple(rules.values()),
        aggregator,
        config.triage_config.aggregation_config,
        (settings, config.config),
        to_string(builder.settings.get("threat.triage.score.field") or "threat.triage.score"),
        "threat.triage.level" if has_level else None,
        builder.context,
        builder.report,
    )


def _check_aggregator(name: str, location: SourceLocation) -> None:
    if name not in AGGREGATORS:
        raise location.error(f"unknown aggregator {quote(name)}; {suggest_name(name, AGGREGATORS)}")


def _rule(config: RiskRule, location: SourceLocation, builder: BuildContext) -> TriageRule:
    score_text = to_string(config.score)
    return TriageRule(
        config.rule,
        builder.predicate(config.rule, location / "rule"),
        score_text,
        builder.expression(score_text, location / "score") if isinstance(config.score, str) else float(config.score),
        config.name,
        config.comment,
        None if config.reason is None else builder.expression(config.reason, location / "reason"),
    )
