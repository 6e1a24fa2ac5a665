"""Model calls of a pipeline: failures reported with the record that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stellar.language.context import NOTHING, Context
from stellar.pipeline.records import Record, Report

if TYPE_CHECKING:
    from stellar.maas import MaasError, ModelClient


@dataclass(slots=True)
class RecordContext:
    """What is told of the record at hand.

    reports: what failed while it went on
    unanswered: the models that gave no answer, and why
    """

    reports: list[Report] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)


# A stage knows nothing but its record, and many records go through it at once, each in a thread; so this is what tells
# of which record something is told.
_RECORD_CONTEXT: ContextVar[RecordContext] = ContextVar("what is told of the record at hand")


def _report(report: Report) -> None:
    _RECORD_CONTEXT.get().reports.append(report)


def _unanswered(endpoint: Mapping[str, Any], error: MaasError) -> None:
    _RECORD_CONTEXT.get().unanswered.append(f"{_named_model(endpoint)}: {error.reason}")


class ReportingClient:
    """A model client that reports each failure: the function that calls it returns null, and says no more."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self.cooperative = getattr(client, "cooperative", False)
        if (find := getattr(client, "endpoint", None)) is not None:  # a test double may lack it
            self.endpoint = find

    def apply(self, endpoint: Mapping[str, Any], function: str | None = None, arguments: Any = None) -> dict[str, Any]:
        from stellar.maas import MaasError

        try:
            return self._client.apply(endpoint, function, arguments)
        except MaasError as error:
            _report_model(endpoint, error)
            raise

    def record_failure(self, endpoint: Mapping[str, Any], error: MaasError) -> None:
        """Report a call that could not be made."""
        _report_model(endpoint, error)
        self._client.record_failure(endpoint, error)


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
    return context if client is None else context.with_services({ModelClient: ReportingClient(client)})
