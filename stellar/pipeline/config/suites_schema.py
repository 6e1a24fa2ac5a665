"""The schema of `tests/*.yaml`: tests of a configuration, which are beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stellar.pipeline.config.schema import Names, StrictModel

DEFAULT_CLOCK = "2026-01-01T00:00:00Z"


def _read_time(value: object) -> int:
    """Return a time in milliseconds since 1970, given as a number or in ISO 8601; without a zone it is UTC."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise PydanticCustomError("time", "expected a time such as 2026-06-15T12:00:00Z, or milliseconds since 1970")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


Time = Annotated[int, BeforeValidator(_read_time, json_schema_input_type=str | int)]


class ModelReply(StrictModel):
    """A response of a fake model."""

    when: dict[str, Any] = Field(default={}, description="Arguments that a call must have; by default any call.")
    response: dict[str, Any] | None = Field(default=None, description="The JSON object of the response.")
    error: str | None = Field(default=None, description="The reason of a call that fails, instead of a response.")

    @model_validator(mode="after")
    def _check_choice(self) -> ModelReply:
        if (self.response is None) == (self.error is None):
            raise PydanticCustomError("reply", "expected one of response and error")
        return self


class RestReply(StrictModel):
    """A response of a fake web service."""

    url: str = Field(description="The URL of the request, with its query.")
    method: str = Field(default="GET", description="The method of the request.")
    status: int = Field(default=200, description="The status of the response.")
    body: Any = Field(default=None, description="The body: a string, or any value, which is written as JSON.")
    error: str | None = Field(default=None, description="The reason of a request without a response.")


class EnrichmentEntry(StrictModel):
    """A row of the enrichment store."""

    table: str = Field(default="enrichment", description="The table; that of hbaseThreatIntel is threatintel.")
    family: str = Field(default="t", description="The column family.")
    type: str = Field(description="The type, such as whois.")
    indicator: str = Field(description="The indicator; for intervals a network or a range.")
    value: dict[str, Any] = Field(default={}, description="The columns.")
    interval: bool = Field(default=False, description="The indicator is a network such as 10.0.0.0/8, or a range.")


class ProfileEntry(StrictModel):
    """A value of a profile in a period."""

    profile: str = Field(description="The name of the profile.")
    entity: str = Field(description="The entity.")
    groups: list[Any] = Field(default=[], description="The values of groupBy.")
    time: Time = Field(description="A time in the period.")
    value: Any = Field(default=None, description="The value.")
    expression: str | None = Field(default=None, description="An expression for the value, such as a summary.")


class Fakes(StrictModel):
    """The environment of tests, instead of models, stores and services; only listed values exist."""

    models: dict[str, list[ModelReply]] = Field(
        default={},
        description="The replies of each model, of which the first that matches is used; name or name@version.",
    )
    enrichments: list[EnrichmentEntry] = Field(default=[], description="The rows of the enrichment store.")
    profiles: list[ProfileEntry] = Field(default=[], description="The stored values of profiles.")
    geo: dict[str, dict[str, str]] = Field(default={}, description="The location of each IP address.")
    asn: dict[str, dict[str, Any]] = Field(default={}, description="The autonomous system of each IP address.")
    objects: dict[str, str] = Field(
        default={},
        description="An expression for the object in each file that OBJECT_GET or ENRICHMENT_OBJECT_GET reads.",
    )
    rest: list[RestReply] = Field(default=[], description="The responses of web services.")


def _wrap_message(value: object) -> object:
    return {"message": value} if isinstance(value, str) else value


class ErrorExpectation(StrictModel):
    """An error document; of a string, the message contains it."""

    message: str | None = Field(default=None, description="A part of the message.")
    stage: str | None = Field(default=None, description="The stage, such as parse or triage.")
    type: str | None = Field(default=None, description="The error_type, such as parser_error.")


AnyError = Annotated[ErrorExpectation, BeforeValidator(_wrap_message, json_schema_input_type=ErrorExpectation | str)]


class RecordExpectation(StrictModel):
    """A finished record."""

    fields: dict[str, Any] = Field(default={}, description="Fields with their values; others are not compared.")
    present: Names = Field(default=[], description="Fields that the record has, with any value.")
    absent: Names = Field(default=[], description="Fields that the record does not have.")
    score: float | None = Field(default=None, description="The score of threat triage; null for no score.")
    rules: list[str] | None = Field(
        default=None,
        description="The names of the rules that match, in order; of a rule without a name, its condition.",
    )

    @property
    def has_score(self) -> bool:
        """True if the score is compared."""
        return "score" in self.model_fields_set


class Expectation(RecordExpectation):
    """The outcome of a message: the only record, or several ones, and the errors."""

    records: list[RecordExpectation] | None = Field(
        default=None, description="All records, in order; [] for none. Instead of the keys of the only record."
    )
    dropped: int = Field(default=0, description="The number of records that a filter drops.", ge=0)
    errors: list[AnyError] = Field(default=[], description="All error documents, in any order; by default none.")

    @model_validator(mode="after")
    def _check_records(self) -> Expectation:
        if not self.model_fields_set:
            raise PydanticCustomError("expectation", "expected at least one key, such as fields")
        if self.records is not None and self._describes_one:
            raise PydanticCustomError("expectation", "records cannot be combined with the keys of a single record")
        return self

    @property
    def _describes_one(self) -> bool:
        return not self.model_fields_set.isdisjoint(RecordExpectation.model_fields)

    @property
    def all_records(self) -> list[RecordExpectation] | None:
        """The expected records; None if they are not compared."""
        return [self] if self._describes_one else self.records


class CaseConfig(Fakes):
    """A test: a message, and its expected outcome."""

    name: str = Field(description="A sentence that names what the test shows.", min_length=1)
    sensor: str | None = Field(default=None, description="The sensors, as in --sensor; by default those of the file.")
    line: str | None = Field(default=None, description="The raw message.")
    record: dict[str, Any] | None = Field(
        default=None, description="A parsed record, of which only enrichment and triage are tested."
    )
    topic: str | None = Field(default=None, description="The topic of the message.")
    key: str | None = Field(default=None, description="The key of the message.")
    clock: Time | None = Field(default=None, description="The time of the test; by default that of the file.")
    settings: dict[str, Any] = Field(default={}, description="Settings that replace those of global.json.")
    expect: Expectation = Field(description="The expected outcome.")

    @model_validator(mode="after")
    def _check_input(self) -> CaseConfig:
        if (self.line is None) == (self.record is None):
            raise PydanticCustomError("input", "expected one of line and record")
        return self


class SuiteConfig(Fakes):
    """Tests of a configuration: a file in `tests/`. A test adds its own fakes to those of the file."""

    sensor: str | None = Field(default=None, description="The sensors of the tests; by default the name of the file.")
    clock: Time = Field(
        default=DEFAULT_CLOCK,
        validate_default=True,
        description=f"The time of the tests; by default {DEFAULT_CLOCK}.",
    )
    settings: dict[str, Any] = Field(default={}, description="Settings that replace those of global.json.")
    tests: list[CaseConfig] = Field(description="The tests.", min_length=1)
