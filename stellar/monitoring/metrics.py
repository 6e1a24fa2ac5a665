"""Metrics, and their samples in the text format of Prometheus, version 0.0.4.

A metric is declared once, as a constant of the module that collects it; the tables in the documentation are compared
with these declarations. Nothing here counts: the owners of counters yield samples of them when a server requests these.
So a program without a metrics server does nothing for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 10_000  # of one metric: more are not shown, and counted
MAX_CHARACTERS = 200  # of the value of a label

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """A metric.

    help: one sentence, for the server and the documentation
    labels: the names of its labels
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def sample(self, value: Value, *labels: str) -> MetricSample:
        """Return a sample with these values of the labels, in the order of their names."""
        if len(labels) != len(self.labels):
            raise TypeError(f"{self.name} has the labels {self.labels}, got {labels}")
        return MetricSample(self, labels, value)


class Distribution(NamedTuple):
    """The value of a histogram.

    bounds: the upper bounds of the buckets, in increasing order; one more bucket has no bound
    counts: the number of values in each bucket alone
    total: the sum of all values
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def __add__(self, other: object) -> Distribution:
        """Return the distribution of the values of both. Raises TypeError if their bounds differ."""
        if not isinstance(other, Distribution) or other.bounds != self.bounds:
            raise TypeError("only distributions with equal bounds can be added")
        counts = tuple(map(sum, zip(self.counts, other.counts, strict=True)))
        return Distribution(self.bounds, counts, self.total + other.total)


Value = int | float | Distribution


class MetricSample(NamedTuple):
    """The value of a metric for one set of values of its labels."""

    metric: Metric
    labels: tuple[str, ...]
    value: Value


Collect = Callable[[], Iterable[MetricSample]]
FindProblem = Callable[[], str | None]
"""Returns the reason why a process is not healthy, or not ready; None if it is."""

HIDDEN_SERIES = Metric(
    "stellar_metrics_hidden_series",
    "gauge",
    f"Series that are not shown, because their metric has more than {MAX_SERIES:,}.",
    ("metric",),
)


def render(samples: Iterable[MetricSample], labels: Mapping[str, str] | None = None) -> bytes:
    """Return samples in the text format of Prometheus.

    Samples of one name may have different labels, such as those of several processes. Samples whose labels are equal,
    as they are shown, are added. Of a metric with more than 10,000 series the first are shown, and the others counted.

    labels: further labels of all samples
    """
    series: dict[str, dict[str, Value]] = {}
    declared: dict[str, Metric] = {}
    hidden: dict[str, int] = {}
    constant = [format_label(name, value) for name, value in (labels or {}).items()]
    for metric, values, value in samples:
        declared.setdefault(metric.name, metric)
        known = series.setdefault(metric.name, {})
        key = ",".join([*constant, *map(format_label, metric.labels, values)])
        if key in known:
            known[key] = known[key] + value  # type: ignore[operator]  # both are of the kind of the metric
        elif len(known) < MAX_SERIES:
            known[key] = value
        else:
            hidden[metric.name] = hidden.get(metric.name, 0) + 1
    if hidden:
        rest = {",".join([*constant, format_label("metric", name)]): count for name, count in hidden.items()}
        declared[HIDDEN_SERIES.name], series[HIDDEN_SERIES.name] = HIDDEN_SERIES, dict(rest)
    lines = (line for name, metric in declared.items() for line in _render_metric(metric, series[name]))
    return "".join(lines).encode()


def _render_metric(metric: Metric, series: Mapping[str, Value]) -> Iterator[str]:
    yield f"# HELP {metric.name} {_escape(metric.help)}\n# TYPE {metric.name} {metric.kind}\n"
    for labels, value in series.items():
        if isinstance(value, Distribution):
            yield from _render_distribution(metric.name, labels, value)
        else:
            yield _render_line(metric.name, labels, value)


def _render_distribution(name: str, labels: str, value: Distribution) -> Iterator[str]:
    total = 0
    before = f"{labels}," if labels else ""
    for bound, count in zip((*value.bounds, math.inf), value.counts, strict=True):
        total += count
        yield _render_line(f"{name}_bucket", f'{before}le="{format_number(bound)}"', total)
    yield _render_line(f"{name}_sum", labels, value.total)
    yield _render_line(f"{name}_count", labels, total)


def _render_line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {format_number(value)}\n" if labels else f"{name} {format_number(value)}\n"


def format_number(value: float) -> str:
    """Return a number as Prometheus writes it."""
    if not isinstance(value, float):
        return str(int(value))
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def format_label(name: str, value: str) -> str:
    """Return `name="value"`: the value shortened to 200 characters, without surrogates, which UTF-8 cannot encode."""
    if len(value) > MAX_CHARACTERS:
        value = f"{value[: MAX_CHARACTERS - 1]}…"
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return f'{name}="{_escape(value).replace(chr(34), chr(92) + chr(34))}"'


def _escape(text: str) -> str:
    """Return a help text, or a value without its quotes, with its special characters escaped."""
    return text.replace("\\", r"\\").replace("\n", r"\n")
