"""A pipeline: raw messages in, records and error documents out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stellar import Expression
from stellar.language.context import Context
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import shortened
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.models import _RECORD_CONTEXT, RecordContext, ReportingClient
from stellar.pipeline.parsers import Parser, Unreadable
from stellar.pipeline.records import Drop, Invalid, Raw, Record, Rejected, Report, Stage

if TYPE_CHECKING:
    from stellar.maas import ModelClient, Registry


Outcome = Record | Rejected | Drop


MODEL_FUNCTIONS = frozenset({"MAAS_GET_ENDPOINT", "MAAS_MODEL_APPLY"})


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
    expressions: tuple[tuple[SourceLocation, Expression], ...] = ()
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

        telling: Any = ReportingClient(client)
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
        at_hand = RecordContext()
        before = _RECORD_CONTEXT.set(at_hand)
        try:
            return self._staged(record, raw, text, metadata), at_hand.reports
        finally:
            _RECORD_CONTEXT.reset(before)

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
        unanswered = _RECORD_CONTEXT.get().unanswered
        if self.error_field is None or not unanswered:
            return record
        return {**record, self.error_field: "; ".join(dict.fromkeys(unanswered))}


@dataclass(frozen=True)
class ValidateParsed:
    """Refuses the records that their parser finds fault with."""

    parser: Parser

    def __call__(self, record: Record) -> Record:
        if complaint := self.parser.complaint(record):
            raise Invalid(complaint)
        return record
