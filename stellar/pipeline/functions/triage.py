"""Rules of threat triage: changing them in configurations, and trying them out.

The functions take and return enrichment configurations as JSON. They change nothing that is stored; CONFIG_PUT does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar.java.jackson import read_first_value
from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_string
from stellar.language.errors import ConfigError
from stellar.language.expression import shell_library
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.loading import parse_enrichment
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.metron_json import merge_rules, print_json, read_enrichment_json
from stellar.pipeline.functions.arguments import list_errors, read_argument
from stellar.pipeline.records import Record, Report
from stellar.pipeline.stages.triage import AGGREGATORS, RuleMatch, Triage, build_triage
from stellar.util.suggestions import suggest_name
from stellar.util.text_tables import text_table

Json = dict[str, Any]


@dataclass(eq=False)
class TriageEngine:
    """The rules of threat triage, which can be changed.

    config: the enrichment configuration that contains them, with all keys
    """

    STELLAR_NOUN = "a threat triage engine"

    config: Json
    _built: tuple[str, Context, Triage] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"ThreatTriage{{{len(self.triage_config['riskLevelRules'])} rule(s)}}"

    @property
    def triage_config(self) -> Json:
        """The configuration of the rules and the aggregation."""
        config: Json = self.config["threatIntel"]["triageConfig"]
        return config

    def build(self, context: Context) -> Triage:
        """Return the stage with the current rules. Raises ValueError if one is invalid."""
        text = print_json(self.config)
        if self._built is None or self._built[0] != text or self._built[1] is not context:
            self._built = text, context, _build(text, context)
        return self._built[2]


def _build(text: str, context: Context) -> Triage:
    settings = context.get(GlobalSettings) or GlobalSettings()
    builder = BuildContext(shell_library().configured(settings), context, settings=settings, report=_raise)
    location = SourceLocation("config")
    try:
        config = parse_enrichment(text, location)
        return build_triage(config.threat_intel, config.configuration, location / "threatIntel", builder)
    except ConfigError as error:
        raise ValueError(f"THREAT_TRIAGE_SCORE: {list_errors(error)}") from error


def _raise(report: Report) -> None:
    raise ValueError(f"THREAT_TRIAGE_SCORE: {report.reason}") from report.error


@stellar("THREAT_TRIAGE_INIT")
def init(config: str = "{}") -> TriageEngine:
    """Create a threat triage engine.

    config: The enrichment configuration with the rules, as JSON; by default one without rules
    returns: The engine

        THREAT_TRIAGE_INIT() != null  // true
        THREAT_TRIAGE_INIT('{"threatIntel": {"triageConfig": {"aggregator": "SUM"}}}') != null  // true
        THREAT_TRIAGE_INIT('{"threatIntel": {"triageConfig": {"aggregator": "MEDIAN"}}}')  // error
        THREAT_TRIAGE_INIT(null)  // error
    """
    return TriageEngine(_read("THREAT_TRIAGE_INIT", config))


def _read(function: str, text: str) -> Json:
    config = read_argument(function, read_enrichment_json, text)
    _check_aggregator(function, config["threatIntel"]["triageConfig"]["aggregator"])
    return config


def _check_aggregator(function: str, name: str) -> None:
    if name not in AGGREGATORS:
        raise ValueError(f"{function}: unknown aggregator {name[:40]!r}; {suggest_name(name, AGGREGATORS)}")


@stellar("THREAT_TRIAGE_SCORE")
def score(context: Context, message: str, engine: TriageEngine) -> Json:
    """Score a message by the rules of an engine, as threat triage does with an alert.

    message: The message as JSON
    engine: The engine that THREAT_TRIAGE_INIT returned
    returns: A map with the `score`, the name of the `aggregator`, and the matching `rules`, each a map with its `rule`
        and `score` expression, and its `name`, `comment` and `reason` if it has them

    A rule that fails is an error.

        MAP_GET('score', THREAT_TRIAGE_SCORE('{"a": 1}', THREAT_TRIAGE_INIT()))  // 0.0
        MAP_GET('rules', THREAT_TRIAGE_SCORE('{"a": 1}', THREAT_TRIAGE_INIT()))  // []
        THREAT_TRIAGE_SCORE('a', THREAT_TRIAGE_INIT())  // error
        THREAT_TRIAGE_SCORE('{"a": 1}', null)  // error
    """
    triage = engine.build(context)
    matches = triage.match_rules(_read_message(message))
    return {
        "score": triage.compute_score(matches),
        "aggregator": triage.aggregator,
        "rules": [_describe_match(match) for match in matches],
    }


def _read_message(text: str) -> Record:
    try:
        value, rest = read_first_value(text, comments=False)
    except ValueError as error:
        raise ValueError(f"THREAT_TRIAGE_SCORE expected a JSON object as message: {error}") from error
    if not isinstance(value, dict) or rest:
        raise ValueError(f"THREAT_TRIAGE_SCORE expected a JSON object as message, got {describe(text)}")
    return value


def _describe_match(match: RuleMatch) -> Json:
    rule = match.rule
    values = {
        "name": rule.name,
        "rule": rule.text,
        "score": rule.score_text,
        "reason": match.reason,
        "comment": rule.comment,
    }
    return {name: value for name, value in values.items() if value is not None}


@stellar("THREAT_TRIAGE_CONFIG")
def get_config(engine: TriageEngine) -> str:
    """Return the configuration of an engine.

    engine: The engine that THREAT_TRIAGE_INIT returned
    returns: The enrichment configuration as JSON, a string of several lines

        '"aggregator" : "MAX"' in THREAT_TRIAGE_CONFIG(THREAT_TRIAGE_INIT())  // true
        '"riskLevelRules" : [ ]' in THREAT_TRIAGE_CONFIG(THREAT_TRIAGE_INIT('{}'))  // true
        THREAT_TRIAGE_CONFIG(null)  // error
    """
    return print_json(engine.config)


@stellar("THREAT_TRIAGE_PRINT")
def print_rules(config_or_engine: str | TriageEngine) -> str:
    """Draw the rules of threat triage as a table.

    configOrEngine: An enrichment configuration as JSON, or an engine
    returns: The table, and after it the aggregator if there are rules; a string of several lines

        'Triage Rule' in THREAT_TRIAGE_PRINT('{}')  // true
        THREAT_TRIAGE_PRINT('{}') == THREAT_TRIAGE_PRINT(THREAT_TRIAGE_INIT())  // true
        THREAT_TRIAGE_PRINT(null)  // error
    """
    config = _open("THREAT_TRIAGE_PRINT", config_or_engine).triage_config
    rules = config["riskLevelRules"]
    columns = ("name", "comment", "rule", "score", "reason")
    rows = [tuple(rule.get(column, "") for column in columns) for rule in rules]
    table = text_table(("Name", "Comment", "Triage Rule", "Score", "Reason"), rows)
    return f"{table}Aggregation: {config['aggregator']}" if rules else table


@stellar("THREAT_TRIAGE_ADD")
def add(config_or_engine: str | TriageEngine, rules: object) -> str:
    """Add rules of threat triage. An engine itself is changed.

    configOrEngine: An enrichment configuration as JSON, or an engine
    rules: A map with `rule` and `score`, and perhaps `name`, `comment` and `reason`; or a list of such maps
    returns: The configuration with the rules, as JSON

    Maps without a rule or a score are ignored, and so are rules with the condition of an earlier one.

        '"score" : "10"' in THREAT_TRIAGE_ADD('{}', {'rule': 'a > 1', 'score': 10})  // true
        'a > 1' in THREAT_TRIAGE_ADD('{}', [{'rule': 'a > 1'}])  // false
        THREAT_TRIAGE_ADD('{}', {'rule': 'a > 1', 'score': []})  // error
        THREAT_TRIAGE_ADD('{}', 'a > 1')  // error
    """
    engine = _open("THREAT_TRIAGE_ADD", config_or_engine)
    given = [rules] if isinstance(rules, Mapping) else rules
    if not isinstance(given, list) or not all(each is None or isinstance(each, Mapping) for each in given):
        raise ValueError(f"THREAT_TRIAGE_ADD expected a map or a list of maps as rules, got {describe(rules)}")
    new = [_read_rule(each) for each in given if each is not None and "rule" in each and "score" in each]
    engine.triage_config["riskLevelRules"] = merge_rules(engine.triage_config["riskLevelRules"], new)
    return print_json(engine.config)


def _read_rule(rule: Mapping[str, Any]) -> Json:
    for key in ("name", "comment", "rule", "reason"):
        value = rule.get(key)
        if not isinstance(value, str) and (key == "rule" or value is not None):
            raise ValueError(f"THREAT_TRIAGE_ADD expected a string as {key} of a rule, got {describe(value)}")
    if isinstance(rule["score"], bool) or not isinstance(rule["score"], int | float | str):
        raise ValueError(
            f"THREAT_TRIAGE_ADD expected a number or an expression as score, got {describe(rule['score'])}"
        )
    return {**rule, "score": to_string(rule["score"])}


@stellar("THREAT_TRIAGE_REMOVE")
def remove(config_or_engine: str | TriageEngine, rules: list[Any] | None) -> str:
    """Remove rules of threat triage. An engine itself is changed.

    configOrEngine: An enrichment configuration as JSON, or an engine
    rules: The conditions or the names of the rules that are removed; null removes none
    returns: The configuration without the rules, as JSON

        'a > 1' in THREAT_TRIAGE_REMOVE(THREAT_TRIAGE_ADD('{}', {'rule': 'a > 1', 'score': 1}), ['a > 1'])  // false
        'a > 1' in THREAT_TRIAGE_REMOVE(THREAT_TRIAGE_ADD('{}', {'rule': 'a > 1', 'score': 1}), null)  // true
        THREAT_TRIAGE_REMOVE('{}', 'a > 1')  // error
    """
    engine = _open("THREAT_TRIAGE_REMOVE", config_or_engine)
    config, removed = engine.triage_config, [each for each in rules or () if isinstance(each, str)]
    config["riskLevelRules"] = [
        rule for rule in config["riskLevelRules"] if rule["rule"] not in removed and rule.get("name") not in removed
    ]
    return print_json(engine.config)


@stellar("THREAT_TRIAGE_SET_AGGREGATOR")
def set_aggregator(
    config_or_engine: str | TriageEngine, aggregator: str, aggregator_config: dict[str, Any] | None = None
) -> str:
    """Set the aggregation of scores. An engine itself is changed.

    configOrEngine: An enrichment configuration as JSON, or an engine
    aggregator: MAX, MIN, SUM, MEAN or POSITIVE_MEAN
    aggregatorConfig: Options of the aggregator, such as `{'negativeValuesTrump': false}`; by default they stay
    returns: The configuration with the aggregator, as JSON

        '"aggregator" : "SUM"' in THREAT_TRIAGE_SET_AGGREGATOR('{}', 'SUM')  // true
        'Trump' in THREAT_TRIAGE_SET_AGGREGATOR('{}', 'SUM', {'negativeValuesTrump': false})  // true
        THREAT_TRIAGE_SET_AGGREGATOR('{}', 'MEDIAN')  // error
    """
    _check_aggregator("THREAT_TRIAGE_SET_AGGREGATOR", aggregator)
    engine = _open("THREAT_TRIAGE_SET_AGGREGATOR", config_or_engine)
    engine.triage_config["aggregator"] = aggregator
    if aggregator_config is not None:
        engine.triage_config["aggregationConfig"] = dict(aggregator_config)
    return print_json(engine.config)


def _open(function: str, value: str | TriageEngine) -> TriageEngine:
    return TriageEngine(_read(function, value)) if isinstance(value, str) else value
