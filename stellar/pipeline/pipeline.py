"""A pipeline: raw messages in, records and error documents out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from stellar import Expression
from stellar.java.charsets import Charset
from stellar.language.context import Context
from stellar.language.errors import StellarError
from stellar.language.runtime import NotBoolean
from stellar.language.source import snippet
from stellar.pipeline.config.compile import Check, find_missing_services, shorten
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.messages import MessageStrategy
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext, ReportingClient
from stellar.pipeline.parsers import Parser, Unreadable
from stellar.pipeline.records import (
    Drop,
    Forward,
    Invalid,
    Outcome,
    Processor,
    Raw,
    Record,
    Rejected,
    Report,
    RunStages,
    Stage,
    explain_depth,
    reject_message,
)
from stellar.util.abbreviate import abbreviate_value
from stellar.util.cached_properties import cached_property
from stellar.util.guids import make_guid

if TYPE_CHECKING:
    from stellar.maas import ModelClient, Registry
    from stellar.pipeline.observer import StageTiming


class MessageProcessor(Protocol):
    """Turns raw messages into outcomes: a pipeline, or several of them."""

    @property
    def sensor(self) -> str:
        """The name of the sensor, or of the group of sensors."""

    @property
    def calls_models(self) -> bool:
        """True if its expressions call models, and so wait for responses."""

    @property
    def blocks(self) -> bool:
        """True if it may block its thread other than in model calls."""

    def processed(self, raw: Raw) -> Iterator[tuple[Outcome, list[Report]]]:
        """Yield the outcome for each record in a raw message, with the failures that were reported for it."""

    def make_processor(self, context: RecordContext) -> Processor:
        """Return a function that does what `processed` does, but faster; see `Pipeline.make_processor`."""


MODEL_FUNCTIONS = frozenset({"MAAS_GET_ENDPOINT", "MAAS_MODEL_APPLY"})


@dataclass
class Pipeline:
    """Turns raw messages of one sensor into records.

    charset: the charset of raw messages
    transformations: the stages that run before `guid` and `original_string` are set
    stages: the stages that run after that, with their names in error documents
    strategy: takes the message to parse from a raw message
    functions: names of the functions that its expressions call
    services: the context in which expressions are evaluated
    expressions: all compiled expressions, with their locations
    checks: what its stages need from outside, each as a location, a name, and a function that raises LookupError
    error_field: the field that lists failed model calls and their reasons; None for no such field
    reports: failures of records that `pipeline(raw)` returned; the caller removes them
    is_compiled: True to run the stages as one generated function, False to call them one by one
    is_parsing: False if the records were parsed before, and have their `source.type`, `guid` and `original_string`
    timing: measures the stages of some messages; None if no times are needed
    is_timed: True for the form of the pipeline that measures itself

    `processed` is thread-safe.
    """

    sensor: str
    parser: Parser
    charset: Charset
    transformations: tuple[Stage, ...]
    stages: tuple[tuple[str, Stage], ...]
    strategy: MessageStrategy = field(default_factory=MessageStrategy)
    functions: frozenset[str] = frozenset()
    services: Context = field(default_factory=Context)
    expressions: tuple[tuple[SourceLocation, Expression], ...] = ()
    error_field: str | None = None
    checks: tuple[Check, ...] = ()
    reports: list[Report] = field(default_factory=list)
    is_compiled: bool = True
    is_parsing: bool = True
    timing: StageTiming | None = None
    is_timed: bool = False

    @property
    def calls_models(self) -> bool:
        """True if its expressions call models, and so wait for responses."""
        return not self.functions.isdisjoint(MODEL_FUNCTIONS)

    @property
    def blocks(self) -> bool:
        """True if it may block its thread other than in model calls; assumed of parsers and stages of others."""
        ours = all(getattr(each, "__module__", "").startswith("stellar.pipeline.") for each in self._steps)
        stages_block = any(getattr(stage, "blocks", False) for _, stage in self.stages)
        return not ours or stages_block or any(expression.blocks for _, expression in self.expressions)

    @property
    def _steps(self) -> tuple[object, ...]:
        return self.parser, *self.transformations, *(stage for _, stage in self.stages)

    def list_stateful_steps(self) -> list[str]:
        """Return the classes of the parser and the stages whose attribute `is_stateful` is true."""
        return [type(each).__qualname__ for each in self._steps if getattr(each, "is_stateful", False)]

    def find_missing_services(self) -> Iterator[tuple[SourceLocation, str, str]]:
        """Yield what expressions and stages need from outside; see `stellar.pipeline.config.compile`."""
        return find_missing_services(self.checks, self.expressions, self.services)

    def use_models(self, registry: Registry, client: ModelClient) -> None:
        """Set the registry and the client for model calls, unless the context that it was built with has them."""
        from stellar.maas import ModelClient, Registry

        reporting_client: Any = ReportingClient(client)
        self.services.get_or_make(Registry, lambda _: registry)  # type: ignore[type-abstract]
        self.services.get_or_make(ModelClient, lambda _: reporting_client)

    def __call__(self, raw: Raw) -> Iterator[Outcome]:
        """Yield the outcome for each record in a raw message: the finished record, Rejected, Drop, or Forward."""
        for outcome, reports in self.processed(raw):
            self.reports.extend(reports)
            yield outcome

    def processed(self, raw: Raw) -> Iterator[tuple[Outcome, list[Report]]]:
        """Yield the outcome for each record in a raw message, with the failures that were reported for it."""
        if self.timing is not None and not self.is_timed and self.timing.is_due():
            yield from self._timed.processed(raw)
            return
        if raw.error is not None:
            yield Rejected(raw.content, "read", raw.error), []
            return
        try:
            content, metadata = self.strategy.extract(raw)
        except ValueError as error:
            yield Rejected(raw.content, "parse", error), []
            return
        text = self.charset.decode(content)
        try:
            for parsed in self.parser(text):
                if isinstance(parsed, Unreadable):
                    yield Rejected(parsed.text, "parse", parsed.error, metadata=metadata), []
                else:
                    yield self._process_record(parsed, raw, text, metadata)
        except Exception as error:  # noqa: BLE001 (a message that fails must not stop the others)
            yield reject_message(content, error, metadata), []

    def make_processor(self, context: RecordContext) -> Processor:
        """Return a function that does what `processed` does, but faster, for one message after the other.

        It returns the outcome of a message with one record, and leaves its reports in the context. For other messages
        it returns an iterator over outcomes and reports.

        context: the current RECORD_CONTEXT while messages are processed; the caller removes the reports
        """
        from stellar.pipeline.compiled import make_processor  # not needed to check or explain a pipeline

        process = make_processor(self, self._find_run(), context)
        if self.timing is None:
            return process
        return self.timing.alternate(process, make_processor(self._timed, self._timed._find_run(), context))

    def process_record(self, record: Record, raw: Raw, text: str, metadata: Record) -> tuple[Outcome, list[Report]]:
        """Return the outcome for a parsed record, with the failures that were reported for it.

        record: the record, which may be changed
        raw, text: the raw message that contains it, and its string
        metadata: the metadata of the raw message
        """
        is_due = self.timing is not None and self.timing.is_due()
        return (self._timed if is_due else self)._process_record(record, raw, text, metadata)

    def _process_record(self, record: Record, raw: Raw, text: str, metadata: Record) -> tuple[Outcome, list[Report]]:
        record_context = RecordContext(self.strategy.select_variables(metadata))
        before = RECORD_CONTEXT.set(record_context)
        try:
            return self._find_run()(record, raw, text, metadata), record_context.reports
        finally:
            RECORD_CONTEXT.reset(before)

    def _find_run(self) -> RunStages:
        """Return the function that runs all stages."""
        return self._compiled if self.is_compiled else self._run_stages

    @cached_property
    def _timed(self) -> Pipeline:
        """The same pipeline in the form that measures its stages."""
        from stellar.pipeline.observer import MeasuredParser  # most pipelines are not measured

        assert self.timing is not None
        return replace(self, parser=MeasuredParser(self.parser, self.timing), is_timed=True)

    @cached_property
    def _compiled(self) -> RunStages:
        from stellar.pipeline.compiled import compile_stages  # not needed to check or explain a pipeline

        return compile_stages(
            self.sensor if self.is_parsing else None,
            self.transformations,
            self.stages,
            reject=reject,
            has_metadata=self.strategy.is_read and not self.strategy.is_merged,
            merge=self.strategy.merge if self.strategy.changes_records else None,
            finish_stage=None if self.error_field is None else self._add_model_failures,
            observe=self.timing.observe if self.timing is not None and self.is_timed else None,
        )

    def _run_stages(self, record: Record, raw: Raw, text: str, metadata: Record) -> Outcome:
        name = "transform"
        try:
            if self.is_parsing:
                record = self._transform(self.strategy.merge(record, metadata))
                set_identity(record, text)
            for name, stage in self.stages:  # noqa: B007 (the name is for the errors below)
                record = self._add_model_failures(stage(record))
        except (Drop, Forward) as outcome:
            return outcome
        except Invalid as error:
            return Rejected(record, name, error, metadata=metadata)
        except Exception as error:  # noqa: BLE001 (a record that fails must not stop the others)
            return reject(raw, name, error)
        return record

    def _transform(self, record: Record) -> Record:
        record["source.type"] = self.sensor
        for transform in self.transformations:
            record = self._add_model_failures(transform(record))
        return record

    def _add_model_failures(self, record: Record) -> Record:
        """Return the record with the failed model calls so far in `error_field`, if that is configured."""
        model_failures = RECORD_CONTEXT.get().model_failures
        if self.error_field is None or not model_failures:
            return record
        return {**record, self.error_field: "; ".join(dict.fromkeys(model_failures))}


def set_identity(record: Record, text: str) -> None:
    """Set `guid` and `original_string` of a record unless it has them."""
    if record.get("guid") in (None, ""):
        record["guid"] = make_guid()
    if record.get("original_string") is None:
        record["original_string"] = text


def reject(raw: Raw, stage: str, error: Exception) -> Rejected:
    """Return the rejection of a record that fails in a stage; its error document has the raw message."""
    if not isinstance(error, StellarError):
        return Rejected(raw.content, stage, explain_depth(error))
    if isinstance(error.__cause__, NotBoolean):
        return Rejected(raw.content, stage, NotBooleanRule(error))
    return Rejected(raw.content, stage, error, f"expression {abbreviate_value(shorten(error.source), 200)} failed")


class NotBooleanRule(ValueError):
    """The condition of a filter, transformation or validation is neither true nor false."""

    def __init__(self, error: StellarError) -> None:
        shown = snippet(error.source, error.span)
        hint = f"\nhint: {error.hint}" if error.hint else ""
        super().__init__(f"The rule {quote(error.source)} does not return a boolean value.\n{shown}{hint}")
        self.__cause__ = error


def quote(text: str) -> str:
    """Return a string in single quotes, on one line."""
    return f"'{shorten(text)}'"


@dataclass(frozen=True)
class ValidateParsed:
    """Reject records that the `complaint` method of their parser finds invalid."""

    parser: Parser

    def __call__(self, record: Record) -> Record:
        if reason := self.parser.complaint(record):
            raise Invalid(reason)
        return record
