"""Threat triage: which rules an alert matches, and what score they add up to."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_boolean, to_double, to_text
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, shortened, variables
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import RiskRule, ThreatIntelConfig
from stellar.pipeline.records import Record, Report, Reporter
from stellar.util.suggestions import known_names

log = logging.getLogger(__name__)


# A score that is not a number makes the result none, as in Java, where max and min say so too
def _greatest(scores: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, scores)) else max(0.0, *scores)


def _least(scores: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, scores)) else min(scores)


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0


def _positive_mean(scores: Sequence[float]) -> float:
    return _mean([score for score in scores if score > 0])


AGGREGATORS: dict[str, Callable[[Sequence[float]], float]] = {
    "MAX": _greatest,
    "MIN": _least,
    "SUM": sum,
    "MEAN": _mean,
    "POSITIVE_MEAN": _positive_mean,
}


def aggregated(name: str, scores: Iterable[float], config: Mapping[str, Any]) -> float:
    """The score that scores add up to; of none it is 0.

    config: `negativeValuesTrump`, true unless it says otherwise: a score below 0 makes the whole infinitely low
    """
    numbers = [float(score) for score in scores]
    if not numbers:
        return 0.0
    if to_boolean(config.get("negativeValuesTrump")) is not False and any(score < 0 for score in numbers):
        return -math.inf
    return float(AGGREGATORS[name](numbers))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, compiled.

    text: the rule as it was written
    score_text: the score as it was written, which is what a record shows
    score: a number, or the expression that gives one
    """

    text: str
    matches: Expression
    score_text: str
    score: float | Expression
    name: str | None = None
    comment: str | None = None
    reason: Expression | None = None

    def part(self, which: str) -> str | None:
        """The text of its condition, score or reason; None where the rule is called by that."""
        match which:
            case "condition":
                return self.text if self.name else None
            case "score":
                return self.score_text
            case _:
                return self.reason.source if self.reason else None


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that a record matched, with the number and the reason it had for that record."""

    rule: Rule
    score: float
    reason: str | None


@dataclass(frozen=True)
class Triage:
    """Scores the records that are alerts, and says on them which rules matched.

    A rule that fails is reported and skipped; the other rules count, and the record goes on.
    """

    rules: tuple[Rule, ...]
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
                f"is_alert is {to_text(record['is_alert'])!r}, which says neither yes nor no; the record is not scored"
            )
            self.report(Report(record, "triage", ValueError(message)))
            return record
        if not alert:
            return {name: value for name, value in record.items() if name != "is_alert"}
        record = {**record, "is_alert": "true"}
        if fired := self.fired(record):
            record.update(self._verdict(fired))
        return record

    def fired(self, record: Record) -> list[Fired]:
        """The rules that a record matches, in their order."""
        known = variables(record, *self.defaults)
        return [fired for rule in self.rules if (fired := self._tried(rule, known, record)) is not None]

    def score(self, fired: Iterable[Fired]) -> float:
        """The score of a record that matched these rules."""
        return aggregated(self.aggregator, (each.score for each in fired), self.aggregation)

    def _tried(self, rule: Rule, known: Record, record: Record) -> Fired | None:
        part = "condition"
        try:
            if not rule.matches(known, self.context):
                return None
            part = "score"
            score = self._number(rule, known)
        except (StellarError, ValueError) as error:
            self._failed(rule, part, error, record)
            return None
        return Fired(rule, score, self._reason(rule, known, record))

    def _number(self, rule: Rule, known: Record) -> float:
        if not isinstance(rule.score, Expression):
            return rule.score
        value = rule.score(known, self.context)
        if (number := to_double(value)) is None:
            raise ValueError(f"it gives {to_text(value)}; a number is wanted")
        return number

    def _reason(self, rule: Rule, known: Record, record: Record) -> str | None:
        """The reason, where there is one; the score counts without it."""
        if rule.reason is None:
            return None
        try:
            reason = rule.reason(known, self.context)
        except StellarError as error:
            self._failed(rule, "reason", error, record)
            return None
        return None if reason is None else to_text(reason)

    def _failed(self, rule: Rule, part: str, error: Exception, record: Record) -> None:
        subject = f"The rule {shortened(rule.name or rule.text)!r} failed in its {part}"
        if text := rule.part(part):
            subject += f" {shortened(text)!r}"
        self.report(Report(record, "triage", error, subject))

    def _verdict(self, fired: list[Fired]) -> Record:
        score = self.score(fired)
        verdict: Record = {self.score_field: score}
        if self.level_field:
            verdict[self.level_field] = int(score) if score.is_integer() else score
        for index, each in enumerate(fired):
            prefix = f"threat.triage.rules.{index}."
            verdict[f"{prefix}name"] = each.rule.name
            verdict[f"{prefix}comment"] = each.rule.comment
            verdict[f"{prefix}score"] = each.rule.score_text
            verdict[f"{prefix}reason"] = each.reason
        return verdict


def is_alert(record: Record) -> bool | None:
    """Whether a record is an alert: by its `is_alert`, or else by what threat intelligence found.

    None if `is_alert` is neither true nor false by any of their names.
    """
    if "is_alert" in record:
        value = record["is_alert"]
        # Java looks at the text just as it is: neither blanks around it nor lists count
        return to_boolean(value) if isinstance(value, str | bool | int) else None
    return any(name.startswith("threatintels") and not name.endswith(".ts") for name in record)


def triage(
    config: ThreatIntelConfig, settings: Mapping[str, Any], place: SourceLocation, workshop: BuildContext
) -> Triage:
    """The triage that a configuration asks for.

    settings: the map `configuration`, whose members are variables before those of the stage's own `config`
    place: where `threatIntel` stands

    Raises ConfigError for an unknown aggregator and for bad expressions.
    """
    place = place / "triageConfig"
    aggregator = config.triage_config.aggregator.upper()
    workshop.problems.attempt(lambda: _check_aggregator(aggregator, place / "aggregator"), None)
    rules: dict[str, Rule] = {}
    for key, rule in config.triage_config.risk_level_rules.items():
        here = place / "riskLevelRules" / key
        compiled = _rule(rule, here, workshop)
        if rule.rule in rules:
            log.warning("%s: another rule before has the same text, so this one has no effect", here / "rule")
        rules.setdefault(rule.rule, compiled)
    keeps_level = to_boolean(workshop.settings.get("threat.triage.legacy.level")) is not False
    return Triage(
        tuple(rules.values()),
        aggregator,
        config.triage_config.aggregation_config,
        (settings, config.config),
        to_text(workshop.settings.get("threat.triage.score.field") or "threat.triage.score"),
        "threat.triage.level" if keeps_level else None,
        workshop.context,
        workshop.report,
    )


def _check_aggregator(name: str, place: SourceLocation) -> None:
    if name not in AGGREGATORS:
        raise place.error(f"unknown aggregator {name!r}; {known_names(name, AGGREGATORS)}")


def _rule(config: RiskRule, place: SourceLocation, workshop: BuildContext) -> Rule:
    score_text = to_text(config.score)
    return Rule(
        config.rule,
        workshop.predicate(config.rule, place / "rule"),
        score_text,
        workshop.expression(score_text, place / "score") if isinstance(config.score, str) else float(config.score),
        config.name,
        config.comment,
        None if config.reason is None else workshop.expression(config.reason, place / "reason"),
    )
