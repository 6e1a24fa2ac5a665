"""Model calls of a pipeline: each failure is reported together with the record that it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stellar.language.context import NOTHING, Context
from stellar.pipeline.records import Record, Report
from stellar.pipeline.warnings_relay import once

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from stellar.maas import MaasError, ModelClient
    from stellar.maas.client.encoding import Arguments
    from stellar.maas.client.local import ToParameters


@dataclass(slots=True)
class RecordContext:
    """The record that is being processed: its metadata and its failures.

    metadata: the metadata that transformations see as variables
    reports: failures of rules, enrichments and model calls
    model_failures: one `name version: reason` for each failed model call
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    model_failures: list[str] = field(default_factory=list)


# A stage receives nothing but its record, and many records are processed at once, each in a fiber or thread of its own.
# So the context variable is what relates a failure to its record.
RECORD_CONTEXT: ContextVar[RecordContext] = ContextVar("RECORD_CONTEXT")


def report_failure(report: Report) -> None:
    """Add a report to the record that is being processed."""
    RECORD_CONTEXT.get().reports.append(report)


def current_metadata() -> Mapping[str, Any]:
    """Return the metadata of the record that is being processed, if it is not merged into the record."""
    return RECORD_CONTEXT.get().metadata


class RecordReporter:
    """Reports failures of functions, such as a look-up in a store, for the record that is being processed.

    The first one of a kind is also logged as a warning.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def report(self, subject: str, error: Exception) -> None:
        """Add a report to the record."""
        report_failure(Report(None, "store", error, subject))
        if subject not in self._logged:
            self._logged.add(subject)
            log.warning("%s: %s; further failures are only counted", subject, error, extra=once(subject))


class ReportingClient:
    """A model client that reports each failed call, of which the calling function makes null."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self.cooperative = getattr(client, "cooperative", False)
        if (find := getattr(client, "endpoint", None)) is not None:  # a test double may lack it
            self.endpoint = find
        if hasattr(client, "apply_values"):
            self.apply_values = self._apply_values

    def apply(self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Any = None) -> dict[str, Any]:
        """Call the model; see `ModelClient.apply`."""
        from stellar.maas import MaasError

        try:
            return self._client.apply(endpoint, function, arguments)
        except MaasError as error:
            _report_call(endpoint, error)
            raise

    def _apply_values(
        self, endpoint: Mapping[str, Any], function: str | None, values: Arguments, to_parameters: ToParameters | None
    ) -> dict[str, Any]:
        """Call the model; see `ModelClient.apply_values`."""
        from stellar.maas import MaasError

        try:
            return self._client.apply_values(endpoint, function, values, to_parameters)
        except MaasError as error:
            _report_call(endpoint, error)
            raise

    def record_failure(self, endpoint: Mapping[str, Any], error: MaasError) -> None:
        """Report a call that could not be made."""
        _report_call(endpoint, error)
        self._client.record_failure(endpoint, error)


def add_reporting(context: Context) -> Context:
    """Return the context with its model client, if it has one, replaced by a ReportingClient."""
    if context is NOTHING:  # avoids loading an HTTP client
        return context
    from stellar.maas import ModelClient

    client = context.get(ModelClient)
    return context if client is None else context.with_services({ModelClient: ReportingClient(client)})


def _report_call(endpoint: Mapping[str, Any], error: MaasError) -> None:
    model = _format_model(endpoint)
    subject = f"call to model {model} failed, result is null"
    report_failure(Report(None, "model", error, subject, _describe_call(endpoint, error)))
    RECORD_CONTEXT.get().model_failures.append(f"{model}: {error.reason}")


def _format_model(endpoint: Mapping[str, Any]) -> str:
    name, version, url = (endpoint.get(key) for key in ("name", "version", "url"))
    if name is None:
        return "with unknown name" if url is None else f"at {url}"
    return str(name) if version is None else f"{name} {version}"


def _describe_call(endpoint: Mapping[str, Any], error: MaasError) -> Record:
    """Return the fields of an error document that describe a failed model call."""
    known = {
        "model": endpoint.get("name"),
        "model_version": endpoint.get("version"),
        "model_url": error.url,
        "model_failure": error.reason,
    }
    return {name: value for name, value in known.items() if value is not None}
