"""Metrics in the text format of Prometheus, as its own tool reads it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.monitoring import metrics
from stellar.monitoring.histograms import Histogram
from stellar.monitoring.metrics import Distribution, Metric, format_label, render
from stellar.monitoring.process import METRICS, collect_process

CALLS = Metric("calls_total", "counter", "Calls.", ("model", "outcome"))
SIZE = Metric("size_bytes", "gauge", "The size.")
WAIT = Metric("wait_seconds", "histogram", "Waiting \\ time\nin seconds.", ("stage",))
HOSTILE = [
    "",
    '"',
    "\\",
    "\n",
    'a"b\\c\nd',
    "\ud800",
    "‮",
    "x" * 100_000,
    "\x1b[31m",
    "\0",
    "{}",
    "é",
    "\\n",
    "}\n# HELP",
]


def test_samples_have_help_type_labels_and_values() -> None:
    assert render([CALLS.sample(2, "dga", "ok"), SIZE.sample(1.5), CALLS.sample(1, "dga", "time-out")]).decode() == (
        "# HELP calls_total Calls.\n"
        "# TYPE calls_total counter\n"
        'calls_total{model="dga",outcome="ok"} 2\n'
        'calls_total{model="dga",outcome="time-out"} 1\n'
        "# HELP size_bytes The size.\n"
        "# TYPE size_bytes gauge\n"
        "size_bytes 1.5\n"
    )


def test_buckets_of_a_histogram_are_cumulative() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert render([WAIT.sample(histogram.read(), "parse")]).decode() == (
        "# HELP wait_seconds Waiting \\\\ time\\nin seconds.\n"
        "# TYPE wait_seconds histogram\n"
        'wait_seconds_bucket{stage="parse",le="0.1"} 2\n'
        'wait_seconds_bucket{stage="parse",le="1.0"} 3\n'
        'wait_seconds_bucket{stage="parse",le="+Inf"} 4\n'
        'wait_seconds_sum{stage="parse"} 7.65\n'
        'wait_seconds_count{stage="parse"} 4\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "1"),
        (0.25, "0.25"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    assert render([SIZE.sample(value)]).endswith(f"size_bytes {text}\n".encode())


def test_prometheus_accepts_hostile_labels(check_metrics: Callable[[bytes], None]) -> None:
    samples = [CALLS.sample(1, name, "ok") for name in HOSTILE]
    check_metrics(render([*samples, WAIT.sample(Distribution((1.0,), (1, 2), 3.5), HOSTILE[4])], {"process": '"'}))


@given(st.text(max_size=300))
def test_a_label_is_one_line_in_utf_8_of_limited_length(value: str) -> None:
    text = format_label("name", value)
    text.encode()
    assert "\n" not in text
    assert len(text) <= len('name=""') + 2 * metrics.MAX_CHARACTERS


def test_samples_with_equal_labels_are_added() -> None:
    equal = [CALLS.sample(1, "x" * 300, "ok"), CALLS.sample(2, "x" * 400, "ok")]
    assert render(equal).endswith(b"} 3\n")
    distributions = [
        WAIT.sample(Distribution((1.0,), (1, 2), 3.0), "a"),
        WAIT.sample(Distribution((1.0,), (1, 0), 0.5), "a"),
    ]
    assert render(distributions).endswith(b'wait_seconds_sum{stage="a"} 3.5\nwait_seconds_count{stage="a"} 4\n')


def test_distributions_with_other_bounds_cannot_be_added() -> None:
    with pytest.raises(TypeError, match="equal bounds"):
        _ = Distribution((1.0,), (1, 2), 3.0) + Distribution((2.0,), (1, 2), 3.0)


def test_series_above_the_limit_are_counted_instead_of_shown(
    monkeypatch: pytest.MonkeyPatch, check_metrics: Callable[[bytes], None]
) -> None:
    monkeypatch.setattr(metrics, "MAX_SERIES", 3)
    shown = render([CALLS.sample(1, f"model {number}", "ok") for number in range(5)])
    assert shown.count(b"\ncalls_total{") == 3
    assert b'\nstellar_metrics_hidden_series{metric="calls_total"} 2\n' in shown
    check_metrics(shown)


def test_a_sample_needs_a_value_for_each_label() -> None:
    with pytest.raises(TypeError, match="calls_total has the labels"):
        CALLS.sample(1, "dga")


def test_the_metrics_of_a_process_have_the_usual_names(check_metrics: Callable[[bytes], None]) -> None:
    samples = list(collect_process())
    assert {sample.metric for sample in samples} == set(METRICS)
    check_metrics(render(samples))


def test_threads_lose_no_observation() -> None:
    histogram = Histogram((1.0,))
    threads = [threading.Thread(target=lambda: [histogram.observe(0.5) for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert histogram.read() == Distribution((1.0,), (20_000, 0), 10_000.0)
