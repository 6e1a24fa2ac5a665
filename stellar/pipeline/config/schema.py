"""The schema of Metron's JSON files, each key with its type, its default and its meaning.

ParserConfig      `parsers/<sensor>.json`
EnrichmentConfig  `enrichments/<sensor>.json`
ProfilerConfig    `profiler.json`
GlobalConfig      `global.json`, a free map
IndexingConfig    `indexing/<sensor>.json`, a map from writer to a free map
ExtractorConfig   the file that describes the input of an enrichment loader

Unknown keys are errors, except in free maps. Numbers and booleans may be strings, as in Metron.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from stellar.util.suggestions import suggest_name


class StrictModel(BaseModel):
    """A JSON object without unknown keys."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_keys(cls, value: Any) -> Any:
        known = {info.alias for info in cls.model_fields.values() if info.alias}
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "unknown key", {"key": key, "known": suggest_name(key, known)})
        return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _null_as_empty(value: object) -> object:
    return [] if value is None else value


Names = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=list[str] | str)]


class Transformation(StrictModel):
    """A field transformation."""

    input: Names | None = Field(
        default=None, description="The fields that are read; missing or empty: the whole message."
    )
    output: Names | None = Field(
        default=None, description="The fields that are written; missing or empty: those of input."
    )
    transformation: str = Field(description="STELLAR, REMOVE, SELECT, RENAME, IP_PROTOCOL, REGEX_SELECT, or a path.")
    config: dict[str, Any] = Field(default={}, description="The options of the transformation, in order.")


_STORM = "For Storm; accepted without effect."
_KAFKA = "For Kafka; accepted without effect in runs on files."


class ParserConfig(StrictModel):
    """The parser of a sensor: `parsers/<sensor>.json`."""

    parser_class_name: str = Field(description="The parser: Metron's Java class, its short name, or a Python path.")
    filter_class_name: str | None = Field(
        default=None, description="STELLAR, BRO, DEFAULT (no filter), or a Python path."
    )
    sensor_topic: str | None = Field(
        default=None,
        description="The topic that is read, by default the name of the sensor; /…/ is a regular expression.",
    )
    output_topic: str | None = Field(default=None, description=_KAFKA)
    error_topic: str | None = Field(default=None, description=_KAFKA)
    writer_class_name: str | None = Field(default=None, description=_KAFKA)
    error_writer_class_name: str | None = Field(default=None, description=_KAFKA)
    read_metadata: bool | None = Field(
        default=None, description="Read metadata; by default true for ENVELOPE, else false."
    )
    merge_metadata: bool | None = Field(
        default=None, description="Add metadata to the record; by default true for ENVELOPE, else false."
    )
    raw_message_strategy: str = Field(default="DEFAULT", description="DEFAULT or ENVELOPE.")
    raw_message_strategy_config: dict[str, Any] = Field(
        default={}, description='metadataPrefix (metron.metadata; "" is no prefix), and messageField for ENVELOPE.'
    )
    parser_config: dict[str, Any] = Field(
        default={}, description="The options of the parser, which are also variables of STELLAR transformations."
    )
    field_transformations: list[Transformation] = Field(default=[], description="Executed in order.")
    cache_config: dict[str, Any] = Field(default={}, description="A cache of results; accepted without effect.")
    security_protocol: str | None = Field(default=None, description=_KAFKA)
    num_workers: int | None = Field(default=None, description=_STORM)
    num_ackers: int | None = Field(default=None, description=_STORM)
    spout_parallelism: int = Field(default=1, description=_STORM)
    spout_num_tasks: int = Field(default=1, description=_STORM)
    parser_parallelism: int = Field(default=1, description=_STORM)
    parser_num_tasks: int = Field(default=1, description=_STORM)
    error_writer_parallelism: int = Field(default=1, description=_STORM)
    error_writer_num_tasks: int = Field(default=1, description=_STORM)
    spout_config: dict[str, Any] = Field(default={}, description=_STORM)
    storm_config: dict[str, Any] = Field(default={}, description=_STORM)


class Validation(StrictModel):
    """An entry of the global `fieldValidations`."""

    input: Names | None = Field(
        default=None, description="The fields to validate; missing or empty: the whole message."
    )
    validation: str = Field(description="STELLAR, IP, DOMAIN, EMAIL, URL, INTEGER, DATE, REGEX_MATCH, NOT_EMPTY, …")
    config: dict[str, Any] = Field(default={}, description="The options of the validation.")


class ParserGroup(StrictModel):
    """An entry of the global `parser.groups`: sensors that run in one process."""

    name: str = Field(description="The name of the group.")
    description: str | None = Field(default=None, description="For people.")
    sensors: list[str] = Field(default=[], description="The names of the sensors.")


_NULL_AS_EMPTY = BeforeValidator(_null_as_empty, json_schema_input_type=list[Validation] | None)


class GlobalConfig(BaseModel):
    """The global configuration, `global.json`: a map with any keys."""

    model_config = ConfigDict(frozen=True, extra="allow")

    field_validations: Annotated[list[Validation], _NULL_AS_EMPTY] = Field(
        default=[], alias="fieldValidations", description="Checks of each record."
    )
    parser_groups: list[ParserGroup] = Field(
        default=[],
        alias="parser.groups",
        description="Sensors that `--sensor` selects together, by the name of the group.",
    )
    inputs: dict[str, Names] = Field(
        default={},
        alias="pipeline.inputs",
        description="Files and globs that a run reads by default, by sensor; relative to the directory of this file.",
    )

    @property
    def settings(self) -> dict[str, Any]:
        """All settings but the validations, as expressions see them."""
        groups = {} if not self.parser_groups else {"parser.groups": [g.model_dump() for g in self.parser_groups]}
        return {**(self.model_extra or {}), **groups}


def _check_score(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("score", "expected a score as a number or as the source of an expression")
    return value


Score = Annotated[Any, BeforeValidator(_check_score, json_schema_input_type=float | str)]


class RiskRule(StrictModel):
    """A rule of threat triage, with the score of records that it matches."""

    name: str | None = Field(default=None, description="The name of the rule, which is written to the record.")
    comment: str | None = Field(default=None, description="For people; written to the record.")
    rule: str = Field(description="The condition, a Stellar expression.")
    score: Score = Field(description="A number, or a Stellar expression.")
    reason: str | None = Field(default=None, description="A Stellar expression for the reason of the score.")


def _index_rules(value: object) -> object:
    """Return the rules by key: the index in a list, or the condition in the older form, a map from rule to score."""
    if isinstance(value, list):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return {rule: {"rule": rule, "score": score} for rule, score in value.items()}
    raise PydanticCustomError("rules", "expected a list of rules, or a map from rule to score")


_INDEX_RULES = BeforeValidator(_index_rules, json_schema_input_type=list[RiskRule] | dict[str, float | str])
Rules = Annotated[dict[Any, RiskRule], _INDEX_RULES]


class TriageConfig(StrictModel):
    """The rules of threat triage and the aggregation of their scores."""

    risk_level_rules: Rules = Field(
        default={}, description="A list of rules, or the older map from condition to score."
    )
    aggregator: str = Field(default="MAX", description="MAX, MIN, SUM, MEAN or POSITIVE_MEAN of the scores.")
    aggregation_config: dict[str, Any] = Field(
        default={}, description="negativeValuesTrump: a negative score trumps (true)."
    )


def _wrap_adapter(value: object) -> object:
    return {"type": "LIST", "config": value} if isinstance(value, list) else value


def _check_adapter_config(value: object) -> object:
    if not isinstance(value, dict | list):
        raise PydanticCustomError("adapter_config", "expected a map or a list")
    return value


_CHECK_ADAPTER = BeforeValidator(_check_adapter_config, json_schema_input_type=dict[str, Any] | list[Any])
Expressions = Annotated[Any, _CHECK_ADAPTER]


class AdapterConfig(StrictModel):
    """The configuration of an enrichment adapter: expressions for stellar, and fields to look up for the others."""

    type: str | None = Field(default=None, description="STELLAR for the adapter stellar; a list alone is LIST.")
    config: Annotated[
        Any, BeforeValidator(_check_adapter_config, json_schema_input_type=dict[str, Any] | list[Any])
    ] = Field(default={}, description="Expressions by field or by group, or a list of field := expression.")

    _wrap_list = model_validator(mode="before")(_wrap_adapter)


# A list is short for a map with this list as `config`
AdapterInput = Annotated[
    AdapterConfig, BeforeValidator(_wrap_adapter, json_schema_input_type=AdapterConfig | list[Any])
]


class StageConfig(StrictModel):
    """The enrichments of one stage."""

    field_map: dict[str, AdapterInput] = Field(default={}, description="The adapters, each with fields or expressions.")
    field_to_type_map: dict[str, Names] = Field(default={}, description="The types to look up for a field.")
    config: dict[str, Any] = Field(default={}, description="Variables of the expressions in this stage.")


class ThreatIntelConfig(StageConfig):
    """The enrichments of the threat intelligence stage, and its triage."""

    triage_config: TriageConfig = Field(default=TriageConfig(), description="Rules that score alerts.")


class EnrichmentConfig(StrictModel):
    """The enrichment of a sensor: `enrichments/<sensor>.json`."""

    enrichment: StageConfig = Field(default=StageConfig(), description="The stage enrichment.")
    threat_intel: ThreatIntelConfig = Field(default=ThreatIntelConfig(), description="The stage threat intelligence.")
    configuration: dict[str, Any] = Field(default={}, description="Variables of all expressions in this file.")


class WriterConfig(BaseModel):
    """The settings of a writer; other keys are allowed."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="allow")

    index: str | None = Field(default=None, description="The index or collection; by default the name of the sensor.")
    batch_size: int = Field(default=1, description="Documents per request.", ge=1)
    batch_timeout: int = Field(
        default=0, description="Seconds until an incomplete batch is written; 0 is the default.", ge=0
    )
    enabled: bool = Field(default=True, description="False discards the documents.")
    field_name_converter: str | None = Field(default=None, description="DEDOT or NOOP (Elasticsearch).")
    set_document_id: bool | None = Field(default=None, description="Use the guid as the document's id (Elasticsearch).")
    data_stream: bool = Field(default=False, description="The index is a data stream (OpenSearch, Elasticsearch 7.9).")
    output_path_function: str | None = Field(default=None, description="A Stellar expression for the directory (HDFS).")


class IndexingConfig(RootModel[dict[str, WriterConfig]]):
    """The writers of a sensor: `indexing/<sensor>.json`, a map from elasticsearch, solr or hdfs to settings."""


class Profile(StrictModel):
    """A profile: values of an entity in each period."""

    profile: str = Field(description="The name of the profile.")
    foreach: str = Field(description="A Stellar expression for the entity.")
    onlyif: str | None = Field(default=None, description="A condition for the messages that count.")
    group_by: list[str] = Field(default=[], description="Expressions by whose values profiles are grouped.")
    init: dict[str, Any] = Field(default={}, description="Expressions for variables at the start of a period.")
    update: dict[str, Any] = Field(default={}, description="Expressions for variables at each message.")
    result: Any = Field(description="An expression, or a map with profile and triage.")
    expires: int | None = Field(default=None, description="Days until values expire.")


class ProfilerConfig(StrictModel):
    """The configuration of the profiler, `profiler.json`."""

    profiles: list[Profile] = Field(default=[], description="The profiles.")
    timestamp_field: str | None = Field(
        default=None, description="The field with the time of an event; else the clock."
    )


_STIX = "For STIX: "


class ExtractorOptions(BaseModel):
    """The options of an extractor, and the expressions that transform and filter its rows.

    Other keys are options of an extractor in Python; those of the built-in extractors are all declared here.
    """

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={"additionalProperties": True})

    columns: dict[str, Any] | list[Any] | str | None = Field(
        default=None, description="A map from column to index, a list of columns, or a string with commas."
    )
    header: bool = Field(default=False, description="True if the first line of each CSV file names its columns.")
    separator: str | None = Field(default=None, description="The character between values of CSV; a comma by default.")
    indicator_column: str | None = Field(default=None, description="The column of the indicator; the first by default.")
    indicator: str | None = Field(default=None, description="Another name of indicator_column.")
    type: str | None = Field(default=None, description="The type of all rows, such as malicious_ip.")
    type_column: str | None = Field(default=None, description="The column of the type, if rows have different types.")
    intervals: bool = Field(
        default=False, description="True if networks (10.0.0.0/8) and ranges (10.0.0.5-10.0.0.9) are found by members."
    )
    lookup_converter: str | None = Field(default=None, description="ENRICHMENT, the only converter.")
    value_transform: dict[str, str] = Field(
        default={}, description="Expressions for members of the value, evaluated in order; null removes the member."
    )
    value_filter: str | None = Field(default=None, description="A condition for the rows that are loaded.")
    indicator_transform: dict[str, str] = Field(
        default={}, description="Expressions for the variable indicator, which is the key, and for other variables."
    )
    indicator_filter: str | None = Field(default=None, description="A condition for the rows that are loaded.")
    zk_quorum: str | None = Field(
        default=None, description="ZooKeeper servers with the global configuration, whose members are variables."
    )
    state_init: str | None = Field(default=None, description="For summaries: an expression for the first state.")
    state_update: dict[str, str] = Field(
        default={}, description="For summaries: expressions for the variable state, and for others, at each row."
    )
    state_merge: str | None = Field(
        default=None, description="For summaries: an expression that merges the list states into one."
    )
    stix_address_categories: str | None = Field(
        default=None, description=f"{_STIX}the categories of addresses to load, such as IPV_4_ADDR,E_MAIL."
    )
    stix_address_type: str | None = Field(
        default=None, description=f"{_STIX}the type of addresses; by default address."
    )
    stix_domain_categories: str | None = Field(default=None, description=f"{_STIX}the categories of domains; FQDN.")
    stix_domain_type: str | None = Field(
        default=None, description=f"{_STIX}the type of domains; by default domainname."
    )
    stix_hostname_type: str | None = Field(
        default=None, description=f"{_STIX}the type of hostnames; by default hostname."
    )


class ExtractorConfig(StrictModel):
    """The input of a loader of enrichments: its format, and what becomes of each row."""

    config: ExtractorOptions = Field(default=ExtractorOptions(), description="The options of the extractor.")
    extractor: str = Field(description="CSV, JSON, STIX, WHOIS, or the path of a Python function.")
    input_format: str | None = Field(
        default=None, description="BY_LINE or WHOLE_FILE; by default WHOLE_FILE for STIX, and BY_LINE for the others."
    )
