"""Models that expressions call: checked on the driver, and opened once in each process of an executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from stellar.language.context import Context, FailureReporter
from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext, RecordReporter
from stellar.pipeline.pipeline import MODEL_FUNCTIONS
from stellar.pipeline.records import hostname
from stellar.pipeline.services import NO_REGISTRY, ServiceConnector, make_model_options
from stellar.util.abbreviate import quote

Evaluate = Callable[[Mapping[str, Any]], tuple[Any, str | None]]


class ModelSource(NamedTuple):
    """The registry of models, as it is sent to executors: a directory or `none`, or the ZooKeeper servers."""

    registry: str | None
    zookeeper: str | None


def choose_models(expression: Expression, registry: str | Path | None, zookeeper: str | None) -> ModelSource | None:
    """Return the registry that an expression needs; None if it calls no models.

    Raises ValueError if it calls models, and not exactly one registry is selected.
    """
    if registry is not None and zookeeper is not None:
        raise ValueError("registry and zookeeper exclude each other; pass one of them")
    if expression.functions.isdisjoint(MODEL_FUNCTIONS):
        return None
    if registry is None and zookeeper is None:
        raise ValueError(
            f"{quote(expression.source)} calls models; pass registry=DIR or zookeeper='HOST:PORT,...', or "
            f"registry={quote(NO_REGISTRY)} for null instead of all model results"
        )
    return ModelSource(None if registry is None else str(registry), zookeeper)


@cache  # closed with the process
def open_models(source: ModelSource) -> Context:
    """Return a context with the models. Raises RuntimeError if the registry cannot be used on this host."""
    connector = ServiceConnector(make_model_options(*source))
    try:
        return connector.open_context().with_services({FailureReporter: RecordReporter()})
    except (OSError, ValueError, LookupError) as error:
        raise RuntimeError(f"cannot open the models on the executor {hostname()}: {error}") from error


def make_evaluate(expression: Expression, source: ModelSource) -> Evaluate:
    """Return a function of a record that returns the value, and the reasons of failed calls, which are null."""
    services = open_models(source)

    def evaluate(record: Mapping[str, Any]) -> tuple[Any, str | None]:
        reported = RecordContext()
        before = RECORD_CONTEXT.set(reported)
        try:
            value = expression(record, services)
        except StellarError as error:
            return None, get_message(error)
        finally:
            RECORD_CONTEXT.reset(before)
        return value, "; ".join(report.reason for report in reported.reports) or None

    return evaluate


def get_message(error: StellarError) -> str:
    """Return the message of an error, without its position."""
    return str(getattr(error, "message", error))
