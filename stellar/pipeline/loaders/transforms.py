"""The expressions of an extractor, which change and filter rows, and update the state of a summary.

A variable has the first value that is not null: of the members of the row, of `indicator` and the other results of
`indicator_transform`, of the global configuration, and of `state` and the other results of `state_update`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stellar import Expression
from stellar.language.context import Context
from stellar.language.runtime import describe
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.rows import ExtractedRow

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorOptions

INDICATOR, STATE, STATES = "indicator", "state", "states"

Steps = tuple[tuple[str, Expression], ...]


class TransformError(ValueError):
    """An expression failed for a row, or gives no usable indicator."""


@dataclass(slots=True)
class SummaryState:
    """The state of a summary."""

    value: Any = None


@dataclass(frozen=True)
class RowTransform:
    """Transforms and filters rows.

    settings: the global configuration, without its null values
    failures: receives the failures of functions that return an ordinary value, such as of a look-up
    """

    values: Steps
    value_filter: Expression | None
    indicators: Steps
    indicator_filter: Expression | None
    updates: Steps
    settings: Mapping[str, Any]
    context: Context
    failures: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True if rows are stored as they are."""
        return not (self.values or self.value_filter or self.indicators or self.indicator_filter)

    def apply(self, row: ExtractedRow, summary: SummaryState | None = None) -> ExtractedRow | None:
        """Return the transformed row, or None if it is filtered.

        summary: the state that the row updates

        Raises StellarError or TransformError if an expression fails; then the state is as before, unless an expression
        has changed it in place.
        """
        layers = _Layers(row, self.settings, {} if summary is None else {STATE: summary.value})
        self.failures.clear()
        self._evaluate(self.values, layers.value, layers)
        self._evaluate(self.indicators, layers.indicator, layers)
        indicator = layers.indicator.get(INDICATOR)
        if indicator is None:
            return None
        if not isinstance(indicator, str):
            raise TransformError(f"expected a string as indicator of indicator_transform, got {describe(indicator)}")
        if not self._passes(self.indicator_filter, layers) or not self._passes(self.value_filter, layers):
            return None
        if summary is not None:
            self._evaluate(self.updates, layers.state, layers)
        if self.failures:
            raise TransformError(self.failures[0])
        if summary is not None:
            summary.value = layers.state.get(STATE)
        return row._replace(indicator=indicator, value=layers.value)

    def _evaluate(self, steps: Steps, target: dict[str, Any], layers: _Layers) -> None:
        for name, expression in steps:
            result = expression(layers.variables, self.context)
            if result is None:
                target.pop(name, None)
            else:
                target[name] = result
            layers.update(name)

    def _passes(self, condition: Expression | None, layers: _Layers) -> bool:
        return condition is None or bool(condition(layers.variables, self.context))


class _Layers:
    """The variables of a row, in layers; `variables` is the view of all of them."""

    __slots__ = ("indicator", "settings", "state", "value", "variables")

    def __init__(self, row: ExtractedRow, settings: Mapping[str, Any], state: dict[str, Any]) -> None:
        self.value = dict(row.value)
        self.indicator: dict[str, Any] = {INDICATOR: row.indicator}
        self.settings, self.state = settings, state
        self.variables = {**state, **settings, **self.indicator}
        for name, value in row.value.items():
            if value is not None:
                self.variables[name] = value

    def update(self, name: str) -> None:
        """Set a variable to the value of the first layer that has one."""
        for layer in (self.value, self.indicator, self.settings, self.state):
            if (value := layer.get(name)) is not None:
                self.variables[name] = value
                return
        self.variables.pop(name, None)


class ReportedFailures:
    """Receives the failures of functions that return an ordinary value, because a row must not depend on them."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def report(self, subject: str, error: Exception) -> None:
        """Add a failure; see FailureReporter."""
        self.messages.append(f"{subject}: {error}")


def compile_transform(
    options: ExtractorOptions, location: SourceLocation, builder: BuildContext, failures: ReportedFailures
) -> RowTransform:
    """Compile the expressions of an extractor.

    location: the source location of the options
    builder: the functions and services of expressions
    failures: the failure reporter among these services

    Raises ConfigError for an invalid expression.
    """

    def compile_steps(name: str, texts: Mapping[str, str]) -> Steps:
        return tuple((key, builder.expression(text, location / name / key)) for key, text in texts.items())

    def compile_filter(name: str, text: str | None) -> Expression | None:
        return builder.predicate(text, location / name) if text and text.strip() else None

    return RowTransform(
        compile_steps("value_transform", options.value_transform),
        compile_filter("value_filter", options.value_filter),
        compile_steps("indicator_transform", options.indicator_transform),
        compile_filter("indicator_filter", options.indicator_filter),
        compile_steps("state_update", options.state_update),
        {name: value for name, value in builder.settings.items() if value is not None},
        builder.context,
        failures.messages,
    )
