"""From a sensor's configuration to its pipeline: the parser and the stages, each made by its table of names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stellar import Expression
from stellar.functions import LIBRARY
from stellar.functions.rest.settings import check_global
from stellar.language.context import NOTHING, Context, GlobalSettings
from stellar.language.errors import StellarError
from stellar.language.library import Library, SettingError
from stellar.pipeline.config.compile import Workshop, shortened
from stellar.pipeline.config.locations import FIRST, Place, Problems
from stellar.pipeline.config.schema import ParserConfig, SensorConfig
from stellar.pipeline.parsers import Parser, Settings, Unreadable, parser_factory
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.records import Drop, Invalid, Raw, Record, Rejected, Report, Stage
from stellar.pipeline.stages.enrichment import enrichment
from stellar.pipeline.stages.fields import transformation
from stellar.pipeline.stages.filters import record_filter
from stellar.pipeline.stages.triage import triage
from stellar.pipeline.stages.validation import validation
from stellar.util.suggestions import known_names

if TYPE_CHECKING:
    from stellar.maas import MaasError, ModelClient, Registry

Outcome = Record | Rejected | Drop

MODEL_FUNCTIONS = frozenset({"MAAS_GET_ENDPOINT", "MAAS_MODEL_APPLY"})


@dataclass(slots=True)
class _AtHand:
    """What is told of the record at hand.

    reports: what failed while it went on
    unanswered: the models that gave no answer, and why
    """

    reports: list[Report] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)


# A stage knows nothing but its record, and many records go through it at once, each in a thread; so this is what tells
# of which record something is told.
_AT_HAND: ContextVar[_AtHand] = ContextVar("what is told of the record at hand")


def _report(report: Report) -> None:
    _AT_HAND.get().reports.append(report)


def _unanswered(endpoint: Mapping[str, Any], error: MaasError) -> None:
    _AT_HAND.get().unanswered.append(f"{_named_model(endpoint)}: {error.reason}")


@dataclass(frozen=True)
class Envelope:
    """Takes the text to parse out of a JSON object; the object's other fields are metadata."""

    field: str
    prefix: str
    merge: bool

    def opened(self, content: bytes) -> tuple[bytes, Record]:
        """The text to parse, and the metadata. Raises ValueError for what is no such object."""
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the envelope is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ValueError("the envelope is not a JSON object")
        if value.get(self.field) is None:
            raise ValueError(f"envelope has no field {self.field!r}")
        text = value.pop(self.field)
        metadata = {f"{self.prefix}{name}": item for name, item in value.items()}
        return (text if isinstance(text, str) else json.dumps(text)).encode("utf-8", "surrogatepass"), metadata

    def merged(self, record: Record, metadata: Record) -> Record:
        """A record with the metadata behind it; only the envelope's original text goes before the record's own."""
        together = {**metadata, **record} if self.merge else dict(record)
        original = metadata.get(f"{self.prefix}original_string")
        return together if original is None else {**together, "original_string": original}


@dataclass
class Pipeline:
    """Turns raw messages of one sensor into records.

    transformations: what comes before a record gets its `guid` and `original_string`
    stages: what comes after, each with the name that error documents call it by
    functions: what its expressions call
    services: what they are evaluated with
    expressions: what was compiled, each with its place
    error_field: the field that tells which models gave no answer, and why; None for no such field
    reports: what failed while records went on that `pipeline(raw)` gave; whoever calls it so takes them away

    Many threads may use `processed` at once.
    """

    sensor: str
    parser: Parser
    charset: str
    transformations: tuple[Stage, ...]
    stages: tuple[tuple[str, Stage], ...]
    envelope: Envelope | None = None
    functions: frozenset[str] = frozenset()
    services: Context = field(default_factory=Context)
    expressions: tuple[tuple[Place, Expression], ...] = ()
    error_field: str | None = None
    reports: list[Report] = field(default_factory=list)

    @property
    def asks_models(self) -> bool:
        """Whether its expressions ask models, and so wait."""
        return not self.functions.isdisjoint(MODEL_FUNCTIONS)

    @property
    def blocks(self) -> bool:
        """Whether it may keep its thread waiting other than for models; of what is not ours that is not known."""
        made = (self.parser, *self.transformations, *(stage for _, stage in self.stages))
        ours = all(getattr(each, "__module__", "").startswith("stellar.pipeline.") for each in made)
        return not ours or any(expression.blocks for _, expression in self.expressions)

    def use_models(self, registry: Registry, client: ModelClient) -> None:
        """Let its expressions find and ask models, if it was built without."""
        from stellar.maas import ModelClient, Registry

        telling: Any = _ReportingClient(client)
        self.services.get_or_make(Registry, lambda _: registry)  # type: ignore[type-abstract]
        self.services.get_or_make(ModelClient, lambda _: telling)

    def __call__(self, raw: Raw) -> Iterator[Outcome]:
        """What becomes of each record in a raw message: the record at its end, or Rejected, or Drop."""
        for outcome, reports in self.processed(raw):
            self.reports.extend(reports)
            yield outcome

    def processed(self, raw: Raw) -> Iterator[tuple[Outcome, list[Report]]]:
        """The same, each with what failed while that record went on."""
        metadata: Record = {}
        try:
            content = raw.content
            if self.envelope is not None:
                content, metadata = self.envelope.opened(content)
            text = content.decode(self.charset, "replace")
            for parsed in self.parser(text):
                if isinstance(parsed, Unreadable):
                    yield Rejected(parsed.text, "parse", parsed.error, metadata=metadata), []
                else:
                    yield self._reporting(parsed, raw, text, metadata)
        except Exception as error:  # noqa: BLE001 (the edge at which a bad message must not stop the others)
            yield Rejected(raw.content, "parse", error, metadata=metadata), []

    def _reporting(self, record: Record, raw: Raw, text: str, metadata: Record) -> tuple[Outcome, list[Report]]:
        at_hand = _AtHand()
        before = _AT_HAND.set(at_hand)
        try:
            return self._staged(record, raw, text, metadata), at_hand.reports
        finally:
            _AT_HAND.reset(before)

    def _staged(self, record: Record, raw: Raw, text: str, metadata: Record) -> Outcome:
        name = "transform"
        try:
            if self.envelope is not None:
                record = self.envelope.merged(record, metadata)
            record["source.type"] = self.sensor
            for transform in self.transformations:
                record = self._told(transform(record))
            if record.get("guid") in (None, ""):
                record["guid"] = str(uuid4())
            record.setdefault("original_string", text)
            for name, stage in self.stages:  # noqa: B007 (the name is for the errors below)
                record = self._told(stage(record))
        except Drop as drop:
            return drop
        except Invalid as error:
            return Rejected(record, name, error, metadata=metadata)
        except Exception as error:  # noqa: BLE001 (the edge at which a bad record must not stop the others)
            subject = f"the expression {shortened(error.source)!r} failed" if isinstance(error, StellarError) else ""
            return Rejected(raw.content, name, error, subject, metadata)
        return record

    def _told(self, record: Record) -> Record:
        """The record, with what is known so far of models that gave no answer, if that is asked for."""
        unanswered = _AT_HAND.get().unanswered
        if self.error_field is None or not unanswered:
            return record
        return {**record, self.error_field: "; ".join(dict.fromkeys(unanswered))}


def build(config: SensorConfig, context: Context = NOTHING, problems: Problems = FIRST) -> Pipeline:
    """The pipeline of a sensor, with every expression compiled.

    context: what functions need from outside, such as a model registry
    problems: takes what is wrong; where anything was collected, the pipeline lacks that, and is not to be run

    Raises ConfigError for what is unknown or not as it should be.
    """
    place = config.parser_place
    settings = config.globals.settings
    library = problems.attempt(lambda: library_of(settings, config.global_place), LIBRARY)
    problems.attempt(lambda: _check_rest_settings(settings, config.global_place), None)
    given = _telling(context)
    services = given.with_services({GlobalSettings: given.get(GlobalSettings, GlobalSettings(settings))})
    workshop = Workshop(library, services, settings=settings, report=_report, problems=problems)
    options = config.parser.parser_config
    parser = problems.attempt(lambda: _parser(config), JsonMapParser(Settings({}, place)))
    return Pipeline(
        config.sensor,
        parser,
        problems.attempt(lambda: _charset(options, place / "parserConfig" / "readCharset"), "UTF-8"),
        tuple(_transformations(config.parser, place / "fieldTransformations", replace(workshop, options=options))),
        tuple(_stages(config, parser, workshop)),
        problems.attempt(lambda: _envelope(config.parser, place), None),
        frozenset(workshop.functions),
        services,
        tuple(workshop.expressions),
        problems.attempt(lambda: _error_field(settings, config.global_place), None),
    )


def _check_rest_settings(settings: Mapping[str, Any], place: Place) -> None:
    try:
        check_global(settings)
    except LookupError as error:
        raise place.error(str(error)) from error


ERROR_FIELD_KEY = "maas.error.field"


def _error_field(settings: Mapping[str, Any], place: Place) -> str | None:
    name = settings.get(ERROR_FIELD_KEY)
    if name is None or (isinstance(name, str) and name):
        return name
    raise (place / ERROR_FIELD_KEY).error("the name of a field is wanted here, such as maas.error")


def _parser(config: SensorConfig) -> Parser:
    place = config.parser_place
    make_parser = parser_factory(config.parser.parser_class_name, place / "parserClassName")
    return make_parser(Settings(config.parser.parser_config, place / "parserConfig", config.directory))


class _ReportingClient:
    """A model client that reports each failure: the function that calls it returns null, and says no more."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self.gives_way = getattr(client, "gives_way", False)
        if (find := getattr(client, "endpoint", None)) is not None:  # a test double may lack it
            self.endpoint = find

    def apply(self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Any = None) -> dict[str, Any]:
        from stellar.maas import MaasError

        try:
            return self._client.apply(endpoint, function, arguments)
        except MaasError as error:
            _report_model(endpoint, error)
            raise

    def failed(self, endpoint: Mapping[str, Any], error: MaasError) -> None:
        """Report a call that could not be made."""
        _report_model(endpoint, error)
        self._client.failed(endpoint, error)


def _report_model(endpoint: Mapping[str, Any], error: MaasError) -> None:
    subject = f"the model {_named_model(endpoint)} gave no answer, which counts as null"
    _report(Report(None, "model", error, subject, _why(endpoint, error)))
    _unanswered(endpoint, error)


def _named_model(endpoint: Mapping[str, Any]) -> str:
    name, version, url = (endpoint.get(key) for key in ("name", "version", "url"))
    if name is None:
        return "of an unknown name" if url is None else f"at {url}"
    return str(name) if version is None else f"{name} {version}"


def _why(endpoint: Mapping[str, Any], error: MaasError) -> Record:
    """What an error document tells programs of a model that gave no answer."""
    known = {
        "model": endpoint.get("name"),
        "model_version": endpoint.get("version"),
        "model_url": error.url,
        "model_failure": error.reason,
    }
    return {name: value for name, value in known.items() if value is not None}


def _telling(context: Context) -> Context:
    if context is NOTHING:  # and no HTTP client is loaded for nothing
        return context
    from stellar.maas import ModelClient

    client = context.get(ModelClient)
    return context if client is None else context.with_services({ModelClient: _ReportingClient(client)})


def _transformations(config: ParserConfig, place: Place, workshop: Workshop) -> Iterator[Stage]:
    for index, each in enumerate(config.field_transformations):
        stage = workshop.problems.attempt(partial(transformation, each, place / index, workshop), None)
        if stage is not None:
            yield stage


def _stages(config: SensorConfig, parser: Parser, workshop: Workshop) -> Iterator[tuple[str, Stage]]:
    keep = workshop.problems.attempt(lambda: record_filter(config.parser, config.parser_place, workshop), None)
    if keep is not None:
        yield "filter", keep
    yield "validate", Complaining(parser)
    if config.globals.field_validations:
        yield (
            "validate",
            validation(config.globals.field_validations, config.global_place / "fieldValidations", workshop),
        )
    place = config.enrichment_place
    shared = config.enrichment.configuration
    yield "enrich", enrichment("enrich", config.enrichment.enrichment, shared, place / "enrichment", workshop)
    threat_intel = config.enrichment.threat_intel
    yield "threatIntel", enrichment("threatIntel", threat_intel, shared, place / "threatIntel", workshop)
    yield "triage", triage(threat_intel, shared, place / "threatIntel", workshop)


@dataclass(frozen=True)
class Complaining:
    """Refuses the records that their parser finds fault with."""

    parser: Parser

    def __call__(self, record: Record) -> Record:
        if complaint := self.parser.complaint(record):
            raise Invalid(complaint)
        return record


def library_of(settings: Mapping[str, Any], place: Place) -> Library:
    """The functions that the global configuration lets expressions call. Raises ConfigError if it can't be told."""
    library = _named_library(settings.get(LIBRARY_KEY), place / LIBRARY_KEY)
    try:
        return library.configured(settings)
    except SettingError as error:
        raise (place / error.key).error(error.message) from error


LIBRARY_KEY = "stellar.function.library"


def _named_library(name: object, place: Place) -> Library:
    if name is None:
        return LIBRARY
    try:
        return Library.named(str(name))
    except (LookupError, ValueError, TypeError) as error:
        raise place.error(f"{error}; name one as module:attribute, such as stellar.functions:SHELL_LIBRARY") from error


def _charset(options: Mapping[str, Any], place: Place) -> str:
    name = options.get("readCharset", "UTF-8")
    try:
        "".encode(name)
    except (LookupError, TypeError):
        raise place.error(f'unknown charset {name!r}; give one such as "UTF-8" or "ISO-8859-1"') from None
    return str(name)


STRATEGIES = ("DEFAULT", "ENVELOPE")


def _envelope(config: ParserConfig, place: Place) -> Envelope | None:
    strategy = config.raw_message_strategy.upper()
    if strategy not in STRATEGIES:
        raise (place / "rawMessageStrategy").error(
            f"unknown strategy {strategy!r}; {known_names(strategy, STRATEGIES)}"
        )
    if strategy == "DEFAULT":
        return None
    inner = place / "rawMessageStrategyConfig"
    options = config.raw_message_strategy_config
    if not isinstance(wanted := options.get("messageField"), str):
        raise (inner / "messageField").error(
            "the strategy ENVELOPE needs the name of the field that holds the text to parse"
        )
    prefix = options.get("metadataPrefix", "metron.metadata")
    if not isinstance(prefix, str):
        raise (inner / "metadataPrefix").error(f"a text is wanted, not {prefix!r}")
    if config.merge_metadata is False and config.read_metadata is not False:
        raise (place / "mergeMetadata").error(
            "metadata that is read but not merged is not in this release; merge it, or set readMetadata to false"
        )
    return Envelope(wanted, f"{prefix}." if prefix else "", config.read_metadata is not False)
